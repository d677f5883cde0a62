"""Accuracy against smoothness, and alignment against accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smoothray_analysis.plots.style import WIDTH, Looks, plain_log, short, styled


@styled
def trade_off_plot(curves: pd.DataFrame, look: Looks) -> Figure:
    """What smoothness costs the teacher and brings the student: a point a data set, arm and strength.

    curves: `mechanism.against_strength` of one student. Changes are from plain distillation on the same
    trials; the axes cover most of the points, the rest lies on the border.
    """
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    panels = figure.subplots(1, 3, sharex=True)
    changes = np.append(curves["change_log_jacobian"].dropna(), 0.0)
    low, high = np.quantile(changes, 0.03) - 0.03, np.quantile(changes, 0.97) + 0.03
    titles = {
        "change_teacher_r2_test": "teacher's R²",
        "change_fidelity_test": "fidelity",
        "change_student_r2_test": "formula's R²",
    }
    for panel, (column, title) in zip(panels, titles.items(), strict=True):
        sizes = np.abs(curves[column].to_numpy(float))
        sizes = sizes[np.isfinite(sizes)]
        reach = max(float(np.quantile(sizes, 0.9)) if len(sizes) else 0.0, 1e-3) * 1.2
        panel.axhline(0, color="#444444", lw=0.8)
        panel.axvline(1, color="#444444", lw=0.8)
        for arm, points in curves.groupby("arm"):
            panel.plot(
                10.0 ** points["change_log_jacobian"].clip(low, high), points[column].clip(-reach, reach),
                ls="", marker=look[str(arm)].marker, color=look[str(arm)].color, alpha=0.6, ms=4.5,
                mew=0.4, mec="white", label=str(arm), clip_on=False,
            )  # fmt: skip
        panel.set_ylim(-reach * 1.04, reach * 1.04)
        plain_log(panel)
        panel.set_title(f"{title}: change")
    panels[0].set_xlim(10 ** (high + 0.02), 10 ** (low - 0.02))
    figure.supxlabel(
        "teacher's mean squared Jacobian as a multiple of plain distillation's (right is smoother)",
        fontsize=9,
    )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=6)
    return figure


@styled
def alignment_plot(table: pd.DataFrame, whole: pd.Series) -> Figure:
    """Rank correlation of alignment with the formula's accuracy, a line a data set.

    table: `dataset`, `rho` (`mechanism.alignment_correlations` of one student); whole: the `estimate`, `low`
    and `high` of their median.
    """
    ordered = table.dropna(subset="rho").sort_values("rho", kind="stable")
    figure = Figure(figsize=(WIDTH * 0.72, 0.75 + 0.2 * (len(ordered) + 1)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="#444444", lw=0.8)
    axes.plot(ordered["rho"], range(len(ordered)), "s", color="#0072B2")
    last = len(ordered)
    axes.plot(whole["estimate"], last, "D", color="black", ms=6)
    if np.isfinite([whole["low"], whole["high"]]).all():
        axes.plot([whole["low"], whole["high"]], [last, last], color="black")
    axes.axhline(last - 0.5, color="#999999", lw=0.8)
    labels = [short(name) for name in ordered["dataset"]]
    axes.set_yticks(range(last + 1), [*labels, "median over data sets"])
    axes.set_ylim(last + 0.6, -0.6)
    axes.set_xlim(-1, 1)
    axes.set_xlabel("rank correlation: teacher and formula equally smooth ↔ formula more accurate")
    return figure
