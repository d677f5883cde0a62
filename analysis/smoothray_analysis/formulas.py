"""The formulas a study ends with: of each data set the best arm's, in its median trial."""

from __future__ import annotations

from typing import Any

import pandas as pd

from smoothray_analysis.arms import PLACEBO, PLAIN
from smoothray_analysis.loading import Records
from smoothray_analysis.selection import VISIBLE, Rule, choose_members

FRONT = (
    *VISIBLE[1:],
    "formula",
    "mathml",
    "r2_val",
    "r2_test",
    "fidelity_test",
    "unsafe",
    "chosen",
)


def median_trials(chosen: pd.DataFrame, arms: pd.DataFrame) -> pd.DataFrame:
    """For each student and data set the best arm in its median trial, and those of PLAIN in the same trial.

    chosen, arms: of `verdict.Evidence`. The best arm, the placebo aside, has the highest median validation
    R²; of its trials that finished the one in the middle by test R² is taken (of an even number the lower).

    Returns student, dataset, arm, `best`, `arm_median` (the best arm's median test R²) and `record` (its
    index in `chosen`).
    """
    rows: list[dict[str, Any]] = []
    arms = arms[arms["penalty"] != PLACEBO]
    good = chosen[(chosen["status"] == "ok") & chosen["formula"].notna()]
    by_arm = dict(iter(good.groupby(["student", "dataset", "arm"])))
    for (student, dataset), group in arms.groupby(["student", "dataset"]):
        ranked = group.dropna(subset="student_r2_val").sort_values(
            "student_r2_val", ascending=False, kind="stable"
        )
        if ranked.empty:
            continue
        best = ranked["arm"].iloc[0]
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
    """The fronts of `median_trials`, a row a member: its columns, FRONT, and `chosen` by `rule`.

    rule: None for the recorded choice.
    """
    members = records.fronts(FRONT, rows=trials["record"].tolist())
    if rule is not None:
        members["chosen"] = members.index.isin(choose_members(members, rule).to_numpy())
    return members.merge(trials, on="record")


def recorded_formulas(trials: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """As `best_formulas`, of records without fronts: no mathml.

    trials: of `median_trials`. chosen: of `verdict.Evidence`.
    """
    scores = {
        "complexity": "complexity", "student_r2_val": "r2_val", "student_r2_test": "r2_test",
        "fidelity_test": "fidelity_test", "formula": "formula",
    }  # fmt: skip
    members = chosen[list(scores)].rename(columns=scores).assign(mathml=None, chosen=True)
    return best_formulas(trials.join(members, on="record"), chosen)


def best_formulas(members: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """A row per student and data set: arm, strength, trial, formula, mathml, complexity and R².

    members: of `fronts_of`. chosen: of `verdict.Evidence`.
    """
    best = members[members["best"] & members["chosen"].astype(bool)]
    fields = chosen[["strength", "trial", "teacher_r2_test"]]
    return (
        best.join(fields, on="record")[
            ["student", "dataset", "arm", "strength", "trial", "complexity", "r2_val", "r2_test",
            "arm_median", "fidelity_test", "teacher_r2_test", "formula", "mathml"]
        ].sort_values(["student", "dataset"]).reset_index(drop=True)
    )  # fmt: skip
