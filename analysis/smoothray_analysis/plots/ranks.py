"""The critical-difference diagram (Demšar 2006, fig. 1)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from smoothray_analysis.plots.style import WIDTH, Looks, styled


@styled
def rank_plot(ranks: pd.DataFrame, pairwise: pd.DataFrame, look: Looks) -> Figure:
    """Mean ranks on one line, 1 the best at the right; bars join arms that do not differ significantly.

    ranks: `arm`, `mean_rank`, `critical_difference` of one student. pairwise: `over_datasets.wilcoxon_holm`
    of the same. The bars are of these tests; Nemenyi's critical difference stands above for comparison.
    """
    ordered = ranks.sort_values("mean_rank", kind="stable")
    names, means = ordered["arm"].tolist(), ordered["mean_rank"].tolist()
    count = len(names)
    bars = _cliques(names, pairwise)
    half = (count + 1) // 2
    top = 0.55 + 0.22 * len(bars)
    depth = top + 0.34 * half
    figure = Figure(figsize=(WIDTH * 0.85, 0.75 + 0.62 * depth), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    # The best rank is at the right, as its labels are.
    low, high = 1.0, float(max(count, 2))
    room = 0.42 * (high - low)
    axes.set_xlim(high + room, low - room)
    axes.set_ylim(depth + 0.1, -1.15)
    axes.plot([low, high], [0, 0], color="black", lw=1.2)
    for rank in range(1, round(high) + 1):
        axes.plot([rank, rank], [0, -0.12], color="black", lw=1)
        axes.text(rank, -0.2, str(rank), ha="center", va="bottom", fontsize=8)
    gap = float(ordered["critical_difference"].iloc[0])
    if gap <= high - low:
        axes.plot([high, high - gap], [-0.78, -0.78], color="black", lw=1.2, marker="|", ms=7)
        axes.text(high - gap / 2, -0.86, f"critical difference {gap:.2f}", ha="center", va="bottom",
                  fontsize=8)  # fmt: skip
    else:
        axes.text(high, -0.78, f"critical difference {gap:.2f}: wider than the axis", ha="left",
                  va="center", fontsize=8)  # fmt: skip
    for place, (first, last) in enumerate(bars):
        y = 0.28 + 0.22 * place
        ends = [means[first] - 0.02 * (high - low) / 5, means[last] + 0.02 * (high - low) / 5]
        axes.plot(ends, [y, y], color="black", lw=3.5, solid_capstyle="round")
    for place, (name, mean) in enumerate(zip(names, means, strict=True)):
        right = place < half
        y = top + 0.34 * (place if right else count - 1 - place)
        edge = low - 0.04 * (high - low) if right else high + 0.04 * (high - low)
        axes.plot([mean, mean, edge], [0, y, y], color=look[name].color, lw=1)
        axes.plot(
            mean, 0, look[name].marker, color=look[name].color, ms=5, mfc=look[name].markerfacecolor
        )
        text = f"{name}  ({mean:.2f})" if right else f"({mean:.2f})  {name}"
        axes.text(edge, y, f" {text} ", ha="left" if right else "right", va="center", fontsize=9)
    return figure


def _cliques(names: list[str], pairwise: pd.DataFrame) -> list[tuple[int, int]]:
    """The longest runs in the order of ranks of which no two differ significantly."""
    apart = set()
    for row in pairwise[pairwise["significant"].astype(bool)].itertuples():
        apart |= {(row.first, row.second), (row.second, row.first)}
    runs: list[tuple[int, int]] = []
    for first in range(len(names)):
        last = first
        while last + 1 < len(names) and not any(
            (names[i], names[last + 1]) in apart for i in range(first, last + 1)
        ):
            last += 1
        if last > first and not (runs and runs[-1][1] >= last):
            runs.append((first, last))
    return runs
