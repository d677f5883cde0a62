"""A study in one table: medians over the trials, each penalty at its best strength."""

from __future__ import annotations

from typing import Any

import pandas as pd

from smoothray_analysis.arms import ARM, PLAIN
from smoothray_analysis.selection import FAMILY, choose_strengths

SCORES = ["teacher_r2_test", "fidelity_test", "student_r2_test", "student_r2_val", "complexity"]


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """A row per data set, student and arm at its chosen strength (`selection.choose_strengths`), baselines
    first: `trials` that finished, `failed` ones, medians of SCORES, and `better`, the part of the paired
    trials in which the arm's test R² is above that of the standard pipeline.

    records: a row a trial, with the fields of a record. The standard pipeline is the penalty `none` with the
    same augmentation and ensemble; for `direct`, which has neither, with the least of both.
    """
    table = choose_strengths(records)[[*FAMILY, "strength"]].merge(_medians(records))
    good = records[records["status"] == "ok"]
    table["better"] = [_share_better(good, row) for row in table.to_dict("records")]
    rank = {name: place for place, name in enumerate(PLAIN)}
    table["rank"] = [rank.get(name, len(rank)) for name in table["penalty"]]
    order = ["dataset", "student", "rank", "penalty", "augment", "ensemble"]
    return table.sort_values(order).drop(columns="rank").reset_index(drop=True)


def _medians(records: pd.DataFrame) -> pd.DataFrame:
    """A row per FAMILY and strength."""
    good = records["status"] == "ok"
    frame = records.assign(trials=good, failed=~good)
    frame[SCORES] = frame[SCORES].astype(float).where(good, axis=0)
    by_arm = frame.groupby([*FAMILY, "strength"], dropna=False)
    counts = by_arm[["trials", "failed"]].sum()
    return counts.join(by_arm[SCORES].median()).reset_index()


def _share_better(records: pd.DataFrame, row: dict[Any, Any]) -> float:
    here = _same(records, row, ["dataset", "student"])
    plain = here[here["penalty"] == "none"]
    if row["penalty"] == "direct" and len(plain):
        least = plain.sort_values(["augment", "ensemble"]).iloc[0].to_dict()
        plain = _same(plain, least, ["augment", "ensemble"])
    else:
        plain = _same(plain, row, ["augment", "ensemble"])
    arm = _same(here, row, ARM)
    if not pd.isna(row["strength"]):
        arm = arm[arm["strength"] == row["strength"]]
    pairs = arm.merge(plain, on="trial", suffixes=("", "_plain"))
    if row["penalty"] == "none" or pairs.empty:
        return float("nan")
    return float((pairs["student_r2_test"] > pairs["student_r2_test_plain"]).mean())


def _same(frame: pd.DataFrame, row: dict[Any, Any], columns: list[str]) -> pd.DataFrame:
    for column in columns:
        frame = frame[frame[column] == row[column]]
    return frame
