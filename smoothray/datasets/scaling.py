"""Standardisation of inputs and target, fitted on training rows alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _scale(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations over the rows; 1 where they are nothing but rounding."""
    deviation = values.std(axis=0)
    rounding = 1e-12 * np.abs(values).max(axis=0)
    return np.where(deviation > rounding, deviation, 1.0)


@dataclass(frozen=True, eq=False)
class Scaler:
    """Inputs to mean 0 and standard deviation 1; mean and scale are (d,)."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, X: ArrayLike) -> Scaler:
        """Fit on training rows X: (n, d). A column that is constant there is only centred."""
        values = np.asarray(X, dtype=np.float64)
        return cls(values.mean(axis=0), _scale(values))

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """From the data's units to standardised ones: (n, d) to (n, d)."""
        return (np.asarray(X, dtype=np.float64) - self.mean) / self.scale

    def inverse(self, X: ArrayLike) -> NDArray[np.float64]:
        """From standardised units to the data's: (n, d) to (n, d)."""
        return np.asarray(X, dtype=np.float64) * self.scale + self.mean


@dataclass(frozen=True)
class TargetScaler:
    """The target to mean 0 and standard deviation 1."""

    mean: float
    scale: float

    @classmethod
    def fit(cls, y: ArrayLike) -> TargetScaler:
        """Fit on training values y: (n,). A constant target is only centred."""
        values = np.asarray(y, dtype=np.float64)
        return cls(float(values.mean()), float(_scale(values)))

    def transform(self, y: ArrayLike) -> NDArray[np.float64]:
        """From the data's units to standardised ones: (n,) to (n,)."""
        return (np.asarray(y, dtype=np.float64) - self.mean) / self.scale

    def inverse(self, y: ArrayLike) -> NDArray[np.float64]:
        """From standardised units to the data's: (n,) to (n,)."""
        return np.asarray(y, dtype=np.float64) * self.scale + self.mean
