"""A study in one table: medians over the trials, each penalty at its best strength."""

from __future__ import annotations

import pandas as pd

ARM = ["penalty", "strength", "augment", "ensemble"]
BASELINES = ("direct", "none")


def best_strengths(records: pd.DataFrame) -> pd.DataFrame:
    """For each data set, student, penalty, augmentation and ensemble the strength with the best median
    validation R² of the student; of equal ones the smaller. Test scores play no part.

    records: a row a trial, with the fields of a record; failed trials are left out.
    Returns the rows of the chosen arms.
    """
    good = records[records["status"] == "ok"]
    group = ["dataset", "student", "penalty", "augment", "ensemble"]
    by_strength = [*group, "strength"]
    medians = (
        good.groupby(by_strength, dropna=False, sort=True)["student_r2_val"].median().reset_index()
    )
    medians = medians.sort_values(["student_r2_val", "strength"], ascending=[False, True])
    best = medians.drop_duplicates(group)[by_strength]
    return good.merge(best, on=by_strength)


def summarise(records: pd.DataFrame) -> pd.DataFrame:
    """A row per data set, student and arm (each penalty at its best strength), baselines first.

    Columns: the arm, `trials` that finished and `failed` ones, and medians over the trials of teacher_r2_test,
    fidelity_test, student_r2_test and complexity; `better` is the part of the paired trials in which the arm's
    test R² is above the standard pipeline's (penalty `none`, the same augmentation and ensemble if there is one).
    """
    chosen = best_strengths(records)
    group = ["dataset", "student", *ARM]
    # Arms without a finished trial have nothing to choose by, but must not vanish.
    failures = records[records["status"] != "ok"].groupby(group, dropna=False).size()
    scores = ["teacher_r2_test", "fidelity_test", "student_r2_test", "complexity"]
    table = chosen.groupby(group, dropna=False)[scores].median()
    table.insert(0, "trials", chosen.groupby(group, dropna=False).size())
    table.insert(1, "failed", failures.reindex(table.index, fill_value=0))
    lost = failures[~failures.index.droplevel("strength").isin(table.index.droplevel("strength"))]
    if len(lost):
        gone = pd.DataFrame({"trials": 0, "failed": lost})
        table = pd.concat([table, gone.reindex(columns=table.columns)])
    table = table.reset_index()
    table["better"] = [_share_better(chosen, row) for row in table.to_dict("records")]
    rank = {name: place for place, name in enumerate(BASELINES)}
    order = table["penalty"].map(lambda name: rank.get(name, len(rank)))
    table = table.assign(order=order).sort_values(
        ["dataset", "student", "order", "penalty", "augment", "ensemble"]
    )
    return table.drop(columns="order").reset_index(drop=True)


def _share_better(chosen: pd.DataFrame, row: dict[str, object]) -> float:
    if row["penalty"] == "none":
        return float("nan")
    here = chosen[(chosen["dataset"] == row["dataset"]) & (chosen["student"] == row["student"])]
    arm = _same(here, row, ["penalty", "augment", "ensemble"])
    plain = here[here["penalty"] == "none"]
    alike = _same(plain, row, ["augment", "ensemble"])
    if row["penalty"] == "direct" or alike.empty:
        alike = plain[(plain["augment"] == plain["augment"].min())
                      & (plain["ensemble"] == plain["ensemble"].min())]  # fmt: skip
    pairs = arm.merge(alike, on="trial", suffixes=("", "_plain"))
    if pairs.empty:
        return float("nan")
    return float((pairs["student_r2_test"] > pairs["student_r2_test_plain"]).mean())


def _same(frame: pd.DataFrame, row: dict[str, object], columns: list[str]) -> pd.DataFrame:
    for column in columns:
        frame = frame[frame[column] == row[column]]
    return frame
