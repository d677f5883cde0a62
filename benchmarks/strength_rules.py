"""Does a way of choosing strengths find nothing where there is nothing, and something where there is?

A study's own records, shuffled: on each data set a penalty's strengths and as many restarts of plain
distillation of the same regime are given one another's trials. So all are alike over the data sets, while
splits, luck and what validation rows tell of test rows stay as they are. Then an effect is added to the R² of
some strengths. Printed is in which part of the comparisons the signed-rank test over data sets (alpha .05,
not corrected: 2.5 % either way where there is nothing) calls the penalty better or worse than plain
distillation:

    halves         each trial's strength is chosen by one half of the data sets for the other, as reports do
    leave one out  each data set's by all the others
    trial          each trial's by itself, against the best of as many restarts
    fixed          the middle one
    all            by all data sets, the own among them

and last what each says of the records as they are.

    python benchmarks/strength_rules.py [RECORDS] [--studies 300] [--effect 0.003] [--effects-studies 50]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("records", type=Path, nargs="?", default=RECORDS)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--effect", type=float, default=0.003)
    parser.add_argument("--effects-studies", type=int, default=50)
    options = parser.parse_args()
    arms = list(searched(load_parquet(options.records).frame[COLUMNS]))
    print("In % of the comparisons: better, worse; and the median difference")
    effects = {"nothing": (), "at the middle strength": (1,), "at the upper two": (1, 2),
               "at all": (0, 1, 2)}  # fmt: skip
    for where, places in effects.items():
        studies = options.effects_studies if places else options.studies
        said: dict[str, list[tuple[float, float]]] = {rule: [] for rule in RULES}
        for number in range(studies):
            rng = np.random.default_rng(number)
            for arm in arms:
                study = planted(shuffled(arm, rng), places, options.effect)
                for rule in RULES:
                    said[rule].append(compared(study, rule))
        print(f"\n{options.effect:g} {where}" if places else f"\n{where}", end="")
        print(f" ({studies} studies of {len(arms)} arms)")
        for rule, results in said.items():
            p, difference = np.array(results).T
            better, worse = ((p <= ALPHA) & (sign * difference > 0) for sign in (1, -1))
            print(f"  {rule:14}{100 * better.mean():6.1f}{100 * worse.mean():6.1f}", end="")
            print(f"{np.median(difference):+9.4f}")
    print("\nThe records as they are: median difference, p")
    for arm in arms:
        first = arm.iloc[0]
        print(arm_name(first["penalty"], first["augment"], first["ensemble"], first["stopping"]))
        for rule in RULES:
            p, difference = compared(arm, rule)
            print(f"  {rule:14}{difference:+9.4f}{p:8.3f}")


def searched(records: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Each penalty of several strengths with plain distillation of its regime, in as many restarts."""
    kinds = ["student", "augment", "ensemble", "stopping"]
    for _, mine in records.groupby(kinds):
        plain = mine[mine["penalty"] == "none"]
        for penalty, own in mine[mine["strength"].notna()].groupby("penalty"):
            if (strengths := own["strength"].nunique()) > 1:
                alike = plain[plain["restart"] < strengths]
                yield pd.concat([own[own["penalty"] == penalty], alike], ignore_index=True)


def shuffled(arm: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The arm's records, each data set's candidates under one another's names, the same in all trials."""
    names = arm[CANDIDATE].drop_duplicates().reset_index(drop=True)
    places = arm[CANDIDATE].merge(names.assign(place=names.index), on=CANDIDATE)["place"]
    moved = np.empty(len(arm), dtype=int)
    for rows in arm.groupby("dataset").indices.values():
        moved[rows] = rng.permutation(len(names))[places.to_numpy()[rows]]
    given = names.loc[moved].set_axis(arm.index)
    return arm.assign(**{name: given[name] for name in CANDIDATE})


def planted(arm: pd.DataFrame, places: tuple[int, ...], effect: float) -> pd.DataFrame:
    """The records with an effect on the R² of the strengths at these places, on validation and test rows."""
    strengths = sorted(arm["strength"].dropna().unique())
    here = arm["strength"].isin([strengths[place] for place in places])
    return arm.assign(**{name: arm[name] + effect * here for name in SCORES})


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
        strengths = sorted(records["strength"].unique())
        middle = strengths[len(strengths) // 2]
        return records[records["strength"] == middle]
    medians = records.pivot_table(
        index="dataset", columns="strength", values=SCORES[0], aggfunc="median"
    )
    ranks = medians.rank(axis=1, ascending=False)
    votes = ranks.sum() - ranks if rule == "leave one out" else ranks * 0 + ranks.sum()
    return records[records["strength"] == records["dataset"].map(votes.idxmin(axis=1))]


if __name__ == "__main__":
    main()
