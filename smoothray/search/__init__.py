"""The search over penalty strength, as plain Python: which setting comes next, and which need not go on."""

from __future__ import annotations

from smoothray.search.board import Board, Score
from smoothray.search.search import Search, Wait

__all__ = ["Board", "Score", "Search", "Wait"]
