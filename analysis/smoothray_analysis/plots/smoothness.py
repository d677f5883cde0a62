"""Accuracy against smoothness: what it costs and brings, and what goes with it beyond the strength."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smoothray_analysis.associations import GIVEN, MEASURES
from smoothray_analysis.plots.signed import FAR, reach, signed_axis
from smoothray_analysis.plots.style import COLOURS, WIDTH, Looks, legend, plain_log, styled


@styled
def trade_off_plot(curves: pd.DataFrame, look: Looks) -> Figure:
    """What smoothness costs the teacher and brings the student: a point a data set, arm and strength.

    curves: `mechanism.against_strength` of one student. Changes are from plain distillation on the same
    trials. All points are drawn where they lie, but for changes beyond `signed.FAR`, which lie on it.
    """
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    panels = figure.subplots(1, 3, sharex=True)
    changes = np.append(curves["change_log_jacobian"].dropna(), 0.0)
    low, high = changes.min() - 0.05, changes.max() + 0.05
    titles = {
        "change_teacher_r2_test": "teacher's R²",
        "change_fidelity_test": "fidelity",
        "change_student_r2_test": "formula's R²",
    }
    for panel, (column, title) in zip(panels, titles.items(), strict=True):
        panel.axhline(0, color="#444444", lw=0.8)
        panel.axvline(1, color="#444444", lw=0.8)
        for arm, points in curves.groupby("arm"):
            own = look[str(arm)]
            edge: Any = {"mec": "white", "mew": 0.4}
            if own.markerfacecolor:
                edge = {"mfc": own.markerfacecolor, "mec": own.color, "mew": 0.9}
            panel.plot(
                10.0 ** points["change_log_jacobian"], points[column].clip(-FAR, FAR),
                ls="", marker=own.marker, color=own.color, alpha=0.6, ms=4.5, label=str(arm), **edge,
            )  # fmt: skip
        signed_axis(panel, curves[column].to_numpy(float))
        plain_log(panel)
        panel.set_title(f"{title}: change")
    panels[0].set_xlim(10**high, 10**low)
    figure.supxlabel(
        "teacher's mean squared Jacobian as a multiple of plain distillation's (right is smoother)",
        fontsize=9,
    )
    legend(figure, panels[0].get_legend_handles_labels()[0])
    return figure


@styled
def association_plot(table: pd.DataFrame, over: pd.DataFrame) -> Figure:
    """Partial rank correlations of smoothness with the formula's accuracy: data sets, and their median.

    table, over: `associations.associations` and `associations_over` of one student. Filled: significant.
    """
    rows = [(measure, given) for measure in MEASURES for given in GIVEN]
    figure = Figure(figsize=(WIDTH * 0.85, 0.8 + 0.55 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="#444444", lw=0.8)
    for y, (measure, given) in enumerate(rows):
        color = COLOURS[list(MEASURES).index(measure)]
        rho = table[(table["measure"] == measure) & (table["given"] == given)]["rho"].dropna()
        axes.plot(np.sort(rho), [y] * len(rho), "o", color=color, alpha=0.35, ms=5, mew=0)
        whole = over[(over["measure"] == measure) & (over["given"] == given)]
        for one in whole[whole["estimate"].notna()].to_dict("records"):
            if np.isfinite([one["low"], one["high"]]).all():
                axes.plot([one["low"], one["high"]], [y, y], color="black", lw=2)
            inside = "black" if one["significant"] else "white"
            axes.plot(one["estimate"], y, "D", color="black", mfc=inside, ms=5.5)
    labels = [f"{MEASURES[m]}\ngiven {GIVEN[g]}" for m, g in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    ends = np.append(table["rho"], over[["low", "high"]].to_numpy(float).ravel())
    far = max(1.1 * reach(ends), 0.3)
    axes.set_xlim(-far, far)
    axes.set_xlabel("partial rank correlation with the formula's test R²")
    return figure
