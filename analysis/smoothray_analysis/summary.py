"""A study in one table: medians over the trials, each penalty at strengths that validation rows chose."""

from __future__ import annotations

from functools import cache
from typing import Any

import pandas as pd

from smoothray_analysis.arms import ARM, PLAIN, completed
from smoothray_analysis.strengths import FAMILY, at_chosen_strength, candidates, choice_for

SCORES = ["teacher_r2_test", "fidelity_test", "student_r2_test", "student_r2_val", "complexity"]


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """A row per data set, student and arm at its chosen strengths (`strengths.at_chosen_strength`), baselines
    first: `strength` where it is one for all trials, `trials` that finished, `failed` ones, medians of
    SCORES, and `better`, the part of the paired trials in which the arm's test R² is above that of the
    standard pipeline.

    records: a row a trial, with the fields of a record. The standard pipeline is the penalty `none` with the
    same regime, augmentation and ensemble, for `direct`, which has none of these, with the least of all; it
    chooses from no more restarts than the arm has candidates.
    """
    records = completed(records)
    choice = choice_for(records)
    chosen = at_chosen_strength(records, choice)
    good = chosen["status"] == "ok"
    frame = chosen.assign(trials=good, failed=~good)
    frame[SCORES] = frame[SCORES].astype(float).where(good, axis=0)
    groups = frame.groupby(FAMILY)
    table = groups[["trials", "failed"]].sum().join(groups[SCORES].median())
    strengths = groups["strength"]
    table["strength"] = strengths.first().where(strengths.nunique() == 1)
    table = table.reset_index()
    counts = candidates(records)
    plain = records[records["penalty"] == "none"]

    @cache
    def pipeline(budget: int) -> pd.DataFrame:
        """The standard pipeline's trials, chosen from no more candidates than this, where that is done."""
        best = at_chosen_strength(plain, choice, budget)
        return best[best["status"] == "ok"]

    table["better"] = [
        _share_better(
            chosen[good], pipeline(int(counts[tuple(row[name] for name in FAMILY[1:])])), row
        )
        for row in table.to_dict("records")
    ]
    rank = {name: place for place, name in enumerate(PLAIN)}
    table["rank"] = [rank.get(name, len(rank)) for name in table["penalty"]]
    order = ["dataset", "student", "rank", "penalty", "augment", "ensemble", "stopping"]
    return table.sort_values(order).drop(columns="rank").reset_index(drop=True)


def _share_better(records: pd.DataFrame, plain: pd.DataFrame, row: dict[Any, Any]) -> float:
    here, plain = (_same(frame, row, ["dataset", "student"]) for frame in (records, plain))
    if row["penalty"] == "direct" and len(plain):
        least = plain.sort_values(ARM[1:]).iloc[0].to_dict()
        plain = _same(plain, least, ARM[1:])
    else:
        plain = _same(plain, row, ARM[1:])
    pairs = _same(here, row, ARM).merge(plain, on="trial", suffixes=("", "_plain"))
    if row["penalty"] == "none" or pairs.empty:
        return float("nan")
    return float((pairs["student_r2_test"] > pairs["student_r2_test_plain"]).mean())


def _same(frame: pd.DataFrame, row: dict[Any, Any], columns: list[str]) -> pd.DataFrame:
    for column in columns:
        frame = frame[frame[column] == row[column]]
    return frame
