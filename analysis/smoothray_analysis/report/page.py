"""The page: one file that needs no network."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from smoothray_analysis.published import PROTOCOL
from smoothray_analysis.report.findings import Findings
from smoothray_analysis.report.mathml import breakable
from smoothray_analysis.report.tables import Table, srbench_wide, variants_wide
from smoothray_analysis.wording import by_baseline, plain_number

PARTS = ("differences", "ranks", "strengths", "why", "formulas")


@dataclass(frozen=True)
class Shown:
    """A drawn picture: svg is the file's text."""

    name: str
    part: str
    caption: str
    svg: bytes

    @property
    def source(self) -> str:
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


def page(study: str, found: Findings, tables: dict[str, Table], pictures: list[Shown]) -> str:
    """The report as HTML.

    tables: of `report.tables`. pictures: in the order they are shown in within their part.
    """
    folder = files("smoothray_analysis.report")
    jinja = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = jinja.from_string((folder / "page.html.jinja").read_text(encoding="utf-8"))
    headline, *rest = found.lines
    return template.render(
        study=study,
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        facts=_facts(found),
        headline=headline,
        lines=rest,
        tables=tables,
        pictures={part: [item for item in pictures if item.part == part] for part in PARTS},
        formulas=_formulas(found.formulas),
        srbench=_srbench(found.srbench),
        choices=_choices(found),
        protocol=PROTOCOL,
        why=found.why,
        settings=found.evidence.settings,
        rule=found.evidence.rule,
    )


def _facts(found: Findings) -> list[tuple[str, str]]:
    records = found.records
    trials = records.groupby(["student", "dataset", "penalty"])["trial"].nunique()
    few, many = int(trials.min()), int(trials.max())
    failed = int((records["status"] != "ok").sum())
    facts = [
        ("data sets", f"{records['dataset'].nunique()}"),
        ("arms", ", ".join(by_baseline(found.evidence.chosen["arm"].unique()))),
        ("trials", f"{many}" if few == many else f"{few} to {many}"),
        ("fits", f"{len(records):,}" + (f", {failed:,} failed" if failed else "")),
        ("student", ", ".join(sorted(records["student"].unique()))),
        ("formulas chosen by", found.evidence.rule),
        ("strengths chosen", "for each trial" if found.evidence.settings.per_trial
         else "for each data set, over its trials"),
    ]  # fmt: skip
    if "version" in records:
        versions = ", ".join(sorted(records["version"].dropna().astype(str).unique()))
        facts.append(("smoothray", versions))
    return facts


def _formulas(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    several = table["student"].nunique() > 1
    for row in table.to_dict("records"):
        strength = "" if pd.isna(row["strength"]) else f" λ={row['strength']:.3g}"
        mathml = row["mathml"]
        rows.append(
            {
                "dataset": row["dataset"],
                "arm": row["arm"] + strength + (f" ({row['student']})" if several else ""),
                "trial": row["trial"],
                "r2": plain_number(row["r2_test"]).lstrip("+"),
                "median": plain_number(row["arm_median"]).lstrip("+"),
                "nodes": int(row["complexity"]),
                "text": row["formula"],
                # Written by smoothray itself, column names escaped.
                "mathml": [Markup(piece) for piece in breakable(mathml)]
                if isinstance(mathml, str)
                else [],
            }
        )
    return rows


def _choices(found: Findings) -> pd.DataFrame | None:
    if found.variants.empty:
        return None
    return variants_wide(found.results, found.variants, found.evidence.rule)


def _srbench(table: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for student, group in table.groupby("student") if len(table) else ():
        wide = srbench_wide(group)
        sources = Counter(wide.columns.get_level_values("source"))
        found.append(
            {"student": student, "sources": sources, "heads": list(wide.columns.get_level_values("method")),
             "rows": list(wide.itertuples(name=None))}
        )  # fmt: skip
    return found
