"""Shorter constants: as few digits as leave the predictions as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr

from smoothray.formulas.algebra import number
from smoothray.formulas.program import Program, evaluate
from smoothray.formulas.tree import replace_leaves

FEWEST_DIGITS = 4
MOST_DIGITS = 17  # what a double needs to be written without loss


def round_constants(
    expr: Expr,
    X: ArrayLike,
    names: Sequence[str] | None = None,
    tolerance: float = 1e-4,
    most: float = np.inf,
) -> Expr:
    """The formula with its constants rounded to as few significant digits (4 .. 17) as will do.

    X: rows (n, d) in the units of the formula.
    names: the columns of X, where the formula is written in column names.
    tolerance: by how much a prediction on any row may change, in standard deviations of the
        predictions; of a constant formula, by which part of itself. Rows without a finite prediction must
        stay without one.
    most: by how much it may change at the most, in the formula's own units.

    One number of digits is found for all constants, then each constant is tried with fewer.
    """
    program = Program(expr, names)
    X = np.asarray(X, dtype=float)
    accepts = _Acceptance(program.values(X), tolerance, most)
    digits = _fewest_digits(program, X, accepts)

    def leaf(node: Expr) -> Expr:
        return number(_round(float(node), digits[float(node)])) if node.is_Float else node

    rounded = replace_leaves(expr, leaf)
    return rounded if accepts(evaluate(rounded, X, names)) else expr


def round_values(
    program: Program, X: ArrayLike, tolerance: float = 1e-4, most: float = np.inf
) -> list[float]:
    """The same for the constants of a program, in their order."""
    X = np.asarray(X, dtype=float)
    exact = [float(value) for value in program.constants.values()]
    accepts = _Acceptance(program.values(X), tolerance, most)
    digits = _fewest_digits(program, X, accepts)
    return [_round(value, digits[value]) for value in exact]


def _fewest_digits(
    program: Program, X: NDArray[np.float64], accepts: _Acceptance
) -> dict[float, int]:
    """By constant, the digits that it needs. The program's constants are changed on the way."""
    exact = {slot: float(value) for slot, value in program.constants.items()}

    def works(digits: dict[float, int]) -> bool:
        program.constants = {
            slot: np.float64(_round(value, digits[value])) for slot, value in exact.items()
        }
        return accepts(program.values(X))

    values = dict.fromkeys(exact.values())
    digits: dict[float, int] = {}
    for common in range(FEWEST_DIGITS, MOST_DIGITS + 1):
        digits = dict.fromkeys(values, common)
        if works(digits):
            break
    for value in values:
        for fewer in range(FEWEST_DIGITS, digits[value]):
            if works({**digits, value: fewer}):
                digits[value] = fewer
                break
    return digits


def _round(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


class _Acceptance:
    """Whether predictions (n,) are those of the formula, within the tolerance."""

    def __init__(self, predictions: NDArray[np.float64], tolerance: float, most: float) -> None:
        self.finite = np.isfinite(predictions)
        self.predictions = predictions[self.finite]
        with np.errstate(all="ignore"):
            spread = float(np.std(self.predictions)) if self.predictions.size else 0.0
            # A constant formula is measured by its own size.
            largest = float(np.max(np.abs(self.predictions), initial=0.0))
        self.allowed = min(most, tolerance * (spread if spread > 1e-12 * largest else largest))

    def __call__(self, values: NDArray[np.float64]) -> bool:
        if not np.array_equal(np.isfinite(values), self.finite):
            return False
        change = np.abs(values[self.finite] - self.predictions)
        return bool(np.max(change, initial=0.0) <= self.allowed)
