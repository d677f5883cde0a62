"""Pictures of what records say. Each function draws one picture into one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe & Ito 2008: told apart by the colour-blind, and in grey by their markers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")


def front_picture(fronts: Mapping[str, pd.DataFrame], file: Path) -> None:
    """Pareto fronts: validation R² against complexity, the chosen members ringed.

    fronts: by label, a row a member with complexity, r2_val and chosen.
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for place, (label, front) in enumerate(fronts.items()):
        colour, marker = COLOURS[place % 6], MARKERS[place % 6]
        axes.plot(
            front["complexity"], front["r2_val"], color=colour, marker=marker, ms=4, lw=1,
            drawstyle="steps-post", label=label,
        )  # fmt: skip
        chosen = front[front["chosen"]]
        axes.plot(
            chosen["complexity"], chosen["r2_val"], ls="", marker="o", ms=12, mfc="none",
            mec=colour, mew=1.5,
        )  # fmt: skip
    best = max(front["r2_val"].max() for front in fronts.values())
    worst = min(front["r2_val"].min() for front in fronts.values())
    axes.set_ylim(max(worst, -0.5) - 0.05, best + 0.05)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("complexity (nodes)")
    axes.set_ylabel("R² on validation rows")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, title="ring: chosen", loc="lower right")
    figure.savefig(file, dpi=150)
