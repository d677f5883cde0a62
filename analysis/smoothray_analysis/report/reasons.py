"""The tables of what is behind the differences: single runs, associations and moderators."""

from __future__ import annotations

from typing import Any

from smoothray_analysis.arms import BASE_NAMES, several_students
from smoothray_analysis.associations import GIVEN, MEASURES
from smoothray_analysis.moderators import MODERATORS
from smoothray_analysis.regimes import REGIMES
from smoothray_analysis.report.cells import (
    Cell,
    digits_text,
    number,
    p_value,
    signed,
    signed_interval,
    text,
    whole,
)
from smoothray_analysis.report.findings import Findings
from smoothray_analysis.report.tables import Table, _table


def reasons(findings: Findings) -> dict[str, Table]:
    """The tables that have rows, by name; of `report.tables`' kind."""
    several = several_students(findings.evidence.chosen)
    student: dict[str, Cell] = {"student": text("student")} if several else {}
    measure: dict[str, Cell] = {
        "measure": lambda row: MEASURES[row["measure"]],
        "given": lambda row: GIVEN[row["given"]],
    }
    kind: dict[str, Cell] = {
        **student, "teachers": lambda row: REGIMES[row["stopping"]],
        "gain over": lambda row: BASE_NAMES[row["base"]],
    }  # fmt: skip
    holm: dict[str, Cell] = {"p": p_value("p"), "after Holm": p_value("p_holm")}
    made = [
        _table(
            "catastrophes",
            "Runs at the chosen strengths whose test R² is below 0; data sets count the same.",
            findings.catastrophes,
            {**student, "arm": text("arm")},
            {
                "data sets": whole("datasets"), "runs": whole("runs"), "R² below 0": whole("number"),
                "share": _percent, "95 % interval": _percents, "failed": whole("failed"),
            },
        ),
        _table(
            "associations",
            "Partial rank correlations with the formula's test R² within an arm at one strength: medians "
            "over the data sets.",
            findings.associations_over,
            {**student, **measure},
            {
                "data sets": whole("datasets"), "correlation": signed("estimate", 2),
                "95 % interval": signed_interval, **holm,
            },
        ),
        _table(
            "associations_per_dataset",
            "The same on each data set.",
            findings.associations,
            {"data set": text("dataset"), **student, **measure},
            {"fits": whole("n"), "correlation": signed("rho", 2)},
        ),
        _table(
            "moderators",
            "Rank correlations of the data sets' gains with what the data sets are like.",
            findings.moderations,
            {**kind, "with": lambda row: MODERATORS[row["moderator"]][0]},
            {
                "data sets": whole("datasets"), "correlation": signed("rho", 2),
                "95 % interval": signed_interval, **holm,
            },
        ),
        _table(
            "moderators_per_dataset",
            "What each data set gains, and what it is like.",
            findings.moderators,
            {"data set": text("dataset"), **kind},
            {
                "trials": whole("trials"), "gain": signed("gain"), "teacher ahead": signed("ahead"),
                "best R²": number("ceiling"), "log10 roughness": signed("roughness", 2),
                "rows": whole("rows"), "columns": whole("columns"),
            },
        ),
        _table(
            "profiles",
            "Shares of runs with a test R² above a score.",
            findings.profiles[findings.profiles.groupby(["student", "arm"]).cumcount() % 10 == 0],
            {**student, "arm": text("arm")},
            {"score": number("score"), "share": _percent, "95 % interval": _percents},
        ),
    ]  # fmt: skip
    return {table.name: table for table in made if len(table.frame)}


def _percent(row: dict[Any, Any]) -> str:
    return f"{100 * row['share']:.1f} %"


def _percents(row: dict[Any, Any]) -> str:
    ends = [digits_text(100 * row[name], 1) for name in ("low", "high")]
    return f"[{', '.join(ends)}]" if "–" not in ends else "–"
