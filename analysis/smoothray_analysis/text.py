"""Numbers and lists in plain English."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def plain_number(value: float, digits: int = 3) -> str:
    """A signed number with a true minus sign.

    What rounds to 0 gets one digit more, so that its sign is seen.

    >>> plain_number(0.0214), plain_number(-0.5, 1), plain_number(-0.0004), plain_number(1e-9)
    ('+0.021', '−0.5', '−0.0004', '0.000')
    """
    if not np.isfinite(value):
        return "not known"
    text = f"{value:+.{digits}f}"
    if digits and float(text) == 0 and float(f"{value:.{digits + 1}f}"):
        text = f"{value:+.{digits + 1}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def p_text(p: float) -> str:
    """A p-value as text.

    >>> p_text(0.0312), p_text(1e-7)
    ('p = 0.031', 'p < 0.001')
    """
    if np.isnan(p):
        return "no p"
    if p < 0.001:
        return "p < 0.001"
    # Close to the usual level, three digits would not tell on which side of it p lies.
    digits = 4 if abs(p - 0.05) < 0.0005 else 3 if p < 0.1 else 2
    return f"p = {p:.{digits}f}"


def and_list(words: Sequence[str]) -> str:
    """Words as a list in a sentence.

    >>> and_list(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def one_or_more(words: Sequence[str], one: str, more: str) -> str:
    """The verb that a list of words takes."""
    return one if len(words) == 1 else more


def count(number: int, one: str, more: str | None = None) -> str:
    """A number of things, as "1 pair" or "2 pairs"."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"
