"""Forest plots: each data set's difference between two arms, with its interval."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smoothray_analysis.arms import BASE_NAMES
from smoothray_analysis.plots.signed import reach, signed_axis
from smoothray_analysis.plots.style import WIDTH, Looks, short, styled
from smoothray_analysis.text import plain_number


@styled
def forest_plot(
    table: pd.DataFrame, over: pd.DataFrame, base: str, rope: float, look: Looks
) -> Figure:
    """Differences in test R² from one base, a panel an arm, a line a data set, all data sets below.

    table, over: `comparisons.per_dataset` and `over_datasets` of one student and this base. Filled markers
    are significant after Holm. The axis covers every interval, up to a difference of `signed.FAR`: beyond it
    an end is an arrow, with the value where the median is there too.
    """
    arms = list(dict.fromkeys(table["arm"]))
    datasets = sorted(table["dataset"].unique())
    columns = min(len(arms), 3)
    rows = math.ceil(len(arms) / columns)
    height = 0.21 * (len(datasets) + 1) + 0.75
    figure = Figure(figsize=(WIDTH, rows * height + 0.35), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    ends = [frame[["difference", "low", "high"]].to_numpy(float).ravel() for frame in (table, over)]
    limit = max(reach(np.concatenate(ends)), 2 * rope, 1e-3)
    for place, panel in enumerate(axes):
        panel.set_visible(place < len(arms))
    for panel, arm in zip(axes, arms, strict=False):
        mine = table[table["arm"] == arm].set_index("dataset").reindex(datasets)
        panel.axvspan(-rope, rope, color="#eeeeee", zorder=0)
        panel.axvline(0, color="#444444", lw=0.8)
        for y, row in enumerate(mine.to_dict("records")):
            _line(panel, y, row, limit, look[arm].color, "o")
        whole = over[over["arm"] == arm]
        if len(datasets) > 1 and len(whole):
            panel.axhline(len(datasets) - 0.5, color="#999999", lw=0.8)
            _line(panel, len(datasets), whole.iloc[0].to_dict(), limit, "#000000", "D")
        panel.set_title(arm)
    first = axes[0]
    for panel in axes[: len(arms)]:  # sharing an axis shares its limits, not how it is scaled
        signed_axis(
            panel, np.concatenate(ends), which="x", least=max(2 * rope, 1e-3), symmetric=True
        )
    labels = [short(name) for name in datasets]
    if len(datasets) > 1:
        labels.append("median over data sets")
    first.set_yticks(range(len(labels)), labels)
    first.set_ylim(len(labels) - 0.4, -0.6)
    # Panels in a row share their labels; where the last row is shorter, the panel above needs its own.
    for place, panel in enumerate(axes[: len(arms)]):
        if place + columns >= len(arms):
            panel.tick_params(labelbottom=True)
    figure.supxlabel(f"difference in test R² from {BASE_NAMES[base]}; right is better", fontsize=9)
    return figure


def _line(
    panel: Axes, y: float, row: dict[str, float], limit: float, color: str, marker: str
) -> None:
    middle, low, high = row["difference"], row["low"], row["high"]
    if not np.isfinite(middle):
        panel.text(0, y, "no pairs", fontsize=7, va="center", ha="center", color="#444444",
                   bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # fmt: skip
        return
    if np.isfinite(low):
        panel.plot(np.clip([low, high], -limit, limit), [y, y], color=color, lw=1.2)
        for end in (low, high):
            if abs(end) > limit:
                mark = "<" if end < 0 else ">"
                panel.plot(math.copysign(limit, end), y, mark, color=color, ms=4, mfc="white")
    clear = row["verdict"] in ("better", "worse")  # type: ignore[comparison-overlap]
    inside = color if clear else "white"
    if abs(middle) > limit:
        arrow = "<" if middle < 0 else ">"
        panel.plot(math.copysign(limit, middle), y, arrow, color=color, mfc=inside, ms=6)
        panel.text(
            math.copysign(limit * 0.8, middle), y, plain_number(middle, 2), fontsize=7, color=color,
            va="center", ha="left" if middle < 0 else "right",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},
        )  # fmt: skip
        return
    panel.plot(middle, y, marker, color=color, mfc=inside, ms=5)
