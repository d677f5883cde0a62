"""Plots of what records say. Each function returns one matplotlib Figure; `save` writes it."""

from __future__ import annotations

from smoothray_analysis.plots.endpoints import endpoint_plot
from smoothray_analysis.plots.forest import forest_plot
from smoothray_analysis.plots.fronts import front_plot, fronts_plot
from smoothray_analysis.plots.heat import heat_plot
from smoothray_analysis.plots.moderation import moderation_plot
from smoothray_analysis.plots.ranks import rank_plot
from smoothray_analysis.plots.runs import catastrophe_plot, profile_plot
from smoothray_analysis.plots.smoothness import association_plot, trade_off_plot
from smoothray_analysis.plots.strengths import mechanism_plot, strength_plot
from smoothray_analysis.plots.style import save

__all__ = [
    "association_plot", "catastrophe_plot", "endpoint_plot", "forest_plot", "front_plot", "fronts_plot",
    "heat_plot", "mechanism_plot", "moderation_plot", "profile_plot", "rank_plot", "save", "strength_plot",
    "trade_off_plot",
]  # fmt: skip
