"""What a formula's page says in words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from smoothray_analysis.report.cells import NOTHING, digits_text, is_number
from smoothray_analysis.text import count

if TYPE_CHECKING:
    from smoothray_analysis.report.formula_page import FormulaPage

ALIKE = 0.4
"""The alignment within which teacher and formula are called about as smooth: slopes differ by a fifth."""


class ScoreRow(NamedTuple):
    """A line of the table of scores, its cells as text."""

    label: str
    nodes: str
    test: str
    train: str
    median: str
    range: str


def headline(page: FormulaPage) -> str:
    """The result in one sentence or two."""
    test = page.scores["test"]
    n = int((page.rows["part"] == "test").sum())
    said = (
        f"On {count(n, 'row')} that it was not made from, the formula has an R² of "
        f"{digits_text(test['r2'])}; the network it was distilled from has "
        f"{digits_text(test['teacher_r2'])}, and a formula fitted without a network "
        f"{digits_text(test['direct_r2'])}."
    )
    if test["r2"] < 0:
        said += " That is worse than their mean would be: the formula is of no use as it is."
    elif test["r2"] <= test["direct_r2"]:
        said += " On these rows the direct fit does as well or better."
    return said


def score_rows(page: FormulaPage) -> list[ScoreRow]:
    """R² on test and training rows, and over the repeats where there are any."""
    lines = (
        ("this formula", str(page.formula.complexity), "r2", "r2_test"),
        (f"its teacher ({page.teacher})", "", "teacher_r2", "teacher_r2_test"),
        ("direct fit, without a teacher", str(page.direct.complexity), "direct_r2", "direct_r2_test"),
        ("formula against teacher (fidelity)", "", "fidelity", "fidelity_test"),
    )  # fmt: skip
    return [
        ScoreRow(
            label,
            nodes,
            digits_text(page.scores["test"][score]),
            digits_text(page.scores.get("train", {}).get(score)),
            *_over(page.repeats, column),
        )
        for label, nodes, score, column in lines
    ]


def _over(repeats: pd.DataFrame | None, column: str) -> tuple[str, str]:
    if repeats is None or column not in repeats or repeats[column].isna().all():
        return NOTHING, NOTHING
    values = repeats[column]
    return digits_text(
        values.median()
    ), f"{digits_text(values.min())} to {digits_text(values.max())}"


def repeats_words(repeats: pd.DataFrame) -> list[str]:
    """How often smoothing paid, and how long the formulas were."""
    pairs = repeats[["r2_test", "direct_r2_test"]].dropna()
    better = int((pairs["r2_test"] > pairs["direct_r2_test"]).sum())
    sizes = repeats["complexity"].dropna()
    lines = [
        f"The distilled formula beat the direct fit in {better} of {count(len(pairs), 'repeat')}, on the "
        "same rows each time."
    ]
    if len(sizes):
        lines.append(
            f"The formulas had {sizes.min():.0f} to {sizes.max():.0f} nodes, "
            f"{sizes.median():g} in the median."
        )
    return lines


def smoothness_words(page: FormulaPage) -> list[str]:
    """How smooth teacher and formula are, said as slopes; empty where nothing was measured."""
    measured = page.smoothness
    lines = []
    for who, key in (("The teacher", "teacher"), ("The formula", "student")):
        squared, largest = measured.get(f"{key}_jacobian"), measured.get(f"{key}_gradient_max")
        if squared is not None and is_number(squared) and squared >= 0:
            at_most = (
                f", at most {largest:.3g}" if largest is not None and is_number(largest) else ""
            )
            lines.append(
                f"{who}: one step in the steepest direction changes the prediction by typically "
                f"{squared**0.5:.3g}{at_most}."
            )
    alignment = measured.get("alignment")
    if alignment is not None and is_number(alignment):
        slopes = math.exp(abs(alignment) / 2)
        lines.append(
            f"So the two are about equally smooth (alignment {_signed(alignment)})."
            if abs(alignment) < ALIKE
            else f"So the formula is {'rougher' if alignment > 0 else 'smoother'} than its teacher: its "
            f"slopes are {slopes:.2g} times {'as steep' if alignment > 0 else 'flatter'} (alignment "
            f"{_signed(alignment)}; 0: equally smooth)."
        )
    return lines


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def columns_used(formula: str, names: Sequence[str]) -> Iterable[str]:
    """Which columns stand in a formula's text; the longest names are looked for first.

    >>> sorted(columns_used("2*a b + exp(x)", ["a", "a b", "x", "e"]))
    ['a b', 'x']
    """
    inside = []
    for name in sorted(names, key=len, reverse=True):
        formula, times = re.subn(rf"(?<!\w){re.escape(name)}(?!\w)", " \0 ", formula)
        if times:
            inside.append(name)
    return inside
