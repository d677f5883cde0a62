"""The formulas a study ends with: of each data set the best arm's, in its median trial."""

from __future__ import annotations

from typing import Any

import pandas as pd

from smoothray_analysis.arms import PLACEBO, PLAIN
from smoothray_analysis.loading import Records
from smoothray_analysis.selection import VISIBLE, Rule, choose_members

FRONT = (*VISIBLE[1:], "mathml", "r2_val", "unsafe", "chosen")


def median_trials(chosen: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """For each student and data set the best arm in its median trial, and those of PLAIN in the same trial.

    chosen, arms: of `verdict.Evidence`, or some rows of its `chosen`. The best arm, the placebo aside, has
    the highest median validation R²; of its trials that finished the one in the middle by test R² is taken
    (of an even number the lower).

    Returns student, dataset, arm, `best`, `arm_median` (the best arm's median test R²) and `record` (its
    index in `chosen`).
    """
    rows: list[dict[str, Any]] = []
    arms = arms[arms["penalty"] != PLACEBO]
    good = chosen[(chosen["status"] == "ok") & chosen["student_r2_test"].notna()]
    by_arm = dict(iter(good.groupby(["student", "dataset", "arm"])))
    for (student, dataset), group in arms.groupby(["student", "dataset"]):
        ranked = group.dropna(subset="student_r2_val").sort_values(
            "student_r2_val", ascending=False, kind="stable"
        )
        if ranked.empty:
            continue
        best = ranked["arm"].iloc[0]
        if (student, dataset, best) not in by_arm:
            continue
        own = by_arm[student, dataset, best].sort_values("student_r2_test", kind="stable")
        trial = own["trial"].iloc[(len(own) - 1) // 2]
        for arm in dict.fromkeys([best, *PLAIN]):
            trials = by_arm.get((student, dataset, arm), own.head(0))
            rows += [
                {"student": student, "dataset": dataset, "arm": arm, "best": arm == best,
                 "arm_median": float(own["student_r2_test"].median()), "record": record}
                for record in trials.index[trials["trial"] == trial]
            ]  # fmt: skip
    return pd.DataFrame(rows, columns=["student", "dataset", "arm", "best", "arm_median", "record"])


def fronts_of(trials: pd.DataFrame, records: Records, rule: Rule | None) -> pd.DataFrame:
    """The fronts of `median_trials` that there are, a row a member: its columns, FRONT, `chosen` by `rule`.

    rule: None for the recorded choice.
    """
    members = records.fronts(FRONT, rows=trials["record"].tolist())
    if rule is not None:
        members["chosen"] = members.index.isin(choose_members(members, rule).to_numpy())
    return members.merge(trials, on="record")


def best_formulas(
    trials: pd.DataFrame, chosen: pd.DataFrame, fronts: pd.DataFrame | None = None
) -> pd.DataFrame:
    """A row per student and data set: arm, strength, trial, formula, mathml, complexity and R².

    trials: of `median_trials`. chosen: of `verdict.Evidence`. fronts: of `fronts_of`, which have the mathml;
    it is empty where they do not, and a formula where a file does not hold it.
    """
    fields = chosen[
        ["strength", "trial", "complexity", "student_r2_val", "student_r2_test", "fidelity_test",
         "teacher_r2_test", "formula"]
    ].rename(columns={f"student_r2_{part}": f"r2_{part}" for part in ("val", "test")})  # fmt: skip
    best = trials[trials["best"].astype(bool)].join(fields, on="record")
    mathml: dict[int, str] = {}
    if fronts is not None and len(fronts):
        own = fronts[fronts["chosen"].astype(bool)]
        mathml = dict(zip(own["record"], own["mathml"], strict=True))
    best = best.assign(
        complexity=best["complexity"].astype(int),
        mathml=pd.Series([mathml.get(each) for each in best["record"]], best.index, dtype=object),
    )
    return (
        best[
            ["student", "dataset", "arm", "strength", "trial", "complexity", "r2_val", "r2_test",
            "arm_median", "fidelity_test", "teacher_r2_test", "formula", "mathml"]
        ].sort_values(["student", "dataset"]).reset_index(drop=True)
    )  # fmt: skip
