"""The report's plots: which there are for a study, and what each shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from smoothray_analysis.arms import BASE_NAMES, PLAIN, by_baseline
from smoothray_analysis.plots import (
    alignment_plot,
    forest_plot,
    fronts_plot,
    heat_plot,
    mechanism_plot,
    rank_plot,
    strength_plot,
    trade_off_plot,
)
from smoothray_analysis.plots.style import Looks, looks
from smoothray_analysis.report.findings import Findings
from smoothray_analysis.statistics.effects import FEW


@dataclass(frozen=True, eq=False)
class Plot:
    """A plot by its file's name, the part of the page that it stands in, and how to draw it."""

    name: str
    part: str
    caption: str
    draw: Callable[[], Figure]


def plots(findings: Findings) -> Iterator[Plot]:
    """The plots that this study has something for; of several students each has its own."""
    students = sorted(findings.evidence.chosen["student"].unique())
    look = looks(findings.records["arm"])
    for student in students:
        end = "_" + re.sub(r"[^A-Za-z0-9.-]", "-", student) if len(students) > 1 else ""
        said = f" Student: {student}." if len(students) > 1 else ""
        for name, part, caption, draw in _of_student(findings, student, look):
            yield Plot(name + end, part, caption + said, draw)


def _of_student(
    findings: Findings, student: str, look: Looks
) -> Iterator[tuple[str, str, str, Callable[[], Figure]]]:
    ev = findings.evidence

    def mine(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["student"] == student] if len(frame) else frame

    table, over = mine(ev.per_dataset), mine(ev.over_datasets)
    for base in BASE_NAMES:
        if len(table) and len(part := table[table["base"] == base]):
            yield (
                f"forest_{base}", "differences",
                f"Differences from {BASE_NAMES[base]}: median of the paired differences over the trials, "
                f"with a 95 % interval that allows for overlapping splits (from {FEW} pairs on); the last "
                "line is the median over the data sets with its bootstrap interval. Filled: significant "
                f"after Holm. Grey: within ±{ev.settings.rope:g} R², practically the same. Arrows: beyond "
                "the axis.",
                partial(forest_plot, part, over[over["base"] == base], base, ev.settings.rope, look),
            )  # fmt: skip
    scores = ev.scores[ev.scores.index.get_level_values("student") == student].droplevel("student")
    if _ordered(scores).shape[1] > 1:
        yield (
            "heat", "differences",
            "Median test R² of each arm at its chosen strength, over the trials that all arms finished; "
            "bold: the best of the row; the darker, the nearer to it (white: 0.1 or more behind). A dash: "
            "more than a tenth of the arm's trials failed there.",
            partial(heat_plot, _ordered(scores)),
        )  # fmt: skip
    ranks = mine(ev.ranks)
    if len(ranks) > 2 and ranks["datasets"].iloc[0] > 1:
        yield (
            "ranks", "ranks",
            f"Mean ranks over {ranks['datasets'].iloc[0]} data sets, the best at the right. Bars join "
            "arms that do not differ significantly (signed-rank tests, Holm); the critical difference is "
            "Nemenyi's.",
            partial(rank_plot, ranks, mine(ev.pairwise), look),
        )  # fmt: skip
    curves = mine(findings.curves)
    searched = curves[curves["strength"].notna()] if len(curves) else curves
    if len(searched):
        yield (
            "strengths", "strengths",
            "The formula's median test R² against the penalty's strength; rings: the strength that was "
            "chosen, or chosen most often where that was for each trial; lines across: the direct fit and "
            "plain distillation. A panel ends 0.5 below its best point.",
            partial(strength_plot, searched, _levels(scores), look),
        )  # fmt: skip
        changes = mine(findings.over_strengths)
        if changes["median"].notna().any():
            yield (
                "why", "mechanism",
                "What strength does: medians over the data sets of the change from plain distillation on "
                "the same trials, with quartiles; a bar that leaves its panel goes on.",
                partial(mechanism_plot, changes, look),
            )  # fmt: skip
            yield (
                "trade_off", "mechanism",
                "What smoothness costs the teacher and brings the formula: a point is a data set, arm and "
                "strength, medians over its trials; points beyond the axis lie on its border.",
                partial(trade_off_plot, searched, look),
            )  # fmt: skip
    rho = mine(findings.alignment)
    if len(rho) and rho["rho"].notna().any():
        whole = mine(findings.alignment_over).iloc[0]
        yield (
            "alignment", "mechanism",
            "Rank correlation between alignment (how alike teacher and formula are in smoothness) and the "
            "formula's test R², within trials; diamond: their median with its 95 % bootstrap interval (from "
            f"{FEW} data sets on).",
            partial(alignment_plot, rho, whole),
        )  # fmt: skip
    fronts = mine(findings.fronts)
    if len(fronts):
        yield (
            "fronts", "formulas",
            "Pareto fronts of the best arm, the direct fit and plain distillation, all on the best arm's "
            "median trial; members were best on training rows. R² is spaced by log(1 − R²).",
            partial(fronts_plot, fronts, look),
        )  # fmt: skip


def _ordered(scores: pd.DataFrame) -> pd.DataFrame:
    """Baselines first, arms that no data set has left out."""
    scored = scores.dropna(axis=1, how="all").dropna(axis=0, how="all")
    return scored[by_baseline(scored.columns)]


def _levels(scores: pd.DataFrame) -> pd.DataFrame:
    flat = scores[[name for name in PLAIN if name in scores]]
    return flat.reset_index().melt("dataset", var_name="arm", value_name="r2").dropna()
