"""The search over penalty strength, as plain Python: which arm comes next, and which need not go on."""

from __future__ import annotations

from smoothray.search.search import Search, Turn, Wait

__all__ = ["Search", "Turn", "Wait"]
