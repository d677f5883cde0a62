"""Pictures of what records say. Each function returns one matplotlib Figure; `save` writes it."""

from __future__ import annotations

from smoothray_analysis.pictures.forest import forest_picture
from smoothray_analysis.pictures.fronts import front_picture, fronts_picture
from smoothray_analysis.pictures.heat import heat_picture
from smoothray_analysis.pictures.ranks import rank_picture
from smoothray_analysis.pictures.smoothness import alignment_picture, trade_off_picture
from smoothray_analysis.pictures.strengths import strength_picture, why_picture
from smoothray_analysis.pictures.style import save

__all__ = [
    "alignment_picture", "forest_picture", "front_picture", "fronts_picture", "heat_picture",
    "rank_picture", "save", "strength_picture", "trade_off_picture", "why_picture",
]  # fmt: skip
