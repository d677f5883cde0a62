"""What a study's records say. Reads tables of records and nothing else; needs neither ray nor torch."""

from __future__ import annotations

from smoothray_analysis.summary import summarise

__all__ = ["summarise"]
