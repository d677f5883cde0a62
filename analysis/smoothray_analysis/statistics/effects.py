"""How large a difference is: effect sizes and intervals, as pure functions on arrays."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, rankdata, trim_mean

Array = NDArray[np.float64]
FEW = 6
"""Fewer values than this have no interval: a bootstrap of two knows nothing but these two."""
NO_INTERVAL = f"fewer than {FEW} values have no interval"
QUARTER = 0.25
"""What the interquartile mean leaves out at either end."""


class Interval(NamedTuple):
    """An estimate with its interval, in the unit of the values; nan where there is none.

    note: how the interval was made, where that was not the usual way; else empty.
    """

    estimate: float
    low: float
    high: float
    note: str = ""


class Outcome(NamedTuple):
    """In how many pairs the first is above, level with and below the second."""

    wins: int
    ties: int
    losses: int


def a12(first: ArrayLike, second: ArrayLike) -> float:
    """Vargha & Delaney's A (2000, eq. 14): the probability that a value of the first sample exceeds one
    of the second, ties counted half. 0.5: no effect; nan if either is empty.

    first, second: (m,) and (n,), without nan.

    >>> a12([3, 4], [1, 3])
    0.875
    """
    x, y = _flat(first), _flat(second)
    if not len(x) or not len(y):
        return float("nan")
    m, n = len(x), len(y)
    above = rankdata(np.concatenate([x, y]))[:m].sum() - m * (m + 1) / 2  # Mann and Whitney's U
    return float(above / (m * n))


def rank_biserial(differences: ArrayLike) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): (R⁺ - R⁻) / (R⁺ + R⁻), in [-1, 1].

    differences: (n,), without nan. Zeros are ranked and their ranks split between both sums (as
    Demšar 2006), so that level pairs bring it nearer to 0. nan for no pairs.

    >>> round(rank_biserial([1.0, 2.0, -3.0]), 12)
    0.0
    """
    d = _flat(differences)
    if not len(d):
        return float("nan")
    ranks = rankdata(np.abs(d))
    return float((np.sign(d) * ranks).sum() / ranks.sum())


def win_tie_loss(differences: ArrayLike) -> Outcome:
    """Pairs in which the first is above, level with and below the second.

    differences: (n,), without nan, the first less the second.

    >>> win_tie_loss([1, 0, -2])
    Outcome(wins=1, ties=1, losses=1)
    """
    d = _flat(differences)
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    return Outcome(wins, len(d) - wins - losses, losses)


def median_interval(
    values: ArrayLike, *, level: float = 0.95, resamples: int = 4999, seed: int = 0
) -> Interval:
    """The median with its BCa bootstrap interval (Efron 1987), by scipy.

    values: (n,), without nan; fewer than FEW have no interval. resamples: 0 for no interval. Where BCa is
    not defined, as for a sample whose median does not change when a value is left out, the percentile
    interval takes its place. The note says what was done.
    """
    x = _flat(values)
    if not len(x):
        return Interval(float("nan"), float("nan"), float("nan"), "no values")
    middle = float(np.median(x))
    if len(x) < FEW:
        return Interval(middle, float("nan"), float("nan"), NO_INTERVAL)
    if np.ptp(x) == 0:
        return Interval(middle, middle, middle, "all values are equal")
    if not resamples:
        return Interval(middle, float("nan"), float("nan"), "no interval was asked for")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        drawn = bootstrap(
            (x,), np.median, n_resamples=resamples, confidence_level=level, method="BCa",
            vectorized=True, rng=np.random.default_rng(seed),
        )  # fmt: skip
    low, high = drawn.confidence_interval
    if np.isfinite([low, high]).all():
        return Interval(middle, float(low), float(high))
    tail = 50 * (1 - level)
    low, high = np.percentile(drawn.bootstrap_distribution, [tail, 100 - tail])
    note = "percentile interval: BCa is undefined here"
    return Interval(middle, float(low), float(high), note)


def iqm(values: ArrayLike) -> float:
    """Interquartile mean: of the middle half of the values (Agarwal et al. 2021); nan if there is none.

    >>> iqm([-1000.0, 1.0, 2.0, 3.0])
    1.5
    """
    x = np.sort(_flat(values))
    cut = int(QUARTER * len(x))
    return float(x[cut : len(x) - cut].mean()) if len(x) else float("nan")


def stratified_iqm(
    values: ArrayLike,
    strata: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The interquartile mean of all values, with a stratified percentile bootstrap interval (Agarwal et
    al. 2021: runs are drawn again within each task, tasks are not).

    values: (n,), without nan. strata: (n,), the data set of each. The interval is about these data sets:
    it knows the scatter between trials, not that between data sets. There is none where a data set has
    fewer than FEW values.
    """
    x, labels = _flat(values), np.asarray(strata)
    if not len(x):
        return Interval(float("nan"), float("nan"), float("nan"), "no values")
    estimate = iqm(x)
    groups = [x[labels == label] for label in np.unique(labels)]
    if min(map(len, groups)) < FEW or not resamples:
        note = f"{NO_INTERVAL} on a data set" if resamples else "no interval was asked for"
        return Interval(estimate, float("nan"), float("nan"), note)
    rng = np.random.default_rng(seed)
    drawn = [group[rng.integers(len(group), size=(resamples, len(group)))] for group in groups]
    means = trim_mean(np.concatenate(drawn, axis=1), QUARTER, axis=1)
    tail = 50 * (1 - level)
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(estimate, float(low), float(high))


def relative(difference: float, base: float, floor: float = 0.1) -> float:
    """The difference as a part of the base; nan unless the base is at least `floor`.

    >>> relative(0.05, 0.5), relative(0.05, -0.2)
    (0.1, nan)
    """
    return difference / base if base >= floor else float("nan")


def _flat(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=float).reshape(-1)
