"""The named comparisons by every endpoint, on each data set and over data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from smoothray_analysis.endpoints import ACCURACY, ENDPOINTS, Endpoint
from smoothray_analysis.pairs import NAMES, named_pairs, paired
from smoothray_analysis.statistics.effects import (
    FEW,
    a12,
    iqm,
    median_interval,
    rank_biserial,
    relative,
    win_tie_loss,
)
from smoothray_analysis.statistics.over_datasets import Posterior, bayes_signed_rank, detectable
from smoothray_analysis.statistics.paired import (
    holm,
    power_is_small,
    signed_rank,
    smallest_p,
    trimmed_t,
)
from smoothray_analysis.strengths import OTHERS, Choice

__all__ = ["Comparisons", "Settings", "compare", "named_pairs"]

SCORE = ACCURACY.column
SURE = 0.95
"""The probability from which arms are called practically the same, if the interval says so too."""
SAMPLES = 20_000
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """alpha: of the tests. rope: R² differences up to this are practically the same; with rope_relative it is
    a part of what the base leaves unexplained, 1 - R², on each data set. rope_nodes: the same for formulas'
    sizes. resamples: of each bootstrap, 0 for no intervals over data sets. strengths: how they are chosen
    (`strengths.choice_for`); fixed: by penalty, for "fixed", and else to be looked at beside."""

    alpha: float = 0.05
    rope: float = 0.01
    rope_relative: bool = False
    rope_nodes: float = 2.0
    resamples: int = 2000
    seed: int = 0
    strengths: str = OTHERS
    fixed: Mapping[str, float] = field(default_factory=dict)

    def region(self, endpoint: Endpoint) -> float:
        """Up to which difference arms are practically the same."""
        return self.rope if endpoint.fraction else self.rope_nodes


@dataclass(frozen=True, eq=False)
class Comparisons:
    """The named comparisons, a row each and endpoint; empty where there is nothing to compare.

    per_dataset: a row a data set more. `difference` is the median paired difference; `low`, `high`, `t` and
    `p` are of the corrected test of its trimmed mean (`paired.trimmed_t`). Of the primary endpoint p_holm is
    over all of them, the placebo's by themselves, and `verdict` is "better", "worse", "no clear difference",
    "too few pairs" or "no pairs".
    differences: a row a pair of the primary endpoint: `student`, `arm`, `base`, `dataset`, `trial`,
    `difference`.
    over_datasets: each data set is one number, its median paired difference. `difference` is their median
    with its bootstrap interval, `lower`, `upper` their quartiles; p is the signed-rank test's, p_holm over
    the whole family, or over what stands outside of it; `probably_*` of the Bayesian test; `detectable`: the
    smallest effect that would have been found as the clearest of the family with a power of .8;
    `above`, `below`: data sets that are better or worse by more than the region of practical equivalence;
    `surely_better`, `surely_worse`: those whose own verdict is that. `verdict`, in this order: "no
    pairs"; "practically the same": interval within the region and sure to be; "better", "worse": significant;
    "unequal budgets" in their place where the better arm was chosen from more candidates; "power is small":
    so few data sets could have shown nothing; "no clear difference". "better" is fewer nodes.
    """

    per_dataset: pd.DataFrame
    differences: pd.DataFrame
    over_datasets: pd.DataFrame


def compare(
    records: pd.DataFrame,
    settings: Settings,
    choice: Choice,
    endpoints: Sequence[Endpoint] = ENDPOINTS,
) -> Comparisons:
    """Make all named comparisons. records: a row a trial; choice: of `strengths.choice_for`."""
    rows: list[dict[str, Any]] = []
    over: list[dict[str, Any]] = []
    pieces = []
    for names, both in paired(records, choice, [endpoint.column for endpoint in endpoints]):
        for endpoint in endpoints:
            if endpoint.taught and "direct" in (names["penalty"], names["base_penalty"]):
                continue
            named = {**names, "endpoint": endpoint.name}
            mine, differences = _per_dataset(both, endpoint)
            rows += [{**named, **row} for row in mine]
            if endpoint == endpoints[0]:
                pieces.append(
                    differences.assign(**{n: names[n] for n in ("student", "arm", "base")})
                )
            # An endpoint that no trial of the two has, as older records', is no comparison.
            if mine and (endpoint == endpoints[0] or any(row["pairs"] for row in mine)):
                over.append({**named, **_over(mine, endpoint, settings)})
    if not over:
        return Comparisons(pd.DataFrame(), pd.DataFrame(), pd.DataFrame())
    table = _judged_per_dataset(pd.DataFrame(rows), endpoints[0], settings)
    return Comparisons(
        table,
        pd.concat(pieces, ignore_index=True),
        _judged(pd.DataFrame(over), table, settings, endpoints),
    )


def _per_dataset(
    both: pd.DataFrame, endpoint: Endpoint
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """A row a data set, and the paired differences of its trials. both: of `pairs.paired`."""
    x, y = (both[name].to_numpy(float) for name in (endpoint.column, f"{endpoint.column}_base"))
    ok, ok_base = (both[name].eq("ok").to_numpy(bool) for name in ("status", "status_base"))
    failed, failed_base = (
        both[name].eq("failed").to_numpy(bool) for name in ("status", "status_base")
    )
    pair = ok & ok_base & ~np.isnan(x) & ~np.isnan(y)
    sizes = both[["n_train", "n_test", "complexity", "complexity_base"]].to_numpy(float)
    strengths = both[["strength", "strength_base"]].to_numpy(float)
    datasets = both["dataset"].to_numpy(object)
    starts = [i for i in range(len(both)) if not i or datasets[i] != datasets[i - 1]]
    rows = []
    for start, end in zip(starts, [*starts[1:], len(both)], strict=False):
        here = np.arange(start, end)
        good = here[pair[start:end]]
        own, base = x[good], y[good]
        middle = [_median(column) for column in sizes[good].T]
        rows.append(
            {
                "dataset": datasets[start],
                "strength": _one(strengths[here, 0]),
                "base_strength": _one(strengths[here, 1]),
                "dropped": len(here) - len(good),
                "failed": int(failed[here].sum()),
                "base_failed": int(failed_base[here].sum()),
                "nodes": middle[2],
                "base_nodes": middle[3],
                **_paired_numbers(own, base, middle[0], middle[1], endpoint),
            }
        )
    kept = both.loc[pair, ["dataset", "trial"]]
    return rows, kept.assign(difference=(x - y)[pair])


def _paired_numbers(
    x: Array, y: Array, n_train: float, n_test: float, endpoint: Endpoint
) -> dict[str, Any]:
    d = x - y
    test = trimmed_t(d if len(d) >= FEW else [], n_train, n_test)
    middle = _median(d)
    numbers = {
        "pairs": len(d), "median": _median(x), "base_median": _median(y), "difference": middle,
        "low": test.low, "high": test.high, "trimmed": test.mean, "t": test.t, "p": test.p,
        "relative": relative(middle, _median(y)) if endpoint.fraction else float("nan"),
        **win_tie_loss(endpoint.sign * d)._asdict(),
    }  # fmt: skip
    if endpoint == ACCURACY:
        numbers |= {
            "iqm": iqm(x),
            "base_iqm": iqm(y),
            "a12": a12(x, y),
            "rank_biserial": rank_biserial(d),
        }
    return numbers


def _judged_per_dataset(table: pd.DataFrame, primary: Endpoint, settings: Settings) -> pd.DataFrame:
    """With p_holm and verdict of the primary endpoint; others have none."""
    judged = table["endpoint"] == primary.name
    p = _holm_within(table["p"].where(judged), table["in_family"])
    significant = p <= settings.alpha
    up = primary.sign * table["trimmed"].to_numpy(float) > 0
    verdict = np.select(
        [table["pairs"] == 0, table["p"].isna(), significant & up, significant & ~up],
        ["no pairs", "too few pairs", "better", "worse"],
        "no clear difference",
    )
    return table.assign(p_holm=p, verdict=np.where(judged, verdict, ""))


def _holm_within(p: pd.Series, family: pd.Series) -> Array:
    """Holm's p within the family, and within what stands outside of it."""
    inside = family.to_numpy(bool)
    return np.where(inside, holm(p.where(inside)), holm(p.where(~inside)))


def equivalence(
    d: Array, rope: float, settings: Settings, sign: int = 1
) -> tuple[float, float, Posterior, bool]:
    """The median's interval, the Bayesian probabilities, and whether both say "practically the same"."""
    middle = median_interval(d, resamples=settings.resamples, seed=settings.seed)
    likely = bayes_signed_rank(
        sign * d if len(d) >= FEW else [], rope, samples=SAMPLES, seed=settings.seed
    )
    same = middle.low >= -rope and middle.high <= rope and likely.same >= SURE
    return middle.low, middle.high, likely, bool(same)


def unexplained(rows: pd.DataFrame) -> Array:
    """What the base leaves unexplained on each data set, 1 - R², at least .001."""
    return np.maximum(1 - rows["base_median"].to_numpy(float), 1e-3)


def _over(mine: list[dict[str, Any]], endpoint: Endpoint, settings: Settings) -> dict[str, Any]:
    """One comparison by one endpoint over its data sets."""
    rows = pd.DataFrame(mine)
    usable = rows[rows["pairs"] > 0]
    d = usable["difference"].to_numpy(float)
    rope = settings.region(endpoint)
    low, high, likely, same = equivalence(d, rope, settings, endpoint.sign)
    scaled = endpoint.sign * d
    if settings.rope_relative and endpoint.fraction:
        likely, same = equivalence(d / unexplained(usable), rope, settings, endpoint.sign)[2:]
        scaled = scaled / unexplained(usable)
    test = signed_rank(d)
    part = usable["relative"].dropna()
    quartiles = np.quantile(d, [0.25, 0.75]) if len(d) >= FEW else [float("nan")] * 2
    return {
        "datasets": len(d),
        "datasets_without_pairs": len(rows) - len(d),
        "pairs": int(rows["pairs"].sum()),
        "dropped": int(rows["dropped"].sum()),
        "difference": _median(d),
        "low": low,
        "high": high,
        "lower": float(quartiles[0]),
        "upper": float(quartiles[1]),
        "nodes": _median(usable["nodes"]),
        "base_nodes": _median(usable["base_nodes"]),
        **win_tie_loss(endpoint.sign * d)._asdict(),
        "above": int((scaled > rope).sum()),
        "below": int((scaled < -rope).sum()),
        "p": test.p,
        "smallest_p": smallest_p(len(d)),
        "test_note": test.note,
        "rank_biserial": rank_biserial(d),
        **{f"probably_{name}": value for name, value in likely._asdict().items()},
        "within_rope": same,
        "relative": float(part.median()) if len(part) else float("nan"),
        "relative_datasets": len(part),
        "all_differences": d,
    }


def _judged(
    over: pd.DataFrame, table: pd.DataFrame, settings: Settings, endpoints: Sequence[Endpoint]
) -> pd.DataFrame:
    """With p_holm over the family, the data sets that are surely better or worse, and the verdict."""
    family = over["in_family"].astype(bool)
    tests = int((over["p"].notna() & family).sum())
    p = _holm_within(over["p"], family)
    signs = {end.name: end.sign for end in endpoints}
    up = over["rank_biserial"] * over["endpoint"].map(signs) > 0
    significant = pd.Series(p <= settings.alpha, over.index)
    more = np.where(up, over["candidates"] > over["base_candidates"],
                    over["candidates"] < over["base_candidates"])  # fmt: skip
    few = [power_is_small(least, tests, settings.alpha) for least in over["smallest_p"]]
    small = pd.Series(few, over.index) & ~significant & family
    verdict = np.select(
        [
            over["datasets"] == 0,
            over["within_rope"],
            significant & more,
            significant & up,
            significant,
            small,
        ],
        [
            "no pairs",
            "practically the same",
            "unequal budgets",
            "better",
            "worse",
            "power is small",
        ],
        "no clear difference",
    )
    alpha = settings.alpha / max(tests, 1)
    effects = [
        detectable(d, alpha if inside else settings.alpha)
        for d, inside in zip(over["all_differences"], family, strict=True)
    ]
    keys = [*NAMES, "endpoint"]
    counts = table.groupby(keys, sort=False)["verdict"].agg(
        surely_better=lambda words: int((words == "better").sum()),
        surely_worse=lambda words: int((words == "worse").sum()),
    )
    judged = over.assign(
        p_holm=p, detectable=effects, power_small=small, verdict=verdict, tests=tests
    )
    return judged.drop(columns="all_differences").merge(counts.reset_index(), on=keys, how="left")


def _one(strengths: Array) -> float:
    """The strength that all share; nan where they differ or there is none."""
    values = strengths[~np.isnan(strengths)]
    return float(values[0]) if len(values) and (values == values[0]).all() else float("nan")


def _median(values: ArrayLike) -> float:
    """The median of what is there; nan of nothing."""
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[~np.isnan(numbers)]
    return float(np.median(numbers)) if len(numbers) else float("nan")
