"""Does the verdict depend on how formulas and strengths were chosen?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from smoothray_analysis.arms import BASE_NAMES, several_students, who
from smoothray_analysis.comparisons import Settings, over_datasets, per_dataset
from smoothray_analysis.narrative import LEVEL, one_or_all
from smoothray_analysis.selection import Rule, at_chosen_strength, reselect
from smoothray_analysis.text import and_list

RULES = ("fidelity", "accuracy", "accuracy-best", "accuracy<=15")
PER_TRIAL = "strength per trial"
OVERALL = "strength over trials"
COLUMNS = ["student", "arm", "base", "datasets", "difference", "p_holm", "verdict"]


def sensitivity(
    recorded: pd.DataFrame,
    chosen: pd.DataFrame,
    fronts: pd.DataFrame,
    rules: Sequence[str],
    settings: Settings,
) -> pd.DataFrame:
    """The named comparisons under each selection rule, and with strengths chosen the other way.

    recorded: a row a trial, as recorded; chosen: the same, formulas as the report's own rule chose them.
    fronts: `Records.fronts()`. The last variant keeps that rule and chooses strengths for each trial by
    itself, or, where settings.per_trial does so already, for all trials together.

    Returns a row a comparison and variant: `variant`, COLUMNS. The verdict is over the data sets, or on the
    only one.
    """
    settings = replace(settings, resamples=0)
    tables = []
    for rule in rules:
        reselected = reselect(recorded, fronts, Rule.of(rule))
        tables.append(_results(reselected, settings).assign(variant=rule))
    other = replace(settings, per_trial=not settings.per_trial)
    tables.append(_results(chosen, other).assign(variant=PER_TRIAL if other.per_trial else OVERALL))
    return pd.concat(tables, ignore_index=True)[["variant", *COLUMNS]]


def _results(records: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    table, differences = per_dataset(at_chosen_strength(records, settings.per_trial), settings)
    rows = one_or_all(table, over_datasets(table, differences, settings))
    return pd.DataFrame(rows, columns=COLUMNS)


def sensitivity_lines(main: pd.DataFrame, others: pd.DataFrame) -> list[str]:
    """Whether the verdict holds, in a line.

    main: `narrative.one_or_all` of the report's own choice, as a frame; others: of `sensitivity`.
    """
    if main.empty or others.empty:
        return []
    key = ["student", "arm", "base"]
    both = others.merge(main[[*key, "verdict"]], on=key, suffixes=("", "_main"))
    both = both[(both["verdict"] != "no pairs") & (both["verdict_main"] != "no pairs")]
    tried = and_list(list(dict.fromkeys(others["variant"])))
    if len(both) and (both[["verdict", "verdict_main"]] == "power is small").all(axis=None):
        return [
            f"However formulas and strengths are chosen ({tried}), there are too few data to tell."
        ]
    unlike = both[both["verdict"].map(_kind) != both["verdict_main"].map(_kind)]
    if unlike.empty:
        return [f"The verdicts are the same however formulas and strengths are chosen ({tried})."]
    several = several_students(main)
    parts = []
    for (student, arm, base), group in unlike.groupby(key, sort=False):
        other_verdicts = [
            f"{_said(str(verdict))} with {and_list(part['variant'].tolist())}"
            for verdict, part in group.groupby("verdict", sort=False)
        ]
        own = _said(group["verdict_main"].iloc[0])
        parts.append(
            f"{who(str(arm), str(student), several)} against {BASE_NAMES[str(base)]} is {own} here, "
            f"but {and_list(other_verdicts)}"
        )
    return [
        f"The verdict depends on how formulas and strengths are chosen: {'; '.join(parts)} "
        f"(tried: {tried})."
    ]


def _kind(verdict: str) -> str:
    return "level" if verdict in LEVEL else verdict


def _said(verdict: str) -> str:
    return {
        "power is small": "not shown (power is small)",
        "no clear difference": "not clearly different",
    }.get(verdict, verdict)
