"""How single runs come out: performance profiles, and the share of catastrophes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from smoothray_analysis.arms import PLAIN
from smoothray_analysis.plots.accuracy import accuracy_axis, error
from smoothray_analysis.plots.style import WIDTH, Looks, arm_handle, legend, styled
from smoothray_analysis.regimes import in_order, regime_of


@styled
def profile_plot(table: pd.DataFrame, look: Looks) -> Figure:
    """Performance profiles, a panel a smooth arm with direct fit and plain distillation beside it.

    table: `runs.profiles` of one student. Regimes of an arm share a panel. Bands: 95 % over the data sets.
    """
    arms = in_order(table["arm"].unique())
    plain = [arm for arm in arms if regime_of(arm)[0] in PLAIN]
    families = list(dict.fromkeys(regime_of(arm)[0] for arm in arms if arm not in plain))
    columns = min(max(len(families), 1), 3)
    rows = math.ceil(max(len(families), 1) / columns)
    width = WIDTH if columns > 1 else WIDTH * 0.62
    figure = Figure(figsize=(width, 2.7 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for place, panel in enumerate(panels):
        panel.set_visible(place < max(len(families), 1))
        if place >= max(len(families), 1):
            continue
        family = families[place] if families else ""
        mine = [*plain, *(arm for arm in arms if arm not in plain and regime_of(arm)[0] == family)]
        for arm in mine:
            line = table[table["arm"] == arm].sort_values("score")
            x, own = error(line["score"]), look[arm]
            if line["low"].notna().all():
                panel.fill_between(x, line["low"], line["high"], color=own.color, alpha=0.13, lw=0)
            panel.plot(x, line["share"], color=own.color, ls=own.linestyle)
        accuracy_axis(panel, table["score"], most=5 if columns > 1 else 7, across=True)
        panel.set_ylim(-0.02, 1.02)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        panel.set_title(family)
        if place + columns >= len(families):
            panel.tick_params(labelbottom=True)
    figure.supxlabel("test R² of a run's formula (spaced by log(1 − R²))", fontsize=9)
    figure.supylabel("runs above it", fontsize=9)
    legend(figure, [arm_handle(arm, look[arm], marked=False) for arm in arms])
    return figure


@styled
def catastrophe_plot(table: pd.DataFrame, look: Looks) -> Figure:
    """The share of runs with a test R² below 0, a line an arm, with its interval and its number.

    table: `runs.catastrophes` of one student.
    """
    arms = in_order(table["arm"])
    ordered = table.set_index("arm").loc[arms]
    figure = Figure(figsize=(WIDTH * 0.72, 0.75 + 0.26 * len(arms)), layout="constrained")
    axes = figure.subplots()
    for y, (arm, row) in enumerate(zip(arms, ordered.to_dict("records"), strict=True)):
        own = look[arm]
        if np.isfinite([row["low"], row["high"]]).all():
            axes.plot([row["low"], row["high"]], [y, y], color=own.color, lw=1.6)
        face = own.markerfacecolor or own.color
        axes.plot(row["share"], y, own.marker, color=own.color, mfc=face, ms=6, clip_on=False)
        axes.text(1.02, y, f"{row['number']:,} of {row['runs']:,}", fontsize=8, va="center",
                  transform=axes.get_yaxis_transform())  # fmt: skip
    highest = float(np.nanmax(ordered[["share", "high"]].to_numpy(float), initial=0.0))
    axes.set_xlim(0, min(max(1.06 * highest, 0.05), 1.02))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.set_xlabel("runs whose formula is worse than the mean (test R² < 0)")
    return figure
