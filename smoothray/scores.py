"""Scores as pure functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def r2(target: Array, predicted: Array) -> float:
    """Coefficient of determination of (n,) predictions; nan for a constant target.

    >>> r2(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    1.0
    """
    total = np.sum((target - target.mean()) ** 2)
    if total == 0:
        return float("nan")
    return float(1 - np.sum((target - predicted) ** 2) / total)


def mean_squared_error(target: Array, predicted: Array) -> tuple[float, float]:
    """Mean squared error over the rows and its standard error; (inf, inf) if a prediction is not finite.

    >>> mean_squared_error(np.array([0.0, 0.0]), np.array([1.0, 1.0]))
    (1.0, 0.0)
    """
    squared = (target - predicted) ** 2
    if not np.isfinite(squared).all():
        return float("inf"), float("inf")
    error = squared.std(ddof=1) / np.sqrt(len(squared)) if len(squared) > 1 else 0.0
    return float(squared.mean()), float(error)
