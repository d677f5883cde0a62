"""Every named comparison by every endpoint, over all data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from smoothray_analysis.arms import BASE_NAMES
from smoothray_analysis.headline import SHOWN
from smoothray_analysis.plots.signed import signed_axis
from smoothray_analysis.plots.style import WIDTH, Looks, styled

ORDER = ("none", "weight_decay", "none_early", "none_to_the_end", "direct")
"""What arms are compared with, as the plot has it from above: what smoothing changes comes first."""


@styled
def endpoint_plot(over: pd.DataFrame, rope: float, look: Looks) -> Figure:
    """Median paired differences over the data sets, a line a comparison, a panel an endpoint.

    over: `comparisons.Comparisons.over_datasets` of one student, all endpoints. Filled markers are
    significant after Holm; the thin line joins the quartiles of the data sets, the thick one is the median's
    interval.
    """
    lines: list[tuple[str, str | None]] = []
    for base in ORDER:
        arms = dict.fromkeys(over.loc[over["base"] == base, "arm"])
        lines += [(base, None)] * bool(arms) + [(base, arm) for arm in arms]
    figure = Figure(figsize=(WIDTH, 0.19 * len(lines) + 0.75), layout="constrained")
    panels = figure.subplots(1, len(SHOWN), sharey=True)
    for panel, (endpoint, title) in zip(panels, SHOWN, strict=True):
        mine = over[over["endpoint"] == endpoint.name].set_index(["base", "arm"])
        panel.axvspan(-rope, rope, color="#eeeeee", zorder=0)
        panel.axvline(0, color="#444444", lw=0.8)
        for y, line in enumerate(lines):
            if line in mine.index:
                row: Any = mine.loc[[line]].iloc[0].to_dict()
                colour = look[str(line[1])].color
                panel.plot([row["lower"], row["upper"]], [y, y], color=colour, lw=0.8)
                panel.plot([row["low"], row["high"]], [y, y], color=colour, lw=2.6)
                clear = row["verdict"] in ("better", "worse")
                panel.plot(row["difference"], y, look[str(line[1])].marker, color=colour, ms=5,
                           mfc=colour if clear else "white")  # fmt: skip
        ends = mine[["difference", "low", "high", "lower", "upper"]]
        signed_axis(panel, ends.to_numpy(float), which="x", least=max(2 * rope, 1e-3))
        panel.set_title(title)
    labels = [f"against {BASE_NAMES[base]}" if arm is None else arm for base, arm in lines]
    panels[0].set_yticks(np.arange(len(lines)), labels)
    for text, (_, arm) in zip(panels[0].get_yticklabels(), lines, strict=True):
        text.set_fontweight("bold" if arm is None else "normal")
    panels[0].set_ylim(len(lines) - 0.4, -0.6)
    figure.supxlabel("difference: right is higher", fontsize=9)
    return figure
