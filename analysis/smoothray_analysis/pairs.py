"""The named comparisons: which arm is compared with which, and the trials that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pandas as pd

from smoothray_analysis.arms import (
    ARM,
    EARLY,
    NOT_SMOOTH,
    PLACEBO,
    TO_THE_END,
    arm_name,
    completed,
)
from smoothray_analysis.strengths import TRIAL, Choice, at_chosen_strength, candidates

NAMES = ["student", *ARM, "arm", "base", "same", "in_family"]
"""What names a comparison."""
PLACE = ["dataset", "trial"]
FIELDS = ["strength", "status", "n_train", "n_test", "complexity"]


def named_pairs(records: pd.DataFrame) -> list[dict[str, Any]]:
    """The comparisons that the records hold, for each student:

    each smooth arm with plain distillation (`none`) and weight decay of its own regime, with the direct fit,
    and where its teachers were trained to the end with plain distillation stopped early (`none_early`); plain
    distillation with the direct fit, and stopped early with itself trained to the end (`none_to_the_end`).
    The placebo is compared with plain distillation alone; `in_family` is then False: nothing must be found.

    A base has the arm's augmentation and ensemble, or, where there is none such, the least of both; then
    `same` is False. `direct`, which has no teacher, counts as the same. `penalty`, `augment`, `ensemble` and
    `stopping` are the arm's; the base's begin with "base_".
    """
    pairs = []
    for student, arms in completed(records)[["student", *ARM]].drop_duplicates().groupby("student"):
        rows = arms.sort_values([*ARM[1:3], "penalty", "stopping"]).to_dict("records")
        plain = [row for row in rows if row["penalty"] == "none"]
        least = {stopping: next((row for row in plain if row["stopping"] == stopping), None)
                 for stopping in (EARLY, TO_THE_END)}  # fmt: skip
        wanted: list[tuple[dict[Any, Any], str, str, str]] = []
        for row in sorted(rows, key=lambda row: [row[name] for name in ARM]):
            own = row["stopping"]
            if row["penalty"] == PLACEBO:
                wanted.append((row, "none", "none", own))
            elif row["penalty"] not in NOT_SMOOTH:
                wanted += [(row, "direct", "direct", EARLY), (row, "none", "none", own)]
                wanted += [(row, "weight_decay", "weight_decay", own)]
                wanted += [(row, "none_early", "none", EARLY)] if own == TO_THE_END else []
        wanted += [(row, "direct", "direct", EARLY) for row in least.values() if row]
        if first := least[EARLY]:
            wanted.append((first, "none_to_the_end", "none", TO_THE_END))
        for arm, base, penalty, stopping in wanted:
            options = [
                row for row in rows if (row["penalty"], row["stopping"]) == (penalty, stopping)
            ]
            if not options:
                continue
            alike = [row for row in options if all(row[name] == arm[name] for name in ARM[1:3])]
            other = (alike or options)[0]
            pairs.append(
                {
                    "student": student,
                    **arm,
                    "arm": arm_name(*(arm[name] for name in ARM)),
                    "base": base,
                    **{f"base_{name}": other[name] for name in ARM},
                    "same": base == "direct" or bool(alike),
                    "in_family": arm["penalty"] != PLACEBO,
                }
            )
    return pairs


def paired(
    records: pd.DataFrame, choice: Choice, columns: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Each named comparison with its trials, a row each, FIELDS and columns: the base's end in "_base".

    Data sets that one of the two lacks altogether are left out. Strengths are chosen by `choice`; where that
    is for each trial by itself, an arm without strengths has no more restarts to choose from than the other
    has candidates. The names get `candidates` and `base_candidates`, 1 each where nothing was chosen by
    trial.
    """
    records = completed(records)
    counts = candidates(records)
    names = ["student", *ARM]
    strengths = records.groupby(names)["strength"].nunique()
    fields = [*PLACE, *dict.fromkeys((*FIELDS, *columns))]
    by_trial = choice.rule == TRIAL
    rows = records if by_trial else at_chosen_strength(records, choice)
    by_arm = {arm: mine if by_trial else mine[fields] for arm, mine in rows.groupby(names)}

    @cache
    def best(arm: tuple[Any, ...], budget: int) -> pd.DataFrame:
        return at_chosen_strength(by_arm[arm], choice, budget)[fields]

    def side(arm: tuple[Any, ...], other: int) -> pd.DataFrame:
        return best(arm, _budget(arm, counts, strengths, other)) if by_trial else by_arm[arm]

    for pair in named_pairs(records):
        arm = (pair["student"], *(pair[name] for name in ARM))
        base = (pair["student"], *(pair[f"base_{name}"] for name in ARM))
        ours, theirs = side(arm, counts[base]), side(base, counts[arm])
        both = ours.merge(theirs, on=PLACE, how="outer", suffixes=("", "_base"))
        shared = set(ours["dataset"]) & set(theirs["dataset"])
        both = both[both["dataset"].isin(shared)].sort_values(PLACE, kind="stable")
        sizes = {"candidates": 1, "base_candidates": 1}
        if choice.rule == TRIAL:
            sizes = {
                "candidates": _budget(arm, counts, strengths, counts[base]),
                "base_candidates": _budget(base, counts, strengths, counts[arm]),
            }
        yield {**pair, **sizes}, both


def _budget(arm: tuple[Any, ...], counts: pd.Series, strengths: pd.Series, other: int) -> int:
    return int(counts[arm] if strengths[arm] > 1 else min(counts[arm], other))
