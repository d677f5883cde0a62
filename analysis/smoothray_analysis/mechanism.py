"""Why an arm does better or worse: what its strength does to teacher and student."""

from __future__ import annotations

import numpy as np
import pandas as pd

from smoothray_analysis.arms import arm_names, completed, several_students, who
from smoothray_analysis.regimes import beside
from smoothray_analysis.text import count, plain_number

MEASURES = ("teacher_r2_test", "fidelity_test", "student_r2_test", "complexity")
CHANGES = (*(f"change_{name}" for name in MEASURES), "change_log_jacobian")
NUMBERS = [*MEASURES, "teacher_jacobian", "alignment"]
UNIT = ["student", "dataset", "arm", "stopping"]
MOST = 12
"""Of more strengths than this an arm's are put into MOST // 2 groups of equal number."""


def against_strength(records: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Medians over the trials of every arm with a teacher at every strength, a row each.

    records: a row a trial; of restarts the first alone counts. chosen: those at their chosen strengths, with
    `arm` (`verdict.Evidence.chosen`). Columns: student, dataset, arm, stopping, penalty, strength, `trials`
    that finished, `share` (the part of the data set's trials that it was chosen for), `chosen` (whether that
    is the largest), the medians of NUMBERS, and CHANGES: medians of the paired differences from the standard
    pipeline with the same regime, augmentation and ensemble (`regimes.beside`); log_jacobian is in powers of
    ten.
    """
    known = completed(records)
    known = known[known["restart"] == 0]
    known[NUMBERS] = known[NUMBERS].astype(float)
    jacobian = known["teacher_jacobian"]
    known["log_jacobian"] = np.log10(jacobian.where(jacobian > 0))
    good = known[(known["status"] == "ok") & (known["penalty"] != "direct")]
    good = good.assign(arm=arm_names(good))
    compared = [*MEASURES, "log_jacobian"]
    base = beside(good, known, "none", compared)
    for name in compared:
        good[f"change_{name}"] = good[name] - base[name].astype(float)
    groups = good.groupby([*UNIT, "penalty", "strength"], dropna=False)
    table = groups[[*NUMBERS, *CHANGES]].median().assign(trials=groups.size()).reset_index()
    votes = completed(chosen).groupby([*UNIT, "strength"], dropna=False).size()
    share = (votes / votes.groupby(UNIT).transform("sum")).rename("share").reset_index()
    best = share.sort_values("share", ascending=False, kind="stable").drop_duplicates(UNIT)
    share["chosen"] = share.index.isin(best.index)
    merged = table.merge(share, on=[*UNIT, "strength"], how="left")
    return merged.assign(share=merged["share"].fillna(0.0), chosen=merged["chosen"].eq(True))


def over_strengths(curves: pd.DataFrame) -> pd.DataFrame:
    """Median and quartiles over the data sets of what changes at each strength.

    curves: of `against_strength`. Returns student, arm, strength, measure (of CHANGES), `median`, `low`,
    `high`, `datasets`. Strengths that were drawn, other ones for each data set, are put into groups, each at
    its geometric mean.
    """
    mine = curves[curves["strength"].notna()].copy()
    if mine.empty:
        return pd.DataFrame(
            columns=["student", "arm", "strength", "measure", "median", "low", "high", "datasets"]
        )
    for _, group in mine.groupby(["student", "arm"]):
        if group["strength"].nunique() > MOST:
            bins = pd.qcut(group["strength"], MOST // 2, duplicates="drop", labels=False)
            middle = np.exp(np.log(group["strength"]).groupby(bins).transform("mean"))
            mine.loc[group.index, "strength"] = middle
    per_dataset = mine.groupby(["student", "arm", "strength", "dataset"])[list(CHANGES)].median()
    groups = per_dataset.groupby(["student", "arm", "strength"])
    parts = {
        "median": groups.median(), "low": groups.quantile(0.25), "high": groups.quantile(0.75),
        "datasets": groups.count(),
    }  # fmt: skip
    stacked = {name: part.rename_axis("measure", axis=1).stack() for name, part in parts.items()}
    return pd.DataFrame(stacked).reset_index()


def mechanism_lines(curves: pd.DataFrame) -> list[str]:
    """What smoothing changed at the chosen strengths, a line an arm.

    curves: of `against_strength`. A data set's change is the mean of those at its strengths, each weighed by
    its share of the trials.
    """
    lines = []
    several = several_students(curves)
    changes = list(CHANGES)
    mine = curves[(curves["share"] > 0) & (curves["penalty"] != "none")].dropna(subset=changes)
    weighed = mine.assign(**{name: mine[name] * mine["share"] for name in changes})
    sums = weighed.groupby(["student", "arm", "dataset"])[[*changes, "share"]].sum()
    each = sums[changes].div(sums["share"], axis=0)
    for (student, arm), group in each.groupby(["student", "arm"]):
        middle = group.median()
        teacher, fidelity, formula = (
            plain_number(middle[f"change_{name}"]) for name in MEASURES if name != "complexity"
        )
        lines.append(
            f"{who(str(arm), str(student), several)}, at the chosen strengths: the "
            f"teachers' mean squared Jacobian is {10 ** middle['change_log_jacobian']:.2g} times that of "
            f"plain distillation, their R² changes by {teacher}, fidelity by {fidelity}, the formulas' R² "
            f"by {formula} and their size by {plain_number(middle['change_complexity'], 0)} nodes "
            f"(medians over {count(len(group), 'data set')})."
        )
    return lines
