"""The verdict's first two lines: what smoothing did to fidelity, accuracy and teacher, and the placebo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from smoothray_analysis.arms import NOT_SMOOTH, PLACEBO, several_students, who
from smoothray_analysis.endpoints import ACCURACY, FIDELITY, TEACHER
from smoothray_analysis.text import and_list, plain_number

SHOWN = ((FIDELITY, "fidelity"), (ACCURACY, "the formula's R²"), (TEACHER, "the teacher's R²"))
WORDS = {
    "better": "is higher with",
    "worse": "is lower with",
    "practically the same": "is practically the same with",
    "no clear difference": "is not clearly different with",
    "unequal budgets": "cannot be judged, for unequal budgets, with",
    "power is small": "has too few data to tell with",
    "too few pairs": "has too few data to tell with",
    "": "is not judged with",
}


def headline(endpoints: pd.DataFrame, results: list[dict[Any, Any]]) -> str:
    """What was found about fidelity, accuracy and the teacher, of each smooth arm against plain distillation
    of its regime: the number, its interval, and on how many data sets it is above 0.

    endpoints: `comparisons.Comparisons.over_datasets`; results: of `narrative.one_or_all`, which has the
    verdict where there is one data set alone.
    """
    mine = endpoints[(endpoints["base"] == "none") & ~endpoints["penalty"].isin(NOT_SMOOTH)]
    if mine.empty:
        return "There is no plain distillation in this study: it cannot say what smoothing changes."
    several = several_students(endpoints)
    single = {
        (row["student"], row["arm"]): row for row in results if row["base"] == "none" and row["one"]
    }
    parts = []
    for endpoint, name in SHOWN:
        rows = mine[mine["endpoint"] == endpoint.name].to_dict("records")
        for row in rows:
            row["who"] = who(row["arm"], row["student"], several)
            one = single.get((row["student"], row["arm"]))
            if row["datasets"] == 1:
                row["verdict"] = one["verdict"] if one and endpoint == ACCURACY else ""
            if one and endpoint == ACCURACY:
                row |= {"low": one["low"], "high": one["high"]}
        said = [
            f"{text} {and_list([_with_number(row) for row in rows if row['verdict'] == verdict])}"
            for verdict, text in WORDS.items()
            if any(row["verdict"] == verdict for row in rows)
        ]
        if said:
            parts.append(f"{name} {', and '.join(said)}")
    if not parts:
        return "Smoothing the teacher: no trial in common with plain distillation."
    return f"Smoothing the teacher, against plain distillation: {'; '.join(parts)}."


def parts(line: str) -> list[str]:
    """A headline in its parts: what it is about, and what was found of each endpoint.

    >>> parts("Smoothing, against plain: fidelity is higher; the formula's R² is level.")
    ['Smoothing, against plain:', 'fidelity is higher', "the formula's R² is level"]
    >>> parts("There is nothing to compare.")
    ['There is nothing to compare.']
    """
    about, colon, found = line.partition(": ")
    return [f"{about}:", *found.rstrip(".").split("; ")] if colon else [line]


def placebo_line(endpoints: pd.DataFrame) -> str:
    """Whether the analysis finds anything where there is nothing to be found."""
    mine = endpoints[endpoints["penalty"] == PLACEBO]
    if mine.empty:
        return (
            "There is no placebo in this study, a penalty too weak to do anything: nothing shows that the "
            "analysis finds nothing where there is nothing."
        )
    several = several_students(endpoints)
    names = {endpoint.name: name for endpoint, name in SHOWN} | {"nodes": "the formulas' size"}

    one = mine["arm"].nunique() * mine["student"].nunique() == 1

    def listed(rows: pd.DataFrame) -> str:
        said = []
        for row in sorted(
            rows.to_dict("records"), key=lambda row: list(names).index(row["endpoint"])
        ):
            row["who"] = "" if one else f"with {who(row['arm'], row['student'], several)} "
            said.append(f"{names[row['endpoint']]} {row['who']}{_number(row)}")
        return and_list(said)

    found = mine[mine["verdict"].isin(["better", "worse"])]
    start = "The placebo, a penalty too weak to do anything,"
    if len(found):
        return (
            f"{start} differs from plain distillation in {listed(found)}: a false alarm, as any other "
            "difference here may be."
        )
    shown = mine[mine["endpoint"].isin([endpoint.name for endpoint, _ in SHOWN])]
    return (
        f"{start} is not found to differ from plain distillation, as it should be: {listed(shown)}."
    )


def _with_number(row: dict[Any, Any]) -> str:
    return f"{row['who']} {_number(row)}"


def _number(row: dict[Any, Any]) -> str:
    interval = ""
    if np.isfinite([row["low"], row["high"]]).all():
        interval = f" [{plain_number(row['low'])}, {plain_number(row['high'])}]"
    sets = f"up on {row['wins']} of {row['datasets']} data sets"
    if row["datasets"] == 1:
        sets = "on the one data set"
    return f"({plain_number(row['difference'])}{interval}, {sets})"
