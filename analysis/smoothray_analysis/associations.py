"""What goes with a formula's accuracy beyond the strength: alignment, and the teacher's smoothness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from smoothray_analysis.arms import completed, several_students, who
from smoothray_analysis.regimes import KIND
from smoothray_analysis.statistics.correlation import partial_rank
from smoothray_analysis.statistics.effects import median_interval
from smoothray_analysis.statistics.paired import holm, signed_rank
from smoothray_analysis.text import count, p_text, plain_number

LEAST = 5
"""Of fewer data sets nothing is said: noise "goes with accuracy" on two of them half of the time."""
MEASURES = {
    "alike": "teacher and formula alike in smoothness",
    "smooth": "a smooth teacher",
}
WHERE = {
    "alike": "Where teacher and formula are more alike in smoothness",
    "smooth": "Where the teacher is smoother",
}
COVARIATES = ["teacher_r2_test", "fidelity_test"]
GIVEN = {
    "strength": "the strength",
    "all": "the strength, the teacher's R² and the fidelity",
}
COLUMNS = ["student", "measure", "given", "dataset", "n", "rho"]


def associations(records: pd.DataFrame) -> pd.DataFrame:
    """On each data set, partial rank correlations of smoothness with the formula's test R².

    Ranks are within an arm at one strength, so that what the strength does is left out; so is what a trial
    (an easy split) does in all arms, and, in a second version, what goes with the teacher's R² and the
    fidelity: `statistics.correlation.partial_rank`.

    records: a row a trial. Returns COLUMNS. measure: of MEASURES; alike: -|alignment|, of ln(student's /
    teacher's mean squared Jacobian); smooth: minus the logarithm of the teacher's. given: of GIVEN. rho: nan
    where there is too little left.
    """
    known = completed(records)
    known = known[(known["status"] == "ok") & (known["penalty"] != "direct")]
    rough = known["teacher_jacobian"].astype(float)
    frame = known[["student", "dataset", "trial"]].assign(
        cell=known.groupby(["penalty", "strength", *KIND], dropna=False).ngroup(),
        alike=-known["alignment"].astype(float).abs(),
        smooth=-np.log(rough.where(rough > 0)),
        r2=known["student_r2_test"].astype(float),
        **known[COVARIATES].astype(float),
    )
    rows: list[dict[str, Any]] = []
    for (student, dataset), group in frame.groupby(["student", "dataset"]):
        for measure in MEASURES:
            # The same rows in both versions, so that they can be compared.
            used = group[np.isfinite(group[[measure, "r2", *COVARIATES]]).all(axis=1)]
            for given in GIVEN:
                more = used[COVARIATES if given == "all" else []].to_numpy().T
                rho = partial_rank(used[measure], used["r2"], used["cell"], used["trial"], more)
                rows.append(
                    {"student": student, "measure": measure, "given": given, "dataset": dataset,
                     "n": len(used), "rho": rho}
                )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def associations_over(
    table: pd.DataFrame, alpha: float = 0.05, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Over the data sets: the median correlation with its data-set bootstrap interval, and a signed-rank p.

    table: of `associations`. All rows are one family for Holm's correction. Returns a row per student,
    measure and given: `datasets`, `estimate`, `low`, `high`, `note`, `p`, `p_holm` (nan for fewer than
    LEAST data sets) and `significant`.
    """
    rows: list[dict[str, Any]] = []
    for key, group in table.groupby(["student", "measure", "given"], sort=False):
        rho = group["rho"].dropna().to_numpy(float)
        middle = median_interval(rho, resamples=resamples, seed=seed)
        p = signed_rank(rho).p if len(rho) >= LEAST else float("nan")
        names = dict(zip(("student", "measure", "given"), key, strict=True))
        rows.append({**names, "datasets": len(rho), **middle._asdict(), "p": p})
    columns = ["student", "measure", "given", "datasets", "estimate", "low", "high", "note", "p"]
    over = pd.DataFrame(rows, columns=columns)
    over["p_holm"] = holm(over["p"].to_numpy(float))
    return over.assign(significant=over["p_holm"] <= alpha)


def association_lines(over: pd.DataFrame) -> list[str]:
    """What goes with accuracy at the same strength, a line a measure; one line where that cannot be said.

    over: of `associations_over`.
    """
    known = over[over["p"].notna()]
    if known.empty:
        few = over[over["datasets"] > 0]
        return [
            f"Whether smoothness goes with accuracy beyond what the strength does is not said of fewer than "
            f"{LEAST} data sets."
        ] if len(few) else []  # fmt: skip
    several = several_students(over)
    lines = []
    for (student, measure), group in known.groupby(["student", "measure"], sort=False):
        start = who(WHERE[str(measure)], str(student), several)
        parts = {
            row["given"]: f"{_word(row)} ({_numbers(row)})" for row in group.to_dict("records")
        }
        said = (
            [f"the formula's R² at the same strength {parts['strength']}"]
            if "strength" in parts
            else []
        )
        if "all" in parts:
            said.append(f"given also the teacher's R² and the fidelity, it {parts['all']}")
        lines.append(f"{start}, {'; '.join(said)}.")
    return lines


def _word(row: dict[Any, Any]) -> str:
    if not row["significant"]:
        return "is not shown to be higher or lower"
    return "is higher" if row["estimate"] > 0 else "is lower"


def _numbers(row: dict[Any, Any]) -> str:
    between = ""
    if pd.notna(row["low"]):
        between = f" [{plain_number(row['low'], 2)}, {plain_number(row['high'], 2)}]"
    return (
        f"partial rank correlation {plain_number(row['estimate'], 2)}{between} over "
        f"{count(row['datasets'], 'data set')}, {p_text(row['p_holm'])} after Holm"
    )
