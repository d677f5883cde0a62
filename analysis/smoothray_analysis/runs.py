"""How single runs come out, beyond the median: profiles of their scores, and catastrophes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap

from smoothray_analysis.statistics.effects import FEW

SCORE = "student_r2_test"
WORST, BEST = -0.5, 0.9999
"""The R² that profiles are drawn between, at most."""
TOP = 0.995
"""So many of the runs that finished are below the highest score of a profile."""
POINTS = 161


def profiles(chosen: pd.DataFrame, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Performance profiles: the share of an arm's runs with a test R² above a score (Agarwal et al. 2021).

    chosen: a row a trial at the chosen strengths, with `arm`; a run that failed is above no score. Only data
    sets that every arm of the student has count, each the same whatever its number of trials. Scores are
    equally spaced in log(1 - R²), from WORST to where all but few runs of all arms end, at most BEST.

    Returns `student`, `arm`, `datasets`, `score`, `share`, `low`, `high`: a 95 % percentile bootstrap over
    the data sets (not, as there, over runs), the same draws for all arms; nan for fewer than FEW data sets.
    """
    tables = []
    for student, mine in _shared(chosen):
        r2 = mine[SCORE].astype(float).where(mine["status"] == "ok", -np.inf)
        best = min(max(float(np.quantile(r2[r2 > -np.inf], TOP)), WORST + 0.1), BEST)
        scores = 1 - np.geomspace(1 - WORST, 1 - best, POINTS)
        for arm, group in mine.groupby("arm"):
            above = [
                (r2[part.index].to_numpy()[:, None] > scores).mean(0)
                for _, part in group.groupby("dataset")
            ]
            share, low, high = _interval(np.array(above), resamples, seed)
            tables.append(
                pd.DataFrame({"student": student, "arm": arm, "datasets": len(above), "score": scores,
                              "share": share, "low": low, "high": high})
            )  # fmt: skip
    columns = ["student", "arm", "datasets", "score", "share", "low", "high"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def catastrophes(chosen: pd.DataFrame, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The share of an arm's runs whose formula is worse than the mean of the test rows: R² below 0.

    chosen: as `profiles` takes it; of runs that finished. Data sets count the same. The interval is a 95 %
    percentile bootstrap over the data sets; where there is no catastrophe at all, or nothing else, which the
    bootstrap would call certain, it is Wilson's (1927), runs counting as much as in the arms with some (the
    largest design effect among these; with none, as much as data sets). nan for fewer than FEW data sets.

    Returns `student`, `arm`, `datasets`, `runs`, `number` (of catastrophes), `share`, `low`, `high` and
    `failed`.
    """
    rows = []
    for student, mine in _shared(chosen):
        known = []
        for arm, group in mine.groupby("arm"):
            good = group[group["status"] == "ok"]
            bad = good[SCORE].astype(float).lt(0).astype(float)
            below = bad.groupby(good["dataset"]).mean().to_numpy()
            share, low, high = (float(end[0]) for end in _interval(below[:, None], resamples, seed))
            known.append(
                {"student": student, "arm": arm, "datasets": len(below), "runs": len(good),
                 "number": int(bad.sum()), "share": share, "low": low, "high": high,
                 "failed": len(group) - len(good), "variance": float(below.var()) / len(below)}
            )  # fmt: skip
        rows += _certain(known)
    columns = ["student", "arm", "datasets", "runs", "number", "share", "low", "high", "failed"]
    return pd.DataFrame(rows, columns=columns)


def _certain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give shares of 0 and 1 Wilson's interval in place of a bootstrap's of no width."""
    effects = [
        row["variance"] * row["runs"] / (row["share"] * (1 - row["share"]))
        for row in rows if 0 < row["share"] < 1
    ]  # fmt: skip
    for row in rows:
        if row["share"] in (0.0, 1.0) and np.isfinite(row["low"]):
            effect = max(1.0, *effects) if effects else row["runs"] / row["datasets"]
            worth = max(round(row["runs"] / effect), 1)
            test = binomtest(round(row["share"] * worth), worth)
            row["low"], row["high"] = map(float, test.proportion_ci(method="wilson"))
    return rows


def _shared(chosen: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Each student's records on the data sets where all its arms that ever finish have a run that did."""
    parts = []
    for student, mine in chosen.groupby("student"):
        good = mine[mine["status"] == "ok"]
        arms = good.groupby("dataset")["arm"].nunique()
        full = arms.index[arms == good["arm"].nunique()]
        shared = mine["dataset"].isin(full) & mine["arm"].isin(good["arm"])
        if shared.any():
            parts.append((str(student), mine[shared]))
    return parts


def _interval(
    shares: NDArray[np.floating], resamples: int, seed: int
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """The mean of each column with the ends of its percentile interval; shares: (data sets, m)."""
    middle = shares.mean(0)
    if len(shares) < FEW or not resamples:
        return middle, np.full_like(middle, np.nan), np.full_like(middle, np.nan)
    drawn = bootstrap(
        (shares,), np.mean, axis=0, n_resamples=resamples, method="percentile", vectorized=True,
        batch=200, rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return middle, drawn.low, drawn.high
