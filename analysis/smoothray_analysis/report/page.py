"""The page: one file that needs no network."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from smoothray_analysis.arms import by_baseline, several_students, strength_text, who
from smoothray_analysis.headline import FEW_ARMS, parts, summary
from smoothray_analysis.published import PROTOCOL
from smoothray_analysis.report.findings import Findings
from smoothray_analysis.report.mathml import breakable
from smoothray_analysis.report.tables import Table
from smoothray_analysis.report.wide import sensitivity_wide, srbench_wide
from smoothray_analysis.report.words import words
from smoothray_analysis.statistics.effects import FEW
from smoothray_analysis.strengths import FIXED, OTHERS, TRIAL
from smoothray_analysis.text import count, plain_number
from smoothray_analysis.versions import made_with

CHOSEN = {
    OTHERS: "for each trial, by one half of the data sets for the other",
    TRIAL: "for each trial by itself",
    FIXED: "before the study",
}
FEW_SENTENCES = 6
"""More comparisons than this are folded: their table says the same."""
NO_FORMULA = "(its formula is not among these records)"
PARTS = ("differences", "ranks", "strengths", "mechanism", "formulas")


@dataclass(frozen=True)
class Shown:
    """A plot that was drawn: svg is the file's text."""

    name: str
    part: str
    caption: str
    svg: bytes

    @property
    def source(self) -> str:
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


def page(
    study: str,
    findings: Findings,
    tables: dict[str, Table],
    plots: list[Shown],
    about: Sequence[tuple[str, str]] = (),
) -> str:
    """The report as HTML.

    tables: of `report.tables`. plots: in the order they are shown in within their part. about: what else it
    was made of, each with its name; a text of several lines is folded.
    """
    folder = files("smoothray_analysis.report")
    jinja = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = jinja.from_string((folder / "page.html.jinja").read_text(encoding="utf-8"))
    first, *rest = findings.lines
    headline, *found = parts(first)
    sentences = findings.sentences if len(findings.sentences) > FEW_SENTENCES else ()
    return template.render(
        study=study,
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        facts=_facts(findings),
        headline=headline,
        found=found,
        words=words(findings.records),
        few=FEW,
        about=about,
        lines=[line for line in rest if line not in sentences],
        sentences=sentences,
        summary=_summary(findings),
        tables=tables,
        plots={part: [item for item in plots if item.part == part] for part in PARTS},
        formulas=_formulas(findings.formulas, findings.evidence.arms),
        srbench=_srbench(findings.srbench),
        choices=_choices(findings),
        protocol=PROTOCOL,
        mechanism=findings.mechanism,
        settings=findings.evidence.settings,
        made_with=[
            (text or "versions that were not recorded", count(records, "record"))
            for text, records in made_with(findings.records)
        ],
        rule=findings.evidence.rule,
    )


def _facts(findings: Findings) -> list[tuple[str, str]]:
    records = findings.records
    trials = records.groupby(["student", "dataset", "penalty"])["trial"].nunique()
    few, many = int(trials.min()), int(trials.max())
    failed = int((records["status"] != "ok").sum())
    return [
        ("data sets", f"{records['dataset'].nunique()}"),
        ("arms", ", ".join(by_baseline(findings.evidence.chosen["arm"].unique()))),
        ("trials", f"{many}" if few == many else f"{few} to {many}"),
        ("fits", f"{len(records):,}" + (f", {failed:,} failed" if failed else "")),
        ("student", ", ".join(sorted(records["student"].unique()))),
        ("formulas chosen by", findings.evidence.rule),
        ("strengths chosen", CHOSEN[findings.evidence.choice.rule]),
    ]  # fmt: skip


def _formulas(table: pd.DataFrame, arms: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    several = several_students(table)
    for row in table.to_dict("records"):
        mathml = row["mathml"]
        rows.append(
            {
                "dataset": row["dataset"],
                "arm": who(row["arm"] + strength_text(row["strength"]), row["student"], several),
                "trial": row["trial"],
                "why": _why(row, arms),
                "r2": plain_number(row["r2_test"]).lstrip("+"),
                "median": plain_number(row["arm_median"]).lstrip("+"),
                "nodes": int(row["complexity"]),
                "text": row["formula"] if isinstance(row["formula"], str) else NO_FORMULA,
                # Written by smoothray itself, column names escaped.
                "mathml": [Markup(piece) for piece in breakable(mathml)]
                if isinstance(mathml, str)
                else [],
            }
        )
    return rows


def _why(row: dict[Any, Any], arms: pd.DataFrame) -> str:
    """Why this arm's formula is shown of a data set, and not another's."""
    mine = arms[(arms["student"] == row["student"]) & (arms["dataset"] == row["dataset"])]
    scores = mine.set_index("arm")["student_r2_val"].dropna().sort_values(ascending=False)
    own = scores.pop(row["arm"])
    if scores.empty:
        return "the only arm with a formula here"
    second = f"{scores.index[0]} {plain_number(scores.iloc[0]).lstrip('+')}"
    return f"highest median validation R² here: {plain_number(own).lstrip('+')}, then {second}"


def _summary(findings: Findings) -> pd.DataFrame | None:
    """The headline's numbers, where the headline does not have them all."""
    table = summary(findings.evidence.endpoints, findings.results.to_dict("records"))
    return table if len(table) > FEW_ARMS else None


def _choices(findings: Findings) -> pd.DataFrame | None:
    if findings.sensitivity.empty:
        return None
    return sensitivity_wide(findings.results, findings.sensitivity, findings.evidence.rule)


def _srbench(table: pd.DataFrame) -> list[dict[str, Any]]:
    parts = []
    for student, group in table.groupby("student") if len(table) else ():
        wide = srbench_wide(group)
        sources = Counter(wide.columns.get_level_values("source"))
        parts.append(
            {"student": student, "sources": sources, "heads": list(wide.columns.get_level_values("method")),
             "rows": list(wide.itertuples(name=None))}
        )  # fmt: skip
    return parts
