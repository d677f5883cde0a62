"""Which kind of data set gains from smoothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from smoothray_analysis.arms import BASE_NAMES, EARLY
from smoothray_analysis.moderators import AGAINST, MODERATORS
from smoothray_analysis.plots.style import COLOURS, WIDTH, legend, styled
from smoothray_analysis.regimes import REGIMES


@styled
def moderation_plot(over: pd.DataFrame) -> Figure:
    """Rank correlations of the data sets' gains with what the data sets are like, a panel a baseline.

    over: `moderators.moderations` of one student. Filled: significant after Holm. Of two regimes each has its
    colour and marker.
    """
    bases = [base for base in AGAINST if base in set(over["base"])]
    names = [name for name in MODERATORS if name in set(over["moderator"])]
    regimes = [regime for regime in REGIMES if regime in set(over["stopping"])]
    figure = Figure(
        figsize=(WIDTH if len(bases) > 1 else WIDTH * 0.65, 1.1 + 0.42 * len(names)),
        layout="constrained",
    )
    panels = figure.subplots(1, len(bases), squeeze=False, sharex=True, sharey=True)[0]
    for panel, base in zip(panels, bases, strict=True):
        panel.axvline(0, color="#444444", lw=0.8)
        for row in over[over["base"] == base].to_dict("records"):
            place = regimes.index(row["stopping"])
            y = names.index(row["moderator"]) + 0.24 * (place - (len(regimes) - 1) / 2)
            color, marker = _drawn(row["stopping"])
            if np.isfinite([row["low"], row["high"]]).all():
                panel.plot([row["low"], row["high"]], [y, y], color=color, lw=1.6)
            inside = color if row["significant"] else "white"
            panel.plot(row["rho"], y, marker, color=color, mfc=inside, ms=6)
        panel.set_title(f"gain over {BASE_NAMES[base]}")
    panels[0].set_yticks(range(len(names)), [MODERATORS[name][0] for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    panels[0].set_xlim(-1.04, 1.04)
    figure.supxlabel("rank correlation over the data sets", fontsize=9)
    if len(regimes) > 1:
        legend(figure, [
            Line2D([], [], color=_drawn(regime)[0], marker=_drawn(regime)[1], mfc="white",
                   label=f"teachers {REGIMES[regime]}")
            for regime in regimes
        ])  # fmt: skip
    return figure


def _drawn(regime: str) -> tuple[str, str]:
    return (COLOURS[0], "o") if regime == EARLY else (COLOURS[1], "s")
