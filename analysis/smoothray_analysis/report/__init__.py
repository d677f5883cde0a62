"""A study's report: one page, its plots and its tables."""

from __future__ import annotations

from smoothray_analysis.report.write import write_report

__all__ = ["write_report"]
