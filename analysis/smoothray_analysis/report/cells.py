"""What stands in the cells of a report's tables, as functions of a row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from smoothray_analysis.text import p_text, plain_number

Cell = Callable[[dict[Any, Any]], str]
NOTHING = "–"


def text(column: str) -> Cell:
    return lambda row: "" if pd.isna(row[column]) else str(row[column])


def whole(column: str) -> Cell:
    return lambda row: f"{int(row[column]):,}" if pd.notna(row.get(column)) else NOTHING


def number(column: str, digits: int = 3) -> Cell:
    return lambda row: digits_text(row.get(column), digits)


def p_value(column: str) -> Cell:
    def cell(row: dict[Any, Any]) -> str:
        return p_text(row[column])[2:].removeprefix("= ") if is_number(row[column]) else NOTHING

    return cell


def signed(column: str, digits: int = 3) -> Cell:
    return lambda row: plain_number(row[column], digits) if is_number(row.get(column)) else NOTHING


def strength(column: str) -> Cell:
    return lambda row: f"{row[column]:.3g}" if is_number(row[column]) else NOTHING


def digits_text(value: Any, digits: int = 3) -> str:
    """A number without its plus sign, with a dash where there is none."""
    if not is_number(value):
        return NOTHING
    if abs(value) >= 1e6:
        return f"{value:.2g}".replace("-", "−")
    return f"{value:.{digits}f}".replace("-", "−")


def is_number(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def signed_interval(row: dict[Any, Any]) -> str:
    return _interval(row, plain_number)


def interval(row: dict[Any, Any]) -> str:
    return _interval(row, digits_text)


def counts(row: dict[Any, Any]) -> str:
    return f"{row['wins']:.0f}/{row['ties']:.0f}/{row['losses']:.0f}"


def _interval(row: dict[Any, Any], text: Callable[[float], str]) -> str:
    ends = row["low"], row["high"]
    return f"[{', '.join(map(text, ends))}]" if all(map(is_number, ends)) else NOTHING
