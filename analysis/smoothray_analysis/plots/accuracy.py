"""An axis for R² that shows differences near 1: spaced by the logarithm of 1 − R², the best on top."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

LEAST, MOST = 1e-6, 2.0
"""What 1 − R² is drawn between: beyond lies rounding, or a formula far worse than the mean."""
STEPS = (
    (1.0,), (1.0, 5.0), (1.0, 2.0, 5.0), (1.0, 2.0, 3.0, 5.0, 7.0),
    (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0),
)  # fmt: skip


def error(r2: ArrayLike) -> NDArray[np.float64]:
    """1 − R² as it is drawn, within LEAST and MOST; NaN stays.

    >>> error([0.9, 1.0]).round(7).tolist()
    [0.1, 1e-06]
    """
    return np.clip(1.0 - np.asarray(r2, dtype=np.float64), LEAST, MOST)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values of 1 − R² between two, at least two wherever that can be.

    >>> [round(1 - each, 3) for each in ticks(0.02, 0.3)]
    [0.98, 0.95, 0.9, 0.8]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    shown: list[float] = []
    for steps in STEPS:
        values = [step * 10.0**decade for decade in decades for step in steps]
        inside = [value for value in values if low <= value <= high]
        if len(inside) > most and len(shown) >= 2:
            break
        shown = inside[:: max(1, math.ceil(len(inside) / most))]
        if len(shown) >= 4:
            break
    if len(shown) < 2:
        shown = [v for v in MaxNLocator(4).tick_values(low, high) if low <= v <= high and v > 0]
    return shown


def accuracy_axis(axes: Axes, r2: Iterable[float], most: int = 6, across: bool = False) -> None:
    """Make y the axis of `error` for these R², labelled with the R² that they stand for; across: x."""
    drawn = error(list(r2))
    drawn = drawn[np.isfinite(drawn)]
    low, high = (drawn.min(), drawn.max()) if len(drawn) else (0.1, 1.0)
    space = 1.0 if across else max((high / low) ** 0.08, 1.04)
    low, high = low / space, high * space
    axis = axes.xaxis if across else axes.yaxis
    if across:
        axes.set_xscale("log")
        axes.set_xlim(high, low)
    else:
        axes.set_yscale("log")
        axes.set_ylim(high, low)
    places = ticks(low, high, most)
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(
        FixedFormatter([f"{1 - place:.7g}".replace("-", "−") for place in places])
    )
    axis.set_minor_locator(NullLocator())
