"""Does the verdict depend on how formulas and strengths were chosen, failures counted, and sameness drawn?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from smoothray_analysis.arms import BASE_NAMES, completed, several_students, who
from smoothray_analysis.comparisons import SCORE, Settings, compare, equivalence, unexplained
from smoothray_analysis.endpoints import ACCURACY
from smoothray_analysis.narrative import LEVEL, SMALL, one_or_all
from smoothray_analysis.selection import Rule, reselect
from smoothray_analysis.strengths import (
    FIXED,
    OTHERS,
    TRIAL,
    Choice,
    StrengthError,
    choice_for,
    fixable,
)
from smoothray_analysis.text import and_list, count, one_or_more

RULES = ("fidelity", "accuracy", "accuracy-best", "accuracy<=15")
VARIANTS = {
    TRIAL: "strength per trial",
    OTHERS: "strength from other data sets",
    FIXED: "fixed strengths",
}
FAILED = "failed fits as the worst"
AS_HERE = "as here, fits with a front"
"""What rules are compared with where some fits have no front to choose from."""
ROPES = ((False, 0.005), (False, 0.01), (False, 0.02), (True, 0.02), (True, 0.05), (True, 0.1))
"""Regions of practical equivalence: whether a part of 1 - R², and up to which difference."""
COLUMNS = ["student", "arm", "base", "datasets", "difference", "p_holm", "verdict"]


def sensitivity(
    recorded: pd.DataFrame,
    chosen: pd.DataFrame,
    fronts: pd.DataFrame,
    rules: Sequence[str],
    settings: Settings,
) -> pd.DataFrame:
    """The named comparisons under each selection rule, with strengths chosen the other way or fixed ones, and
    with failed fits counted as the worst of their data set.

    recorded: a row a trial that has a front, as recorded; chosen: all trials, formulas as the report's own
    rule chose them, which the last variants keep. fronts: `Records.fronts()`. Strengths are chosen for each
    trial by itself where the report has them from other data sets, and the other way round, if the records
    allow that. Of fixed strengths (`Settings.fixed`) only those penalties are compared that have one.

    Returns a row a comparison and variant: `variant`, COLUMNS. The verdict is over the data sets, or on the
    only one.
    """
    choice = choice_for(chosen, settings.strengths, settings.fixed)
    tables = []
    if rules and len(recorded) < len(chosen):
        same = _results(chosen.loc[recorded.index], settings, choice)
        tables.append(same.assign(variant=AS_HERE))
    for rule in rules:
        reselected = reselect(recorded, fronts, Rule.of(rule))
        tables.append(_results(reselected, settings, choice).assign(variant=rule))
    other = choice_for(chosen, OTHERS if choice.rule == TRIAL else TRIAL)
    if other.rule != choice.rule:
        tables.append(_results(chosen, settings, other).assign(variant=VARIANTS[other.rule]))
    if settings.fixed and choice.rule != FIXED:
        named = fixable(chosen, settings.fixed)
        as_named = choice_for(named, FIXED, settings.fixed)
        tables.append(_results(named, settings, as_named).assign(variant=VARIANTS[FIXED]))
    if (chosen["status"] != "ok").any():
        worst = failed_as_worst(chosen)
        tables.append(_results(worst, settings, choice).assign(variant=FAILED))
    if not tables:
        return pd.DataFrame(columns=["variant", *COLUMNS])
    return pd.concat(tables, ignore_index=True)[["variant", *COLUMNS]]


def _results(records: pd.DataFrame, settings: Settings, choice: Choice) -> pd.DataFrame:
    compared = compare(completed(records), settings, choice)
    table, over = compared.per_dataset, compared.over_datasets
    if len(over):
        table, over = (part[part["endpoint"] == ACCURACY.name] for part in (table, over))
    return pd.DataFrame(one_or_all(table, over), columns=COLUMNS)


def chosen_alike(part: pd.DataFrame, whole: pd.DataFrame, settings: Settings) -> bool:
    """Whether strengths can be chosen from a part of the records in the same way as from all."""
    if len(part) == len(whole):
        return True
    try:
        ways = [choice_for(each, settings.strengths, settings.fixed) for each in (part, whole)]
    except StrengthError:
        return False
    return ways[0].rule == ways[1].rule


def failed_as_worst(records: pd.DataFrame) -> pd.DataFrame:
    """The records with failed fits as finished ones, whose R² on validation and test rows are the lowest that
    any fit of the student has on the data set. A data set without any finished fit keeps its failed ones."""
    failed = records["status"] != "ok"
    result = records.copy()
    place = [records["student"], records["dataset"]]
    for name in ("student_r2_val", SCORE):
        scores = records[name].astype(float).where(~failed)
        result[name] = scores.where(~failed, scores.groupby(place).transform("min"))
    result["status"] = records["status"].mask(failed & result[SCORE].notna(), "ok")
    return result


def over_ropes(per_dataset: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """How sure it is that arms are practically the same in test R², for each of ROPES.

    per_dataset: of `verdict.Evidence`. Returns a row a comparison and region: student, arm, base, `rope`,
    `relative` (whether a part of what the base leaves unexplained), `worse`, `same`, `better`
    (probabilities), and `within`: whether the interval says the same too.
    """
    rows: list[dict[str, Any]] = []
    if per_dataset.empty:
        return pd.DataFrame()
    for (student, arm, base), group in per_dataset.groupby(["student", "arm", "base"], sort=False):
        usable = group[group["pairs"] > 0]
        d = usable["difference"].to_numpy(float)
        for is_part, rope in ROPES:
            scaled = d / unexplained(usable) if is_part else d
            likely, within = equivalence(scaled, rope, settings)[2:]
            rows.append(
                {"student": student, "arm": arm, "base": base, "rope": rope, "relative": is_part,
                 **likely._asdict(), "within": within}
            )  # fmt: skip
    return pd.DataFrame(rows)


def sensitivity_lines(main: pd.DataFrame, others: pd.DataFrame) -> list[str]:
    """Whether the verdict holds, in a line.

    main: `narrative.one_or_all` of the report's own choice, as a frame; others: of `sensitivity`.
    """
    if main.empty or others.empty:
        return []
    key = ["student", "arm", "base"]
    same = others[others["variant"] == AS_HERE]
    some = others["variant"].isin([*VARIANTS.values(), FAILED]) | same.empty
    both = others[some].merge(main[[*key, "verdict"]], on=key, suffixes=("", "_main"))
    both["fits"] = "here"
    if len(same):
        by_rule = others[~some & (others["variant"] != AS_HERE)]
        alike = by_rule.merge(same[[*key, "verdict"]], on=key, suffixes=("", "_main"))
        both = pd.concat([alike.assign(fits="on the fits with a front"), both], ignore_index=True)
    both = both[(both["verdict"] != "no pairs") & (both["verdict_main"] != "no pairs")]
    if both.empty:
        return []
    tried = and_list(list(dict.fromkeys(both["variant"])))
    tried += "; rules on the fits with a front" if len(same) else ""
    if both[["verdict", "verdict_main"]].isin(SMALL).all(axis=None):
        return [
            f"However formulas and strengths are chosen ({tried}), there are too few data to tell."
        ]
    unlike = both[both["verdict"].map(_kind) != both["verdict_main"].map(_kind)]
    if unlike.empty:
        loose = both[both["verdict"] != both["verdict_main"]].drop_duplicates(key)
        if loose.empty:
            return [
                f"The verdicts are the same however formulas and strengths are chosen ({tried})."
            ]
        return [
            f"However formulas and strengths are chosen ({tried}), no comparison turns better or worse; "
            f"{len(loose)} of {len(main)} are practically the same by some and not clearly different by "
            "others."
        ]
    several = several_students(main)
    names = ["verdict", "verdict_main"]
    # Between "level" and "not shown" nothing was found either way: those are counted alone.
    shown = ~unlike[names].isin([*LEVEL, *SMALL]).all(axis=1)
    told = unlike.set_index(key).index.isin(unlike[shown].set_index(key).index)
    quiet = len(unlike[~told].drop_duplicates(key))
    unlike = unlike[told]
    parts = []
    for (student, arm, base, fits), group in unlike.groupby([*key, "fits"], sort=False):
        other_verdicts = [
            f"{_said(str(verdict))} with {and_list(part['variant'].tolist())}"
            for verdict, part in group.groupby("verdict", sort=False)
        ]
        own = _said(str(group["verdict_main"].iloc[0]))
        parts.append(
            f"{who(str(arm), str(student), several)} against {BASE_NAMES[str(base)]} is {own} {fits}, "
            f"but {and_list(other_verdicts)}"
        )
    if not parts:
        return [
            f"However formulas and strengths are chosen ({tried}), no comparison turns better or worse; "
            f"{quiet} of {len(main)} are practically the same by some and not shown by others."
        ]
    if quiet:
        parts.append(
            f"{count(quiet, 'other')} {one_or_more([''] * quiet, 'is', 'are')} practically the same by some "
            "and not shown by others"
        )
    return [
        f"The verdict depends on how formulas and strengths are chosen: {'; '.join(parts)} "
        f"(tried: {tried})."
    ]


def _kind(verdict: str) -> str:
    return "level" if verdict in LEVEL else SMALL[0] if verdict in SMALL else verdict


def _said(verdict: str) -> str:
    return {
        **dict.fromkeys(SMALL, "not shown (power is small)"),
        "unequal budgets": "not judged, for unequal budgets,",
        "no clear difference": "not clearly different",
    }.get(verdict, verdict)
