"""Tests on paired differences, and what many of them together may claim."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit
from scipy.stats import rankdata, wilcoxon

Array = NDArray[np.float64]
EXACT = 50
"""The most differences for which the signed-rank test's distribution is computed exactly."""


class SignedRank(NamedTuple):
    """A signed-rank test. plus, minus: the sums of the ranks of positive and negative differences.

    n: differences, zeros included; zeros, ties: zeros, and nonzero ones that share their size.
    p: two-sided; smallest_p: the smallest that this number of nonzero differences could give.
    note: how zeros and ties were handled and whether p is exact.
    """

    n: int
    zeros: int
    ties: int
    plus: float
    minus: float
    p: float
    smallest_p: float
    note: str


class TrimmedT(NamedTuple):
    """A corrected t-test of a trimmed mean: the mean, its interval, the statistic, its degrees of freedom and
    the two-sided p; nan where there are too few differences."""

    mean: float
    low: float
    high: float
    t: float
    df: int
    p: float


def signed_rank(differences: ArrayLike) -> SignedRank:
    """Wilcoxon's signed-rank test that differences are symmetric about 0, two-sided.

    differences: (n,), without nan. Zeros are ranked and then left out (Pratt 1959); tied sizes share their
    mean rank. Up to EXACT differences p is exact, given the ties: every sign is as likely (Hollander &
    Wolfe 1999, 3.1); above, scipy's normal approximation. p is 1 where all are zero, nan for none.

    >>> signed_rank([1, 2, 3, 4, 5]).p
    0.0625
    """
    d = np.asarray(differences, dtype=float).reshape(-1)
    sizes = np.abs(d)
    ranks = rankdata(sizes)
    moved = d != 0
    n, m = len(d), int(moved.sum())
    _, counts = np.unique(sizes[moved], return_counts=True)
    ties = int(counts[counts > 1].sum())
    plus, minus = float(ranks[d > 0].sum()), float(ranks[d < 0].sum())
    smallest = smallest_p(m)
    if not n:
        return SignedRank(0, 0, 0, 0.0, 0.0, float("nan"), smallest, "no pairs")
    if not m:
        return SignedRank(n, n, 0, 0.0, 0.0, 1.0, smallest, "all differences are zero")
    if n <= EXACT:
        doubled = tuple(np.sort(np.rint(2 * ranks[moved]).astype(int)).tolist())
        below = _sign_flips(doubled)
        p = min(1.0, 2 * float(below[round(2 * min(plus, minus))]))
    else:
        p = float(wilcoxon(d, zero_method="pratt", method="asymptotic").pvalue)
    said = ["exact" if n <= EXACT else "normal approximation"]
    said += [f"{n - m} zeros ranked, then left out"] if n > m else []
    said += [f"{ties} tied sizes share mean ranks"] if ties else []
    return SignedRank(n, n - m, ties, plus, minus, p, smallest, "; ".join(said))


@lru_cache(maxsize=4096)
def _sign_flips(ranks: tuple[int, ...]) -> Array:
    """P(sum of the positive ranks <= s) for s = 0, 1, ..., every sign being + or - alike."""
    ways = np.zeros(sum(ranks) + 1)
    ways[0] = 1.0
    for rank in ranks:
        moved = np.zeros_like(ways)
        moved[rank:] = ways[: len(ways) - rank]
        ways = (ways + moved) / 2
    return np.cumsum(ways)


def smallest_p(n: int) -> float:
    """The smallest two-sided p that a signed-rank test of n nonzero differences can give.

    >>> smallest_p(5)
    0.0625
    """
    return min(1.0, 2.0 ** (1 - n))


def power_is_small(smallest: float, tests: int, alpha: float = 0.05) -> bool:
    """Whether even the clearest result could not be significant among `tests` tests by Holm's first step.

    >>> power_is_small(smallest_p(10), 120), power_is_small(smallest_p(50), 120)
    (True, False)
    """
    return smallest > alpha / max(tests, 1)


def holm(p: ArrayLike) -> Array:
    """Holm's step-down adjusted p (Holm 1979) of m tests: (m,), same shape back.

    nan marks a test that could not be made: it stays nan and does not count.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, dtype=float)
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made])]
    scaled = p[order] * np.arange(len(order), 0, -1)
    result = np.full(len(p), np.nan)
    result[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return result


TRIM = 0.2
"""What a trimmed mean leaves out at either end (Wilcox 2012 advises a fifth)."""


def trimmed_t(
    differences: ArrayLike,
    n_train: float,
    n_test: float,
    *,
    level: float = 0.95,
    trim: float = TRIM,
) -> TrimmedT:
    """The corrected resampled t-test with a trimmed mean in place of the mean, so that one wild trial hides
    nothing: Yuen's standard error s_w / ((1 - 2 trim) √k) of a trimmed mean (Tukey & McLaughlin 1963; s_w of
    the winsorised differences), widened for overlapping splits as by Nadeau & Bengio (2003), 1/k becoming
    1/k + n_test / n_train. k - 2g - 1 degrees of freedom, g differences being cut at either end.

    differences: (k,), without nan. n_train, n_test: rows of a trial. trim: the share cut at either end; with
    0 it is the test of Nadeau & Bengio. Where what is left is all equal, p is 1 if it is 0, else 0.

    >>> trimmed_t([0.1, 0.12, 0.09, 0.11, -50.0, 0.1, 0.13, 0.1, 0.12, 0.08], 60, 25).p < 0.01
    True
    """
    d = np.sort(np.asarray(differences, dtype=float).reshape(-1))
    k = len(d)
    cut = int(trim * k)
    df = k - 2 * cut - 1
    if df < 1 or not n_train > 0:
        nothing = float("nan")
        return TrimmedT(nothing, nothing, nothing, nothing, max(df, 0), nothing)
    low, high = d[cut], d[k - cut - 1]
    mean = float(d[cut : k - cut].mean())
    error = float(
        d.clip(low, high).std(ddof=1) / (1 - 2 * cut / k) * np.sqrt(1 / k + n_test / n_train)
    )
    if low == high:
        statistic = 0.0 if mean == 0 else float(np.copysign(np.inf, mean))
        return TrimmedT(mean, mean, mean, statistic, df, float(mean == 0))
    reach = float(stdtrit(df, (1 + level) / 2)) * error
    p = 2 * float(stdtr(df, -abs(mean / error)))
    return TrimmedT(mean, mean - reach, mean + reach, mean / error, df, p)
