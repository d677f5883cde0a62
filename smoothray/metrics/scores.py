"""Scores as pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def r2(target: Array, predicted: Array) -> float:
    """Coefficient of determination of (n,) predictions; nan for a constant target.

    >>> r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])), r2(np.full(3, 0.1), np.zeros(3))
    (1.0, nan)
    """
    if len(target) == 0 or target.max() == target.min():  # its mean may be off by a rounding error
        return float("nan")
    total = np.sum((target - target.mean()) ** 2)
    return float(1 - np.sum((target - predicted) ** 2) / total)


def mean_squared_error(
    target: Array, predicted: Array, weights: Array | None = None
) -> tuple[float, float]:
    """Mean squared error over the rows and its standard error; (inf, inf) if a prediction is not finite.

    weights: the rows', of mean 1.

    >>> mean_squared_error(np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    (1.0, 0.0)
    """
    squared = (target - predicted) ** 2
    return _mean_and_error(squared if weights is None else weights * squared)


def sobolev_error(
    target: Array, predicted: Array, gradients: Array, predicted_gradients: Array
) -> tuple[float, float]:
    """Errors of values and gradients, each relative to what is to be matched, and the standard error.

    Mean over the rows of (difference)² / variance + |difference of gradients|² / mean |gradient|², the
    loss of Sobolev training (Czarnecki et al. 2017, arXiv 1706.04859) with both terms on one scale. Values
    are (n,), gradients (n, d).

    >>> x = np.array([0.0, 1.0, 2.0])
    >>> sobolev_error(x, x, np.ones((3, 1)), np.ones((3, 1)))
    (0.0, 0.0)
    """
    tiny = np.finfo(float).tiny
    values = (target - predicted) ** 2 / max(float(target.var()), tiny)
    slopes = ((gradients - predicted_gradients) ** 2).sum(1)
    return _mean_and_error(values + slopes / max(float((gradients**2).sum(1).mean()), tiny))


def _mean_and_error(squared: Array) -> tuple[float, float]:
    if not np.isfinite(squared).all():
        return float("inf"), float("inf")
    error = squared.std(ddof=1) / np.sqrt(len(squared)) if len(squared) > 1 else 0.0
    return float(squared.mean()), float(error)
