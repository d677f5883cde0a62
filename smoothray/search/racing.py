"""When an arm of a race may stop before it has all its trials: by a paired test, and by halving.

Both look at validation scores of one (data set, penalty) and at nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

Scores = Mapping[int, float]
"""An arm's validation score by trial; trials that failed are left out."""

ALPHA = 0.01
"""Of one look at one pair. There are several looks, and the incumbent is chosen by what it is compared on: at
0.05 races stop their best arm more often (`benchmarks/racing.py`)."""
WORTH = 0.002
"""An R² gain below this is not worth more trials: it keeps ties from running to the end."""
FEWEST = 7
"""Pairs below which no test is made: one-sided, seven that all agree give p = 1/128, six 1/64."""
FUTILE = 2


def race(mine: Scores, others: Mapping[str, Scores]) -> str | None:
    """Why an arm should stop, or None.

    mine: the arm's scores. others: those of the arms still in the race, by name. The incumbent is the one
    with the highest median on the trials that it shares with the arm. The arm stops where a one-sided
    signed-rank test at level ALPHA rejects that it is better than the incumbent by WORTH or more: it is then
    worse, or so close that to find out would be futile.

    As in irace (López-Ibáñez et al. 2016, after Birattari et al. 2002), arms are compared on the same
    instances, here trials, with a paired test after each block; there by a Friedman or t-test, here by the
    signed-rank test, whose p does not hang on one wild R². The level holds for one look at one
    pair: several looks and the choice of the incumbent make a false stop more likely than ALPHA.
    """
    from scipy.stats import wilcoxon  # a second of loading, which only the driver of a race needs

    best, name = None, ""
    for other, theirs in others.items():
        shared = sorted(mine.keys() & theirs.keys())
        if len(shared) < FEWEST:
            continue
        difference = np.array([mine[trial] - theirs[trial] for trial in shared])
        level = float(np.median([theirs[trial] for trial in shared]))
        if best is None or level > best[0]:
            best, name = (level, difference), other
    if best is None:
        return None
    difference = best[1]
    p = float(wilcoxon(difference - WORTH, alternative="less", zero_method="pratt").pvalue)
    if p <= ALPHA:
        return (
            f"not better than {name} on {len(difference)} shared trials: median difference "
            f"{np.median(difference):+.4f}, p = {p:.3f}"
        )
    return None


def halve(mine: float, others: Sequence[float], part: float) -> str | None:
    """Why an arm should stop by successive halving, or None.

    mine: the arm's median score after a block. others: the medians after the same block of all arms that
    have come so far, stopped ones too. part: how many of them all go on, the best ones, at least one.

    A race uses it with n / FUTILE, of an odd number with the one in the middle, besides its test: arms that
    no test can tell apart would else all run to the end, for a choice that hardly matters.
    """
    above = sum(other > mine for other in others)
    if above >= max(1, part):
        return f"{above} of {len(others) + 1} arms had a better median than {mine:.4f}"
    return None
