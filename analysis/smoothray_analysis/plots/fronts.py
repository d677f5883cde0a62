"""Pareto fronts: validation R², spaced by log(1 − R²), against complexity, the chosen members ringed."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from smoothray_analysis.plots.accuracy import accuracy_axis, error
from smoothray_analysis.plots.style import Looks, grid_of_panels, legend, looks, styled


@styled
def front_plot(fronts: Mapping[str, pd.DataFrame], width: float = 6.4) -> Figure:
    """Fronts in one panel, at most 6.4 inches wide.

    fronts: by label, a row a member with complexity, r2_val and chosen.
    """
    figure = Figure(figsize=(min(width, 6.4), 4.0), layout="constrained")
    axes = figure.subplots()
    _draw(axes, fronts, looks(fronts))
    axes.set_xlabel("complexity (nodes)")
    axes.set_ylabel("R² on validation rows (spaced by log(1 − R²))")
    axes.legend(title="ring: chosen", loc="lower right")
    return figure


@styled
def fronts_plot(fronts: pd.DataFrame, look: Looks) -> Figure:
    """Fronts in small panels, one a data set.

    fronts: a row a member with dataset, arm, complexity, r2_val and chosen, one front a data set and arm.
    """
    datasets = sorted(fronts["dataset"].unique())
    figure, panels = grid_of_panels(datasets)
    for panel, dataset in zip(panels, datasets, strict=True):
        mine = fronts[fronts["dataset"] == dataset]
        _draw(panel, {str(arm): front for arm, front in mine.groupby("arm")}, look)
    figure.supxlabel("complexity (nodes); ring: chosen", fontsize=9)
    figure.supylabel("R² on validation rows (spaced by log(1 − R²))", fontsize=9)
    handles: dict[str, Artist] = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    legend(figure, handles.values())
    return figure


def _draw(axes: Axes, fronts: Mapping[str, pd.DataFrame], look: Looks) -> None:
    for label, front in fronts.items():
        front = front.sort_values("complexity")
        style = look[label]._replace(linestyle="-")._asdict()
        axes.plot(front["complexity"], error(front["r2_val"]), label=label, **style, ms=3.5, lw=1)
        chosen = front[front["chosen"].astype(bool)]
        axes.plot(
            chosen["complexity"], error(chosen["r2_val"]), ls="", marker="o", ms=10, mfc="none",
            mec=look[label].color, mew=1.4,
        )  # fmt: skip
    values = pd.concat([front["r2_val"] for front in fronts.values()]).astype(float)
    accuracy_axis(axes, values)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
