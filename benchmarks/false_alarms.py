"""How often the analysis cries wolf, and how often it sees a wolf that is there.

Simulated studies of smooth arms and baselines whose trials share their split's luck. Strengths are chosen by
validation scores, then the arms are compared by the project's own tests, per data set and over data sets.
With no effect planted, the part of the studies with any significant result is the family-wise error.

    python benchmarks/false_alarms.py [--studies 1000] [--datasets 20] [--trials 10 50]
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import pandas as pd
from smoothray_analysis.statistics.over_datasets import wilcoxon_holm
from smoothray_analysis.statistics.paired import holm, signed_rank

SMOOTH, BASES, STRENGTHS = 2, 3, 5
ALPHA = 0.05


class Shares(NamedTuple):
    """Shares of the studies with any significant result (per data set, over data sets, between all arms),
    and of the tests that are significant (per data set, over data sets)."""

    any_dataset: float
    any_over: float
    any_pairwise: float
    power_dataset: float
    power_over: float


def scores(
    rng: np.random.Generator, datasets: int, trials: int, effect: float
) -> tuple[np.ndarray, np.ndarray]:
    """Validation and test R² of (datasets, trials, arms, strengths); smooth arms come first.

    The scatter between trials is 1. effect: added to both scores of every smooth arm at its middle strength,
    times a data set's own factor around 1.
    """
    shape = (datasets, trials, SMOOTH + BASES, STRENGTHS)
    shared = rng.normal(size=(datasets, 1, 1, 1)) * 3 + rng.normal(size=(datasets, trials, 1, 1))
    planted = np.zeros(shape)
    factor = rng.normal(1, 0.5, size=(datasets, 1, 1))
    planted[:, :, :SMOOTH, STRENGTHS // 2] = effect * factor
    # Heavy tails, as R² has them, and one scatter of its own for each data set.
    width = np.exp(rng.normal(size=(datasets, 1, 1, 1)) / 2)
    val, test = (shared + width * (planted + rng.standard_t(3, size=shape)) for _ in range(2))
    return val, test


def study(rng: np.random.Generator, datasets: int, trials: int, effect: float) -> Shares:
    """One simulated study."""
    val, test = scores(rng, datasets, trials, effect)
    best = np.median(val, axis=1).argmax(-1)  # (datasets, arms)
    best[:, SMOOTH:] = 0
    chosen = np.take_along_axis(test, best[:, None, :, None], axis=3)[..., 0]
    differences = chosen[:, :, :SMOOTH, None] - chosen[:, :, None, SMOOTH:]
    flat = differences.transpose(0, 2, 3, 1).reshape(-1, trials)
    each = holm(np.array([signed_rank(row).p for row in flat])) <= ALPHA
    medians = np.median(differences, axis=1).reshape(datasets, -1)
    over = holm(np.array([signed_rank(column).p for column in medians.T])) <= ALPHA
    pairs = wilcoxon_holm(pd.DataFrame(np.median(chosen, axis=1)))["significant"]
    return Shares(each.any(), over.any(), pairs.any(), each.mean(), over.mean())


def studies(count: int, datasets: int, trials: int, effect: float, seed: int = 0) -> Shares:
    """The means over `count` simulated studies."""
    each = [study(np.random.default_rng([seed, i]), datasets, trials, effect) for i in range(count)]
    return Shares(*map(float, np.mean(np.array(each, dtype=float), axis=0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--effects", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    options = parser.parse_args()
    print(
        f"{options.studies} studies of {options.datasets} data sets, {SMOOTH} smooth arms, {BASES} bases"
    )
    print(
        "effect: in units of the scatter between trials; %: any significant result in a study | tests"
    )
    print(f"{'trials':>6} {'effect':>6} | {'per data set':>12} {'over them':>10} {'all arms':>9} | "
          f"{'per data set':>12} {'over them':>10}")  # fmt: skip
    for trials in options.trials:
        for effect in options.effects:
            shares = studies(options.studies, options.datasets, trials, effect)
            a, b, c, d, e = (f"{100 * part:.1f} %" for part in shares)
            print(f"{trials:>6} {effect:>6g} | {a:>12} {b:>10} {c:>9} | {d:>12} {e:>10}")


if __name__ == "__main__":
    main()
