"""Data sets × arms at a glance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smoothray_analysis.arms import ENDING
from smoothray_analysis.plots.style import short, styled

GAP = 0.1
"""R² behind the row's best from which a cell is white."""


@styled
def heat_plot(scores: pd.DataFrame) -> Figure:
    """Median test R² of each arm on each data set, the row's best in bold.

    scores: (data sets, arms). The darker a cell, the nearer to the best arm of its row; white is GAP or
    more behind.
    """
    values = scores.to_numpy(float)
    best = np.nanmax(np.where(np.isfinite(values), values, -np.inf), axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        near = np.clip(1 - (best - values) / GAP, 0, 1)
    rows, columns = values.shape
    names = [str(arm).replace(ENDING, f"\n{ENDING.strip()}") for arm in scores.columns]
    longest = max((len(part) for name in names for part in name.split("\n")), default=0)
    wide = max(0.62, 0.075 * longest / 1.8)
    figure = Figure(figsize=(2.4 + wide * columns, 0.9 + 0.235 * rows), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.ma.masked_invalid(near), cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for i in range(rows):
        for j in range(columns):
            value = values[i, j]
            text = "–" if not np.isfinite(value) else _text(value)
            top = np.isfinite(value) and value == best[i, 0]
            axes.text(
                j, i, text, ha="center", va="center", fontsize=7.5,
                color="white" if near[i, j] > 0.75 else "black", fontweight="bold" if top else "normal",
            )  # fmt: skip
    axes.set_xticks(range(columns), [short(name, 48) for name in names], rotation=35, ha="left",
                    rotation_mode="anchor")  # fmt: skip
    axes.xaxis.tick_top()
    axes.set_yticks(range(rows), [short(str(name)) for name in scores.index])
    axes.tick_params(length=0)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _text(value: float) -> str:
    return (
        f"{value:.3f}"
        if abs(value) < 10
        else f"{value:.0f}"
        if abs(value) < 1e4
        else f"{value:.0e}"
    )
