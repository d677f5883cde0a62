"""An axis of differences around 0 that shows small and large ones alike."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

FAR = 10.0
"""A difference in R² from which on formulas are useless, however much further it goes."""
WIDE = 5.0
"""So many times the usual difference is still drawn on a linear axis."""


def reach(values: ArrayLike, far: float = FAR) -> float:
    """How far from 0 an axis of these values must go to show them all; no further than `far`.

    >>> reach([0.1, -0.3]), reach([0.1, -1e6])
    (0.3, 10.0)
    """
    sizes = _sizes(values)
    return float(min(sizes.max(initial=0.0), far))


def signed_axis(
    axes: Axes, values: ArrayLike, far: float = FAR, which: Literal["x", "y"] = "y", least: float = 1e-3,
    symmetric: bool = False,
) -> None:  # fmt: skip
    """Make an axis that all values up to `far` from 0 lie on: linear, or where a few of them are much
    larger than the rest, linear around 0 and logarithmic beyond (the first and last linear value labelled).

    least: the axis goes at least so far on the sides that it shows; symmetric: as far on both.
    """
    numbers = np.asarray(values, float).ravel()
    numbers = np.clip(numbers[np.isfinite(numbers)], -far, far)
    low, high = min(numbers.min(initial=0.0), -least), max(numbers.max(initial=0.0), least)
    if symmetric:
        low, high = min(low, -high), max(high, -low)
    sizes = _sizes(numbers)
    usual = float(np.quantile(sizes, 0.75)) if len(sizes) else 0.0
    bend = round_up(max(usual, least))
    set_scale = axes.set_yscale if which == "y" else axes.set_xscale
    set_limits = axes.set_ylim if which == "y" else axes.set_xlim
    if max(-low, high) <= WIDE * bend:
        space = 0.05 * (high - low)
        set_limits(low - space, high + space)
        if which == "x":  # labels beside each other need room
            axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        return
    set_scale("symlog", linthresh=bend, linscale=1.0)
    set_limits(low * 1.3 if -low > bend else -bend * 1.1, high * 1.3 if high > bend else bend * 1.1)
    axis = axes.yaxis if which == "y" else axes.xaxis
    top = max(-low, high)
    decades = range(math.floor(math.log10(bend)), math.ceil(math.log10(top)) + 1)
    tens = [10.0**k for k in decades if 10.0**k >= 2.5 * bend]
    if 10 * bend >= top:  # not a power of ten may lie beyond the bend
        within = [n * 10.0**k for k in decades for n in (1, 2, 5) if 4 * bend <= n * 10.0**k <= top]
        tens = within[:1]
    step = max(1, math.ceil(len(tens) / 4))
    ticks = [bend, *tens[::-step][::-1]]
    axis.set_major_locator(FixedLocator([*(-t for t in ticks), 0.0, *ticks]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axis.set_minor_locator(NullLocator())
    for edge in (-bend, bend):
        (axes.axhline if which == "y" else axes.axvline)(edge, color="#999999", lw=0.8, ls=":")


def round_up(value: float) -> float:
    """The next of 1, 2, 5 times a power of ten.

    >>> round_up(0.013), round_up(0.5), round_up(7)
    (0.02, 0.5, 10.0)
    """
    power = 10.0 ** math.floor(math.log10(value))
    step = next(step for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))
    return float(f"{step * power:.3g}")


def _sizes(values: ArrayLike) -> np.ndarray:
    sizes = np.abs(np.asarray(values, float).ravel())
    return sizes[np.isfinite(sizes) & (sizes > 0)]
