"""The report's plots: which there are for a study, and what each shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from smoothray_analysis.arms import BASE_NAMES, PLACEBO, PLAIN
from smoothray_analysis.plots import (
    association_plot,
    catastrophe_plot,
    endpoint_plot,
    forest_plot,
    fronts_plot,
    heat_plot,
    mechanism_plot,
    moderation_plot,
    profile_plot,
    rank_plot,
    strength_plot,
    trade_off_plot,
)
from smoothray_analysis.plots.signed import FAR
from smoothray_analysis.plots.style import Looks, looks
from smoothray_analysis.regimes import in_order, regime_of
from smoothray_analysis.report.findings import Findings
from smoothray_analysis.statistics.effects import FEW
from smoothray_analysis.text import count


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
    several = mine(ev.endpoints)
    # A part of what each base leaves unexplained is another width on every data set.
    rope = 0.0 if ev.settings.rope_relative else ev.settings.rope
    grey = f"Grey: within ±{rope:g} R², practically the same. " if rope else ""
    if len(several) and several["datasets"].max() > 1:
        yield (
            "endpoints", "differences",
            "Every comparison over the data sets: the median of their median paired differences, its 95 % "
            f"bootstrap interval (thick) and the data sets' quartiles (thin; from {FEW} on). Filled: "
            f"significant after Holm. {grey}Beyond "
            "dotted lines, if there are any, the axis is logarithmic. The direct fit has no teacher.",
            partial(endpoint_plot, several, rope, look),
        )  # fmt: skip
    bases = [base for base in BASE_NAMES if len(table) and (table["base"] == base).any()]
    read = (
        "median of the paired differences over the trials, with a 95 % interval that allows for overlapping "
        f"splits (from {FEW} pairs on); the last line is the median over the data sets with its bootstrap "
        f"interval. Filled: significant after Holm. {grey}Beyond dotted lines, if there are any, the axis is "
        f"logarithmic. Arrows: more than {FAR:g} R² apart."
    )
    for base in bases:
        how = f": {read}" if base == bases[0] else f", read as those from {BASE_NAMES[bases[0]]}."
        yield (
            f"forest_{base}", "differences", f"Differences from {BASE_NAMES[base]}{how}",
            partial(
                forest_plot, table[table["base"] == base], over[over["base"] == base], base, rope, look
            ),
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
    runs, lost = mine(findings.profiles), mine(findings.catastrophes)
    if len(runs):
        yield (
            "profiles", "differences",
            "Performance profiles: the share of runs with a test R² above a score, on "
            f"{count(runs['datasets'].iloc[0], 'data set')} that every arm has, each counting the same; "
            f"bands: 95 % bootstrap over the data sets (from {FEW} on). A fit that failed is above no score.",
            partial(profile_plot, runs, look),
        )  # fmt: skip
    if len(lost):
        yield (
            "catastrophes", "differences",
            "Share of runs with a test R² below 0, worse than the mean of the test rows, data sets counting "
            f"the same, with its 95 % interval over the data sets (from {FEW} on): a bootstrap, or Wilson's "
            "where there is none at all. At the right: their number.",
            partial(catastrophe_plot, lost, look),
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
    # The placebo's strength, millions of times weaker, would leave the others no room.
    placed = searched[searched["penalty"] != PLACEBO] if len(searched) else searched
    if len(placed):
        yield (
            "strengths", "strengths",
            "The formula's median test R² against the penalty's strength; rings: the strength that more "
            "trials were given than any other; lines across: the direct fit and plain distillation. A panel "
            "ends 0.5 below its best point.",
            partial(strength_plot, placed, _levels(scores), look),
        )  # fmt: skip
        changes = mine(findings.over_strengths)
        changes = changes[changes["arm"].isin(placed["arm"])]
        if changes["median"].notna().any():
            yield (
                "why", "mechanism",
                "What strength does: medians over the data sets of the change from plain distillation on "
                "the same trials, with quartiles.",
                partial(mechanism_plot, changes, look),
            )  # fmt: skip
            yield (
                "trade_off", "mechanism",
                "What smoothness costs the teacher and brings the formula: a point is a data set, arm and "
                f"strength, medians over its trials. Changes of more than {FAR:g} lie at {FAR:g}. Where few "
                "changes are much larger than the rest, the axis is logarithmic beyond the dotted lines.",
                partial(trade_off_plot, searched, look),
            )  # fmt: skip
    rho = mine(findings.associations)
    if len(rho) and rho["rho"].notna().any():
        yield (
            "associations", "mechanism",
            "What goes with the formula's test R² beyond the strength: partial rank correlations within an "
            "arm at one strength, trials' own levels taken off; a dot a data set; diamonds: their median, "
            f"its 95 % bootstrap interval over the data sets (from {FEW} on), filled: significant by Holm.",
            partial(association_plot, rho, mine(findings.associations_over)),
        )  # fmt: skip
    kinds = mine(findings.moderations)
    if len(kinds):
        yield (
            "moderators", "mechanism",
            "Which kind of data set gains: rank correlation of a data set's gain in test R² (median over the "
            "smooth arms) with what it is like, with its 95 % bootstrap interval over the data sets (from "
            f"{FEW} on). Filled: significant after Holm. Gains are of even-numbered trials, what a data set "
            "is like of odd ones, so that luck of a split is not in both.",
            partial(moderation_plot, kinds),
        )  # fmt: skip
    fronts = mine(findings.fronts)
    if len(fronts):
        whole = fronts["mathml"].notna().all()
        where = "" if findings.all_fronts else " of those with a front"
        members = "members were best on training rows" if whole else (
            "of the members that were best on training rows, those that validation rows can choose"
        )  # fmt: skip
        yield (
            "fronts", "formulas",
            "Pareto fronts of the best arm, the direct fit and plain distillation, all on the best arm's "
            f"median trial{where}; {members}. R² is spaced by log(1 − R²).",
            partial(fronts_plot, fronts, look),
        )  # fmt: skip


def _ordered(scores: pd.DataFrame) -> pd.DataFrame:
    """Baselines first, arms that no data set has left out."""
    scored = scores.dropna(axis=1, how="all").dropna(axis=0, how="all")
    return scored[in_order(scored.columns)]


def _levels(scores: pd.DataFrame) -> pd.DataFrame:
    flat = scores[[name for name in in_order(scores.columns) if regime_of(name)[0] in PLAIN]]
    return flat.reset_index().melt("dataset", var_name="arm", value_name="r2").dropna()
