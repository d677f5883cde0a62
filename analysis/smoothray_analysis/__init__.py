"""What a study's records say. Reads tables of records and nothing else; needs neither ray nor torch."""

from __future__ import annotations

from smoothray_analysis.summary import arm_medians, best_strengths, summarise

__all__ = ["arm_medians", "best_strengths", "summarise"]
