"""What a penalty's strength does: on each data set, and to teacher and student over all of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smoothray_analysis.arms import PLAIN
from smoothray_analysis.plots.signed import signed_axis
from smoothray_analysis.plots.style import (
    WIDTH,
    Looks,
    arm_handle,
    grid_of_panels,
    legend,
    robust_high,
    robust_low,
    styled,
)
from smoothray_analysis.regimes import in_order, regime_of

CHANGES = {
    "change_teacher_r2_test": "teacher's R²",
    "change_fidelity_test": "fidelity",
    "change_student_r2_test": "formula's R²",
    "change_complexity": "formula's nodes",
}


@styled
def strength_plot(curves: pd.DataFrame, levels: pd.DataFrame, look: Looks) -> Figure:
    """Median test R² of the formula against strength, a panel a data set, chosen strengths ringed.

    curves: `mechanism.against_strength` of one student. levels: `dataset`, `arm`, `r2` of the arms without a
    strength, drawn as lines across. A panel ends half an R² below its best point.
    """
    datasets = sorted(curves["dataset"].unique())
    figure, panels = grid_of_panels(datasets, sharex=True)
    look = {arm: style for arm, style in look.items() if arm in {*curves["arm"], *levels["arm"]}}
    for panel, dataset in zip(panels, datasets, strict=True):
        mine = curves[curves["dataset"] == dataset]
        flat = levels[levels["dataset"] == dataset]
        for arm, r2 in zip(flat["arm"], flat["r2"], strict=True):
            panel.axhline(r2, color=look[arm].color, ls=look[arm].linestyle, lw=1.1)
        for arm, line in mine.groupby("arm"):
            line = line.sort_values("strength")
            panel.plot(line["strength"], line["student_r2_test"], **look[str(arm)]._asdict())
            chosen = line[line["chosen"]]
            panel.plot(chosen["strength"], chosen["student_r2_test"], "o", mfc="none",
                       mec=look[str(arm)].color, ms=9)  # fmt: skip
        shown = [*mine["student_r2_test"], *flat["r2"]]
        low, high = robust_low(shown), robust_high(shown)
        space = 0.12 * max(high - low, 0.02)
        panel.set_ylim(low - space, high + space)
        panel.set_xscale("log")
        panel.margins(x=0.12)
    figure.supxlabel("strength λ", fontsize=9)
    figure.supylabel("median test R² of the formula", fontsize=9)
    _legend(figure, look)
    return figure


@styled
def mechanism_plot(curves: pd.DataFrame, look: Looks) -> Figure:
    """How teacher, fidelity, formula and its size change with the strength, against plain distillation.

    curves: `mechanism.over_strengths` of one student: `arm`, `strength`, `measure`, `median`, `low`, `high`
    (quartiles over the data sets).
    """
    figure = Figure(figsize=(WIDTH, 5.4), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True).flatten()
    look = {arm: style for arm, style in look.items() if arm in set(curves["arm"])}
    for panel, (measure, title) in zip(panels, CHANGES.items(), strict=True):
        panel.axhline(0, color="#444444", lw=0.8)
        mine = curves[curves["measure"] == measure]
        shift = np.linspace(-0.02, 0.02, max(len(look), 2))
        for place, (arm, line) in enumerate(mine.groupby("arm")):
            line = line.sort_values("strength")
            x = line["strength"] * 10 ** shift[place]
            bars = [line["median"] - line["low"], line["high"] - line["median"]]
            panel.errorbar(
                x, line["median"], yerr=bars, capsize=2, elinewidth=0.9, **look[str(arm)]._asdict()
            )
        panel.set_title(f"{title}: change from plain distillation")
        panel.set_xscale("log")
        ends = mine[["median", "low", "high"]].to_numpy(float)
        signed_axis(panel, ends, far=np.inf, least=1.0 if measure == "change_complexity" else 1e-3)
    for panel in panels[2:]:
        panel.set_xlabel("strength λ")
    _legend(figure, look)
    return figure


def _legend(figure: Figure, look: Looks) -> None:
    legend(
        figure,
        [arm_handle(arm, look[arm], regime_of(arm)[0] not in PLAIN) for arm in in_order(look)],
    )
