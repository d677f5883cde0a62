"""The constants of a formula by least squares: Levenberg and Marquardt's method, with exact derivatives.

Marquardt, An algorithm for least-squares estimation of nonlinear parameters, 1963; steps are damped by the
largest curvatures seen so far (Moré, 1978), so that constants of any size are treated alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smoothray.formulas.compiled import Compiled
from smoothray.formulas.skeleton import Node, constants, with_constants

Array = NDArray[np.float64]
ENOUGH = 1e-4
"""The part of a loss by which a step must better it for another one."""


class Rows(NamedTuple):
    """What is fitted to: inputs (n, d) and target (n,)."""

    X: Array
    y: Array

    @classmethod
    def of(cls, X: Array, y: Array, most: int | None = None) -> Rows:
        """The rows, or `most` of them evenly picked."""
        if most is not None and len(y) > most:
            picked = np.linspace(0, len(y) - 1, most).round().astype(int)
            X, y = X[picked], y[picked]
        return cls(np.asfortranarray(X), y)


def mean_square(residuals: Array) -> float:
    """Infinite where a value does not exist."""
    loss = float(residuals @ residuals) / len(residuals)
    return loss if np.isfinite(loss) else np.inf


def loss_of(node: Node, rows: Rows) -> float:
    """A formula's mean squared error on the rows, with the constants that it has."""
    with np.errstate(all="ignore"):
        return mean_square(Compiled(node).values(rows.X) - rows.y)


def refit(
    node: Node,
    rows: Rows,
    steps: int,
    *,
    enough: float = ENOUGH,
    free: NDArray[np.bool_] | None = None,
) -> tuple[Node, float]:
    """The formula with better constants, and its mean squared error.

    steps: evaluations at most. enough: see `ENOUGH`. free (p,): which constants may change; None: all.
    """
    program = Compiled(node)
    theta = np.array(constants(node))
    free = np.ones(len(theta), dtype=bool) if free is None else free
    with np.errstate(all="ignore"):
        parts = program.parts(rows.X)
        residuals = parts[program.result] - rows.y
        loss = mean_square(residuals)
        if not np.isfinite(loss) or not free.any():
            return node, loss
        start, damping, curvature = loss, 1e-3, np.zeros(int(free.sum()))
        while steps > 0 and loss > 0.0:
            jacobian = program.jacobian(parts, len(rows.y))[:, free]
            normal, slope = jacobian.T @ jacobian, jacobian.T @ residuals
            curvature = np.maximum(curvature, normal.diagonal())
            if not (np.isfinite(slope).all() and np.isfinite(normal).all()):
                break
            scale = np.where(curvature > 0.0, curvature, 1.0) ** -0.5
            normal, slope = normal * scale * scale[:, None], slope * scale
            better = False
            while steps > 0 and not better:
                steps -= 1
                trial = theta.copy()
                trial[free] -= scale * _solved(normal + damping * np.eye(len(slope)), slope)
                tried_parts = program.with_values(trial).parts(rows.X)
                tried_residuals = tried_parts[program.result] - rows.y
                tried = mean_square(tried_residuals)
                better = tried < loss
                damping = max(damping * 0.1, 1e-12) if better else damping * 10.0
            if not better:
                break
            parts, residuals = tried_parts, tried_residuals
            theta, loss, last = trial, tried, loss
            if last - loss < enough * last:
                break
    if loss == start:
        return node, loss
    return with_constants(node, iter(theta)), loss


def _solved(matrix: Array, vector: Array) -> Array:
    """The solution, or what is no number where there is none: no step then betters anything."""
    try:
        return np.asarray(np.linalg.solve(matrix, vector), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full_like(vector, np.nan)
