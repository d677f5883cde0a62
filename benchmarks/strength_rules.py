"""Does a way of choosing strengths find nothing where there is nothing, and something where there is?

A study's own records, shuffled: on each data set a penalty's strengths and as many restarts of plain
distillation of the same regime are given one another's trials. So all are alike over the data sets, while
splits, luck and what validation rows tell of test rows stay as they are. Then an effect is added to the R² of
some strengths, on all data sets or, of two strengths, of each on a random half of them. Printed is in which
part of the comparisons the signed-rank test over data sets (alpha .05, not corrected) calls the penalty
better or worse than plain distillation, and the same of near ties alone: the rank sums of the two best
strengths differ by one at most. Where there is nothing, 2.5 % either way are due: exactly for "trial" and
"fixed", where both sides may change places, and about for the rest, whose choices tie the data sets together.

    halves         each trial's strength is chosen by one half of the data sets for the other, as reports do
    leave one out  each data set's by all the others
    trial          each trial's by itself, against the best of as many restarts
    fixed          the middle one, which is where an effect at one strength is
    all            by all data sets, the own among them

and last what each says of the records as they are, and in which part of the trials halves give a data set the
strength that its own validation rows prefer.

    python benchmarks/strength_rules.py [RECORDS] [--studies 300] [--effect 0.003] [--effects-studies 50]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from smoothray_analysis.arms import arm_name
from smoothray_analysis.loading import load_parquet
from smoothray_analysis.statistics.paired import signed_rank
from smoothray_analysis.strengths import FIXED, OTHERS, TRIAL, Choice, at_chosen_strength

RECORDS = Path(__file__).parents[1] / "docs" / "results" / "pmlb20.parquet"
RULES = ("halves", "leave one out", "trial", "fixed", "all")
ALPHA = 0.05
SCORES = ["student_r2_val", "student_r2_test"]
COLUMNS = ["dataset", "student", "penalty", "augment", "ensemble", "stopping", "strength", "restart",
           "trial", "status", *SCORES]  # fmt: skip
CANDIDATE = ["penalty", "strength", "restart"]
Places = Callable[[pd.DataFrame, list[float], np.random.Generator], "pd.Series[bool]"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("records", type=Path, nargs="?", default=RECORDS)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--effect", type=float, default=0.003)
    parser.add_argument("--effects-studies", type=int, default=50)
    options = parser.parse_args()
    arms = list(searched(load_parquet(options.records).frame[COLUMNS]))
    if not arms:
        parser.error("no penalty has several strengths and as many restarts of plain distillation")
    print("In % of the comparisons: better, worse; of near ties: better, worse, and their number")
    for where, places in EFFECTS.items():
        studies = options.studies if where == "nothing" else options.effects_studies
        said: dict[str, list[tuple[float, float]]] = {rule: [] for rule in RULES}
        ties = []
        for number in range(studies):
            rng = np.random.default_rng(number)
            for arm in arms:
                study = shuffled(arm, rng)
                here = places(study, sorted(study["strength"].dropna().unique()), rng)
                study[SCORES] += options.effect * here.to_numpy()[:, None]
                ties.append(near_tie(study))
                for rule in RULES:
                    said[rule].append(compared(study, rule))
        effect = "" if where == "nothing" else f"{options.effect:g} "
        print(f"\n{effect}{where} ({studies} studies of {len(arms)} arms)")
        tied = np.array(ties)
        for rule, results in said.items():
            p, difference = np.array(results).T
            both = np.array([(p <= ALPHA) & (sign * difference > 0) for sign in (1, -1)])
            parts = [f"{100 * share:6.1f}" for share in both.mean(axis=1)]
            parts += [f"{100 * share:6.1f}" for share in both[:, tied].mean(axis=1)]
            print(f"  {rule:14}", *parts, f"{tied.sum():6}", flush=True)
    print("\nThe records as they are: median difference, p")
    for arm in arms:
        first = arm.iloc[0]
        print(arm_name(first["penalty"], first["augment"], first["ensemble"], first["stopping"]))
        for rule in RULES:
            p, difference = compared(arm, rule)
            print(f"  {rule:14}{difference:+9.4f}{p:8.3f}")
        own, chance = preferred(arm[arm["penalty"] != "none"])
        print(
            f"  halves give the own preference to {own:.0%} of the trials, {chance:.0%} by chance"
        )


def preferred(records: pd.DataFrame) -> tuple[float, float]:
    """The share of the trials at the strength that the data set's own validation rows prefer among those that
    more than a twentieth of all trials get, and what it were if they got them regardless of data sets."""
    chosen = at_chosen_strength(records, Choice(OTHERS))
    shares = chosen["strength"].value_counts(normalize=True)
    best = ranks(records)[shares.index[shares > 0.05]].idxmin(axis=1)
    own = chosen["strength"] == chosen["dataset"].map(best)
    return float(own.mean()), float(best.map(shares).mean())


def searched(records: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Each penalty of several strengths, with as many restarts of plain distillation of its regime."""
    kinds = ["student", "augment", "ensemble", "stopping"]
    for _, mine in records.groupby(kinds):
        plain = mine[mine["penalty"] == "none"]
        for _, own in mine[mine["strength"].notna()].groupby("penalty"):
            strengths = own["strength"].nunique()
            if 1 < strengths <= plain["restart"].nunique():
                alike = plain[plain["restart"] < strengths]
                yield pd.concat([own, alike], ignore_index=True)


def shuffled(arm: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The arm's records, each data set's candidates under one another's names, the same in all trials."""
    names = arm[CANDIDATE].drop_duplicates().reset_index(drop=True)
    places = arm[CANDIDATE].merge(names.assign(place=names.index), on=CANDIDATE)["place"]
    moved = np.empty(len(arm), dtype=int)
    for rows in arm.groupby("dataset").indices.values():
        moved[rows] = rng.permutation(len(names))[places.to_numpy()[rows]]
    given = names.loc[moved].set_axis(arm.index)
    return arm.assign(**{name: given[name] for name in CANDIDATE})


def on_halves(
    study: pd.DataFrame, strengths: list[float], rng: np.random.Generator
) -> pd.Series[bool]:
    """Where the last strength helps a random half of the data sets, and the last but one the rest."""
    names = study["dataset"].unique()
    half = study["dataset"].isin(rng.permutation(names)[: len(names) // 2])
    return study["strength"].eq(half.map({True: strengths[-1], False: strengths[-2]}))


EFFECTS: dict[str, Places] = {
    "nothing": lambda study, strengths, rng: study["strength"].isin([]),
    "at the middle strength": lambda study, strengths, rng: study["strength"].eq(middle(strengths)),
    "at the upper two": lambda study, strengths, rng: study["strength"].isin(strengths[-2:]),
    "at all": lambda study, strengths, rng: study["strength"].isin(strengths),
    "at one of the upper two, each on half of the data sets": on_halves,
}


def middle(strengths: list[float]) -> float:
    return strengths[len(strengths) // 2]


def ranks(records: pd.DataFrame) -> pd.DataFrame:
    """The ranks of the strengths by their median validation R², a row a data set."""
    medians = records.pivot_table(
        index="dataset", columns="strength", values=SCORES[0], aggfunc="median"
    )
    return medians.rank(axis=1, ascending=False)


def near_tie(arm: pd.DataFrame) -> bool:
    sums = ranks(arm).sum().sort_values()
    return bool(sums.iloc[1] - sums.iloc[0] <= 1)


def compared(arm: pd.DataFrame, rule: str) -> tuple[float, float]:
    """p of the penalty against plain distillation over the data sets, and the median difference."""
    penalty = arm["penalty"] != "none"
    ours = _chosen(arm[penalty], rule)
    theirs = (
        _chosen(arm[~penalty], TRIAL) if rule == TRIAL else arm[~penalty & (arm["restart"] == 0)]
    )
    place = ["dataset", "trial"]
    score = SCORES[1]
    differences = ours.set_index(place)[score] - theirs.set_index(place)[score]
    medians = differences.groupby("dataset").median()
    return signed_rank(medians).p, float(medians.median())


def _chosen(records: pd.DataFrame, rule: str) -> pd.DataFrame:
    if rule == "halves":
        return at_chosen_strength(records, Choice(OTHERS))
    if rule == TRIAL:
        return at_chosen_strength(records, Choice(TRIAL))
    if rule == FIXED:
        return records[records["strength"] == middle(sorted(records["strength"].unique()))]
    places = ranks(records)
    sums = places * 0 + places.sum()
    votes = sums - places if rule == "leave one out" else sums
    return records[records["strength"] == records["dataset"].map(votes.idxmin(axis=1))]


if __name__ == "__main__":
    main()
