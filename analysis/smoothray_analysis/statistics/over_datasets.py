"""Over data sets: each data set is one observation. Tables are (data sets, arms), higher is better."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import f, friedmanchisquare, iqr, nct, studentized_range, t

from smoothray_analysis.statistics.effects import FEW, win_tie_loss
from smoothray_analysis.statistics.paired import holm, power_is_small, signed_rank, smallest_p


class Friedman(NamedTuple):
    """Friedman's test: n data sets, k arms, chi² with its p, and Iman & Davenport's F with its p."""

    n: int
    k: int
    chi2: float
    p: float
    f: float
    f_p: float


class Posterior(NamedTuple):
    """Probabilities that the first is worse, practically the same, better."""

    worse: float
    same: float
    better: float


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The data sets on which every arm has a value."""
    return table.dropna()


def mean_ranks(table: pd.DataFrame) -> pd.Series:
    """Each arm's mean rank over the data sets, 1 the best, ties sharing ranks (Demšar 2006); best first.

    table: without nan.
    """
    return table.rank(axis=1, ascending=False).mean().sort_values(kind="stable")


def friedman(table: pd.DataFrame) -> Friedman:
    """Friedman's test that all arms are alike (Friedman 1937), corrected for ties, by scipy, and its less
    conservative F (Iman & Davenport 1980; Demšar 2006, 3.2.2).

    table: (n, k) without nan. nan for fewer than two data sets or three arms, or where all arms tie
    everywhere.
    """
    n, k = table.shape
    values = table.to_numpy(float)
    if n < 2 or k < 3 or not np.ptp(values, axis=1).any():
        return Friedman(n, k, *[float("nan")] * 4)
    chi2, p = map(float, friedmanchisquare(*values.T))
    rest = n * (k - 1) - chi2
    ratio = (n - 1) * chi2 / rest if rest > 1e-9 else float("inf")
    return Friedman(n, k, chi2, p, ratio, float(f.sf(ratio, k - 1, (k - 1) * (n - 1))))


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks of k arms on n data sets (Demšar 2006, 3.2.2).

    >>> round(critical_difference(4, 14), 2), round(critical_difference(4, 14, 0.10), 2)
    (1.25, 1.12)
    """
    if k < 2 or n < 1:
        return float("nan")
    q = studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))


def wilcoxon_holm(
    table: pd.DataFrame,
    alpha: float = 0.05,
    differences: Mapping[tuple[str, str], pd.Series] | None = None,
) -> pd.DataFrame:
    """Signed-rank tests between all arms, Holm over all of them (Benavoli et al. 2016 advise it in place of
    Nemenyi's test).

    table: (n, k); a data set that one of two arms lacks is left out for these two alone. differences: each
    pair's differences on the data sets, where those of the table's values are not what is to be tested.

    Returns a row a pair: `first`, `second`, `datasets`, `difference` (median), `wins`, `ties`,
    `losses`, `p`, `p_holm`, `significant`, `power_small`.
    """
    rows = []
    for first, second in combinations(table.columns, 2):
        if differences is None:
            both = table[[first, second]].dropna()
            d = (both[first] - both[second]).to_numpy(float)
        else:
            d = differences[first, second].to_numpy(float)
        test = signed_rank(d)
        rows.append(
            {
                "first": first,
                "second": second,
                "datasets": len(d),
                "difference": float(np.median(d)) if len(d) else float("nan"),
                **win_tie_loss(d)._asdict(),
                "p": test.p,
                "smallest_p": test.smallest_p,
            }
        )
    columns = [
        "first", "second", "datasets", "difference", "wins", "ties", "losses", "p", "smallest_p",
    ]  # fmt: skip
    pairs = pd.DataFrame(rows, columns=columns)
    pairs["p_holm"] = holm(pairs["p"].to_numpy(float))
    pairs["significant"] = pairs["p_holm"] <= alpha
    tests = int(pairs["p"].notna().sum())
    pairs["power_small"] = [power_is_small(p, tests, alpha) for p in pairs["smallest_p"]]
    return pairs.drop(columns="smallest_p")


def bayes_signed_rank(
    differences: ArrayLike,
    rope: float = 0.01,
    *,
    prior: float = 0.5,
    samples: int = 50_000,
    seed: int = 0,
) -> Posterior:
    """The Bayesian signed-rank test (Benavoli et al. 2017, 4.2): a Dirichlet process over the differences.

    differences: (n,), one a data set, without nan. rope: differences up to this count as practically
    the same. prior: the weight of the prior's one observation, at 0. The probability of a region is
    the part of the Monte Carlo `samples` in which it holds more of the pairwise means than the others do.
    """
    d = np.asarray(differences, dtype=float).reshape(-1)
    if not len(d):
        return Posterior(float("nan"), float("nan"), float("nan"))
    z = np.concatenate([[0.0], d])
    sums = z[:, None] + z
    weights = _weights(len(d), prior, samples, seed)
    above = np.einsum("si,si->s", weights @ (sums > 2 * rope), weights)
    below = np.einsum("si,si->s", weights @ (sums < -2 * rope), weights)
    shares = np.stack([below, 1 - above - below, above], axis=1)
    top = np.isclose(shares, shares.max(1, keepdims=True), rtol=0, atol=1e-12)
    won = (top / top.sum(1, keepdims=True)).mean(0)
    return Posterior(*map(float, won))


@lru_cache(maxsize=8)
def _weights(n: int, prior: float, samples: int, seed: int) -> NDArray[np.float64]:
    """The Dirichlet process's weights of the prior's observation and n others: (samples, n + 1)."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.concatenate([[prior], np.ones(n)]), size=samples)


def detectable(differences: ArrayLike, alpha: float, power: float = 0.8) -> float:
    """The median difference that a signed-rank test of so many data sets, scattered as these are, would have
    found significant at `alpha` with this power; nan for fewer than FEW, inf where no result could have been.

    differences: (n,), one a data set. By the t-test's noncentral distribution with the signed-rank test's
    efficiency of 3/π under it (Hollander & Wolfe 1999, 3.11); the scatter is the interquartile range / 1.349,
    or the standard deviation where half of the differences are equal.
    """
    d = np.asarray(differences, dtype=float).reshape(-1)
    n = len(d)
    if n < FEW:
        return float("nan")
    if smallest_p(n) > alpha:
        return float("inf")
    scatter = float(iqr(d)) / 1.349 or float(d.std(ddof=1))
    if scatter == 0:
        return 0.0
    limit = float(t.ppf(1 - alpha / 2, n - 1))

    def found(effect: float) -> float:
        return float(nct.sf(limit, n - 1, effect * np.sqrt(3 / np.pi * n))) - power

    return scatter * float(brentq(found, 1e-6, 100.0))
