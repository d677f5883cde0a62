"""Rank correlations: partial ones within cells, and ones over data sets with a bootstrap interval."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, permutation_test, rankdata

from smoothray_analysis.statistics.effects import FEW

Array = NDArray[np.float64]
SPARE = 5
"""Degrees of freedom that a partial correlation needs to be given."""
DRAWN = 9999
"""Permutations that are drawn where there are more: all of them up to seven values."""


class Correlation(NamedTuple):
    """Spearman's rho of n pairs with its interval and its p; nan where there is none."""

    n: int
    rho: float
    low: float
    high: float
    p: float


def partial_rank(
    x: ArrayLike, y: ArrayLike, cells: ArrayLike, blocks: ArrayLike, given: Iterable[ArrayLike] = ()
) -> float:
    """The partial rank correlation of x and y within cells, given blocks and further variables.

    x, y, cells, blocks: (n,), without nan; given: (k, n). Values become ranks within their cell, so that
    what differs between cells counts for nothing; what a block has in all cells (an additive effect) and
    what goes along with `given` is taken off by least squares, and Pearson's correlation is of the rest
    (Conover and Iman's rank transform, 1981). nan where fewer than SPARE degrees of freedom are left, or no
    variation.
    """
    label = np.unique(np.asarray(cells), return_inverse=True)[1]
    columns = [_ranks_within(np.asarray(each, float), label) for each in (x, y, *given)]
    codes = label, np.unique(np.asarray(blocks), return_inverse=True)[1]
    dummies = [np.eye(code.max(initial=-1) + 1)[code] for code in codes]
    design = np.column_stack([*dummies, *columns[2:]])
    both = np.column_stack(columns[:2])
    if len(both) <= design.shape[1]:
        return float("nan")
    fitted, _, rank, _ = np.linalg.lstsq(design, both, rcond=None)
    rest = both - design @ fitted
    sizes = np.sqrt((rest**2).sum(0))
    if len(both) - rank - 1 < SPARE or (sizes <= 1e-9 * np.sqrt(len(both))).any():
        return float("nan")
    return float(rest[:, 0] @ rest[:, 1] / sizes.prod())


def spearman(
    x: ArrayLike, y: ArrayLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Correlation:
    """Spearman's rho with a BCa bootstrap interval of the pairs (Efron 1987) and a permutation p, by scipy.

    x, y: (n,), without nan. Fewer than FEW pairs have no interval; the percentile interval takes its place
    where BCa is not defined. p is two-sided, exact up to seven pairs. All nan where a variable does not vary.

    >>> spearman([1, 2, 3, 4, 5], [1, 2, 3, 5, 4]).rho
    0.9
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    n, nan = len(a), float("nan")
    if n < 3 or not np.ptp(a) or not np.ptp(b):
        return Correlation(n, nan, nan, nan, nan)
    rho = float(_rho(a, b))
    ranks = rankdata(a), rankdata(b)
    rng = np.random.default_rng(seed)
    p = permutation_test(
        (ranks[0],), lambda drawn, axis=-1: _pearson(drawn, ranks[1]), vectorized=True, rng=rng,
        permutation_type="pairings", n_resamples=DRAWN,
    ).pvalue  # fmt: skip
    low = high = nan
    if n >= FEW and resamples:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            drawn = bootstrap(
                (a, b), _rho, n_resamples=resamples, confidence_level=level, method="BCa",
                vectorized=True, paired=True, rng=np.random.default_rng(seed),
            )  # fmt: skip
        low, high = map(float, drawn.confidence_interval)
        if not np.isfinite([low, high]).all():
            tail = 50 * (1 - level)
            low, high = np.nanpercentile(drawn.bootstrap_distribution, [tail, 100 - tail])
    return Correlation(n, round(rho, 12), float(low), float(high), float(p))


def _rho(a: Array, b: Array, axis: int = -1) -> Array:
    return _pearson(rankdata(a, axis=axis), rankdata(b, axis=axis))


def _pearson(a: Array, b: Array) -> Array:
    """Along the last axis; nan where one of the two does not vary."""
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    size = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    with np.errstate(all="ignore"):
        return np.where(size > 1e-12, (a * b).sum(-1) / size, np.nan)


def _ranks_within(values: Array, cells: NDArray[np.intp]) -> Array:
    """Ranks within each cell as parts of its size, around 0. cells: numbers from 0."""
    # Ranks among all values of which those of a cell lie together, less those in the cells before it.
    sizes = np.bincount(cells)
    places = rankdata(values, method="dense") + cells * (len(values) + 1)
    before = np.cumsum(sizes) - sizes
    ranks = rankdata(places) - before[cells]
    return (ranks - (sizes[cells] + 1) / 2) / sizes[cells]
