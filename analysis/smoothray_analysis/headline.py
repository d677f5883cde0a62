"""The verdict's first lines: what smoothing did to fidelity, accuracy and teacher, what controls do to
fidelity, and the placebo; and the table of the first one's numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from smoothray_analysis.arms import BASE_NAMES, BASES, NOT_SMOOTH, PLACEBO, several_students, who
from smoothray_analysis.endpoints import ACCURACY, FIDELITY, TEACHER
from smoothray_analysis.text import and_list, count, plain_number

SHOWN = ((FIDELITY, "fidelity"), (ACCURACY, "the formula's R²"), (TEACHER, "the teacher's R²"))
CONTROLS = ("weight_decay", "none_early")
FEW_ARMS = 2
"""Of more arms with the same verdict a sentence gives the range; the table has each one's numbers."""
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


def first_lines(endpoints: pd.DataFrame, results: list[dict[Any, Any]]) -> list[str]:
    """The lines of this module that there are. endpoints, results: as of `headline`."""
    if endpoints.empty:
        return []
    lines = headline(endpoints, results), controls_line(endpoints, results), placebo_line(endpoints)
    return [line for line in lines if line]


def headline(endpoints: pd.DataFrame, results: list[dict[Any, Any]]) -> str:
    """What was found about fidelity, accuracy and the teacher, of each smooth arm against plain distillation
    of its regime: the number, its interval, and on how many data sets it is above 0; of more than FEW_ARMS
    arms that are alike the range of these.

    endpoints: `comparisons.Comparisons.over_datasets`; results: of `narrative.one_or_all`, which has the
    verdict where there is one data set alone.
    """
    against_none = _against("none", endpoints, results, NOT_SMOOTH)
    if not against_none:
        return "There is no plain distillation in this study: it cannot say what smoothing changes."
    parts = []
    for _, name in SHOWN:
        if said := _by_verdict([row for row in against_none if row["name"] == name]):
            parts.append(f"{name} {said}")
    if not parts:
        return "Smoothing the teacher: no trial in common with plain distillation."
    return f"Smoothing the teacher, against plain distillation: {'; '.join(parts)}."


def controls_line(endpoints: pd.DataFrame, results: list[dict[Any, Any]]) -> str:
    """How faithful formulas are to smooth teachers beside those of CONTROLS, which smooth without looking at
    the function; empty where there are none. endpoints, results: as of `headline`."""
    parts = []
    for base in CONTROLS:
        rows = _against(base, endpoints, results, NOT_SMOOTH)
        if said := _by_verdict([row for row in rows if row["name"] == "fidelity"]):
            parts.append(f"against {BASE_NAMES[base]} it {said}")
    if not parts:
        return ""
    return f"Fidelity beside controls, which smooth without looking at the function: {'; '.join(parts)}."


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
            said.append(f"{names[row['endpoint']]} {row['who']}({_number(row)})")
        return and_list(said)

    found = mine[mine["verdict"].isin(["better", "worse"])]
    start = "The placebo, a penalty too weak to do anything,"
    if len(found):
        return (
            f"{start} differs from plain distillation in {listed(found)}: a false alarm, as any other "
            "difference here may be."
        )
    shown = mine[mine["endpoint"].isin([endpoint.name for endpoint, _ in SHOWN])]
    if one:
        numbers = listed(shown)
    else:
        tiny = shown["difference"].abs().max() < 0.001
        numbers = (
            f"of {and_list([name for _, name in SHOWN])} its {count(len(shown), 'median difference')} are "
            f"{'all below 0.001' if tiny else _range(shown['difference'])}"
        )
    return f"{start} is not found to differ from plain distillation, as it should be: {numbers}."


def summary(endpoints: pd.DataFrame, results: list[dict[Any, Any]]) -> pd.DataFrame:
    """What the first line and the placebo's say of each arm, a row an arm and the placebo last, by name: a
    column of text for each of SHOWN: the difference from plain distillation with its interval, on how many
    data sets it is up, and the verdict. endpoints, results: as of `headline`."""
    rows = [
        {"placebo": row["penalty"] == PLACEBO, "who": row["who"], "name": row["name"],
         "cell": "\n".join(_cell(row))}
        for row in _against("none", endpoints, results, BASES)
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["placebo", "who", "name", "cell"])
    wide = table.pivot(index=["placebo", "who"], columns="name", values="cell").droplevel("placebo")
    return wide[[name for _, name in SHOWN if name in wide]].fillna("–")


def _against(
    base: str, endpoints: pd.DataFrame, results: list[dict[Any, Any]], left_out: tuple[str, ...]
) -> list[dict[Any, Any]]:
    """The comparisons with a base by SHOWN but those of some penalties, a row each with `who` and the
    endpoint's `name`; where there is one data set alone, with the verdict on it, or none."""
    if endpoints.empty:
        return []
    mine = endpoints[(endpoints["base"] == base) & ~endpoints["penalty"].isin(left_out)]
    several = several_students(endpoints)
    single = {
        (row["student"], row["arm"]): row for row in results if row["base"] == base and row["one"]
    }
    rows = []
    for endpoint, name in SHOWN:
        for row in mine[mine["endpoint"] == endpoint.name].to_dict("records"):
            one = single.get((row["student"], row["arm"]))
            if row["datasets"] == 1:
                row["verdict"] = one["verdict"] if one and endpoint == ACCURACY else ""
            if one and endpoint == ACCURACY:
                row |= {"low": one["low"], "high": one["high"]}
            rows.append({**row, "who": who(row["arm"], row["student"], several), "name": name})
    return rows


def _by_verdict(rows: list[dict[Any, Any]]) -> str:
    """What was found of some arms by one endpoint, a part for each verdict."""
    return ", and ".join(
        f"{text} {_arms(mine)}"
        for verdict, text in WORDS.items()
        if (mine := [row for row in rows if row["verdict"] == verdict])
    )


def _arms(rows: list[dict[Any, Any]]) -> str:
    """Arms with their numbers, or, of many, with the range of them."""
    if len(rows) <= FEW_ARMS:
        return and_list([f"{row['who']} ({_number(row)})" for row in rows])
    wins = [row["wins"] for row in rows]
    sets = max(row["datasets"] for row in rows)
    up = f"{min(wins)}" if min(wins) == max(wins) else f"{min(wins)} to {max(wins)}"
    where = "on the one data set" if sets == 1 else f"up on {up} of {count(sets, 'data set')}"
    differences = _range([row["difference"] for row in rows])
    return f"{and_list([row['who'] for row in rows])} ({differences}, {where})"


def _range(values: Iterable[float]) -> str:
    """From the least to the greatest of some differences.

    >>> _range([0.1, -0.02, 0.04]), _range([0.1, 0.1001]), _range([1e-5, -2e-5])
    ('−0.020 to +0.100', '+0.100', '0.000')
    """
    values = list(values)
    return " to ".join(dict.fromkeys(map(plain_number, (min(values), max(values)))))


def _cell(row: dict[Any, Any]) -> tuple[str, str]:
    said = [f"up on {row['wins']} of {row['datasets']}"] if row["datasets"] > 1 else []
    return _difference(row), "; ".join([*said, row["verdict"] or "not judged"])


def _number(row: dict[Any, Any]) -> str:
    sets = f"up on {row['wins']} of {row['datasets']} data sets"
    if row["datasets"] == 1:
        sets = "on the one data set"
    return f"{_difference(row)}, {sets}"


def _difference(row: dict[Any, Any]) -> str:
    interval = ""
    if np.isfinite([row["low"], row["high"]]).all():
        interval = f" [{plain_number(row['low'])}, {plain_number(row['high'])}]"
    return plain_number(row["difference"]) + interval
