"""Why an arm does better or worse: what its strength does to teacher and student, and alignment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from smoothray_analysis.arms import arm_names, several_students, who
from smoothray_analysis.selection import FAMILY, choose_strengths
from smoothray_analysis.statistics.effects import median_interval
from smoothray_analysis.statistics.paired import signed_rank
from smoothray_analysis.text import count, plain_number

MEASURES = ("teacher_r2_test", "fidelity_test", "student_r2_test", "complexity")
CHANGES = (*(f"change_{name}" for name in MEASURES), "change_log_jacobian")
MOST = 12
"""Of more strengths than this an arm's are put into MOST // 2 groups of equal number."""


def against_strength(records: pd.DataFrame) -> pd.DataFrame:
    """Medians over the trials of every arm with a teacher at every strength, a row each.

    records: a row a trial. Columns: student, dataset, arm, penalty, strength, `trials` that finished,
    `chosen` (the strength with the best validation score), the medians of MEASURES, teacher_jacobian and
    alignment, and CHANGES: medians of the paired differences from the standard pipeline with the same
    augmentation and ensemble (or the least of both); log_jacobian is in powers of ten.
    """
    good = records[(records["status"] == "ok") & (records["penalty"] != "direct")]
    good = good[[*FAMILY, "strength", "trial", *MEASURES, "teacher_jacobian", "alignment"]].copy()
    for name in (*MEASURES, "teacher_jacobian", "alignment"):
        good[name] = good[name].astype(float)
    jacobian = good["teacher_jacobian"]
    good["log_jacobian"] = np.log10(jacobian.where(jacobian > 0))
    good["arm"] = arm_names(good)
    compared = (*MEASURES, "log_jacobian")
    place = ["student", "dataset", "trial", "augment", "ensemble"]
    plain = good.loc[good["penalty"] == "none", [*place, *compared]]
    wanted_base = good[place].copy()
    plain_arms = records.loc[records["penalty"] == "none", ["student", "augment", "ensemble"]]
    for student, bases in plain_arms.drop_duplicates().groupby("student"):
        options = set(zip(bases["augment"], bases["ensemble"], strict=True))
        mine = wanted_base["student"] == student
        alike = [
            pair in options
            for pair in zip(wanted_base["augment"], wanted_base["ensemble"], strict=True)
        ]
        # Which arm is the base is settled for the whole study, whatever trials of it failed.
        wanted_base.loc[mine & ~np.array(alike, bool), ["augment", "ensemble"]] = min(options)
    base = wanted_base.merge(plain, on=place, how="left")
    for name in compared:
        good[f"change_{name}"] = good[name].to_numpy(float) - base[name].to_numpy(float)
    keys = ["student", "dataset", "arm", "penalty", "strength"]
    groups = good.groupby(keys, dropna=False)
    wanted = [*MEASURES, "teacher_jacobian", "alignment", *CHANGES]
    table = groups[wanted].median().assign(trials=groups.size()).reset_index()
    best = choose_strengths(records)
    best = best.assign(arm=arm_names(best), chosen=True)
    unit = ["student", "dataset", "arm", "strength"]
    merged = table.merge(best[[*unit, "chosen"]], on=unit, how="left")
    return merged.assign(chosen=merged["chosen"].eq(True))


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


def alignment_correlations(records: pd.DataFrame) -> pd.DataFrame:
    """On each data set, the rank correlation of smoothness alignment with the formula's accuracy.

    Alignment is ln(student's / teacher's mean squared Jacobian), so the nearer to 0 the more alike; it is
    -|alignment| that is ranked. Of both it and the test R² the median over the arms of the same trial is
    taken off first, so that an easy split counts for neither.

    records: a row a trial. Returns student, dataset, `n`, `rho` (Spearman; nan where there are fewer than
    five values or no variation).
    """
    good = records[(records["status"] == "ok") & (records["penalty"] != "direct")]
    frame = good[["student", "dataset", "trial"]].assign(
        alike=-good["alignment"].astype(float).abs(), r2=good["student_r2_test"].astype(float)
    )
    frame = frame[np.isfinite(frame["alike"]) & np.isfinite(frame["r2"])]
    by_trial = frame.groupby(["student", "dataset", "trial"])[["alike", "r2"]]
    frame[["alike", "r2"]] -= by_trial.transform("median")
    rows = [
        {"student": student, "dataset": dataset, "n": len(group),
         "rho": _spearman(group["alike"].to_numpy(), group["r2"].to_numpy())}
        for (student, dataset), group in frame.groupby(["student", "dataset"])
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["student", "dataset", "n", "rho"])


def alignment_over_datasets(table: pd.DataFrame, resamples: int, seed: int = 0) -> pd.DataFrame:
    """The median of the data sets' correlations, with a BCa interval and a signed-rank p; a row a student.

    table: of `alignment_correlations`.
    """
    rows: list[dict[str, Any]] = []
    for student, group in table.groupby("student"):
        rho = group["rho"].dropna().to_numpy(float)
        middle = median_interval(rho, resamples=resamples, seed=seed)
        rows.append(
            {"student": student, "datasets": len(rho), **middle._asdict(), "p": signed_rank(rho).p}
        )
    columns = ["student", "datasets", "estimate", "low", "high", "note", "p"]
    return pd.DataFrame(rows, columns=columns)


def mechanism_lines(curves: pd.DataFrame, alignment: pd.DataFrame) -> tuple[str, ...]:
    """What smoothing changed at the chosen strengths, a line an arm; and whether alignment goes with
    accuracy.

    curves: of `against_strength`; alignment: of `alignment_over_datasets`.
    """
    lines = []
    several = several_students(curves)
    chosen = curves[curves["chosen"] & (curves["penalty"] != "none")]
    for (student, arm), group in chosen.groupby(["student", "arm"]):
        group = group.dropna(subset=list(CHANGES))
        middle = group[list(CHANGES)].median()
        if group.empty:
            continue
        teacher, fidelity, formula = (
            plain_number(middle[f"change_{name}"]) for name in MEASURES if name != "complexity"
        )
        lines.append(
            f"{who(str(arm), str(student), several)}, at the strengths chosen over all trials: the "
            f"teachers' mean squared Jacobian is {10 ** middle['change_log_jacobian']:.2g} times that of "
            f"plain distillation, their R² changes by {teacher}, fidelity by {fidelity}, the formulas' R² "
            f"by {formula} and their size by {plain_number(middle['change_complexity'], 0)} nodes "
            f"(medians over {count(len(group), 'data set')})."
        )
    for row in alignment[alignment["estimate"].notna()].to_dict("records"):
        between = ""
        if pd.notna(row["low"]):
            between = f" [{plain_number(row['low'], 2)}, {plain_number(row['high'], 2)}]"
        goes = "is not shown to go with"
        if row["low"] > 0:
            goes = "goes with"
        elif row["high"] < 0:
            goes = "goes against"
        accuracy = who("accuracy", row["student"], several)
        lines.append(
            f"Alignment in smoothness {goes} {accuracy}: median rank "
            f"correlation {plain_number(row['estimate'], 2)}{between} over "
            f"{count(row['datasets'], 'data set')}."
        )
    return tuple(lines)


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 5 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)
