"""How strong a penalty is, chosen on validation rows: on the other data sets, or for each trial by itself.

Trials of one data set share rows: one trial's validation rows are another's test rows. A strength chosen by
the median over a data set's own trials has therefore seen its test rows, and no rule here does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smoothray_analysis.arms import completed
from smoothray_analysis.text import count

FAMILY = ["dataset", "student", "penalty", "augment", "ensemble", "stopping"]
"""What one strength is chosen for."""
VISIBLE_STRENGTH = (*FAMILY, "strength", "restart", "trial", "status", "student_r2_val")
"""All that a choice may look at."""
OTHERS, TRIAL, FIXED = RULES = ("others", "trial", "fixed")
ENOUGH = 5
"""Fewer data sets than this cannot choose for one another."""
UNIT = [*FAMILY, "trial"]


class StrengthError(ValueError):
    """A way of choosing that these records do not allow; the message says what to do."""


@dataclass(frozen=True)
class Choice:
    """How strengths are chosen.

    rule: OTHERS (of each trial by one half of the data sets for the other half), TRIAL (of each trial the
    best of all strengths and restarts) or FIXED. why: why it is not the rule that was asked for. fixed:
    strengths by penalty.
    """

    rule: str
    why: str = ""
    fixed: Mapping[str, float] = field(default_factory=dict)


def choice_for(
    records: pd.DataFrame, rule: str = OTHERS, fixed: Mapping[str, float] | None = None
) -> Choice:
    """The way in which strengths can be chosen from these records: `rule`, or TRIAL where OTHERS cannot be.

    Raises StrengthError: an unknown rule, or a penalty of several strengths of which FIXED names none or one
    that was not run.
    """
    if rule not in RULES:
        raise StrengthError(f"unknown way '{rule}' to choose strengths; use {', '.join(RULES)}")
    tried = _searched(completed(records))
    if rule == FIXED:
        named = dict(fixed or {})
        for penalty, group in tried.groupby("penalty"):
            run = sorted(group["strength"].unique())
            if named.get(str(penalty)) not in run:
                have = ", ".join(f"{value:g}" for value in run[:12])
                raise StrengthError(f"give one of {penalty}'s strengths that were run: {have}")
        return Choice(FIXED, fixed=named)
    several = tried[several_strengths(tried)]
    if rule == TRIAL or several.empty:
        return Choice(rule)
    kinds = several.groupby(FAMILY[1:])["dataset"].nunique()
    if int(kinds.min()) < ENOUGH:
        few = count(int(kinds.min()), "data set")
        return Choice(TRIAL, f"{few} cannot choose for one another, {ENOUGH} could")
    if _by_halves(several)["strength"].isna().any():
        return Choice(TRIAL, "strengths were drawn, other ones for each data set")
    return Choice(OTHERS)


def fixable(records: pd.DataFrame, fixed: Mapping[str, float]) -> pd.DataFrame:
    """The records without penalties of several strengths of which `fixed` names none that was run."""
    tried = _searched(completed(records)).groupby("penalty")["strength"].unique()
    left = [name for name, run in tried.items() if fixed.get(str(name)) not in run]
    return records[~records["penalty"].isin(left)]


def at_chosen_strength(
    records: pd.DataFrame, choice: Choice | None = None, budget: int | None = None
) -> pd.DataFrame:
    """The records at the strength that was chosen for their trial, failed ones included; their index is kept.

    choice: of `choice_for`, by default with its defaults. Where it is TRIAL, a trial's record is that of the
    best validation R² among all strengths and restarts; budget: of no more restarts than this. Else it is
    restart 0: at the fixed strength of its penalty, or at the one that the other half of the data sets
    chooses (`halves`), whose median validation R² has the best mean rank there. Of equally good ones the
    smaller strength and restart is taken, and a failed one only where all are. Of a single strength on a data
    set there is nothing to choose.
    """
    choice = choice or choice_for(records)
    records = completed(records)
    if choice.rule == TRIAL:
        return _best_of_trial(records, budget)
    first = records[records["restart"] == 0]
    several = several_strengths(first)
    mine = first[several]
    if choice.rule == FIXED:
        wanted = mine["penalty"].map(choice.fixed).to_numpy(float)
    else:
        # A left join keeps the records' order.
        chosen = _by_halves(mine[list(VISIBLE_STRENGTH)])
        wanted = mine[UNIT].merge(chosen, on=UNIT, how="left")["strength"].to_numpy(float)
    kept = ~several.to_numpy()
    kept[several] = mine["strength"].to_numpy(float) == wanted
    return first[kept]


def at_equal_budgets(records: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """The records of `at_chosen_strength` for what sets many arms beside each other: where strengths are
    chosen for each trial by itself, only arms that chose from as many candidates as the one with the most
    strengths; an arm without strengths from no more restarts than that."""
    if choice.rule != TRIAL:
        return at_chosen_strength(records, choice)
    records = completed(records)
    arm = FAMILY[1:]
    strengths = records.groupby(arm)["strength"].nunique()
    counts = candidates(records)
    searched = counts[strengths > 1]
    most = int(searched.max() if len(searched) else counts.max())
    even = counts[counts >= most].index
    kept = pd.MultiIndex.from_frame(records[arm]).isin(even)
    without = records["strength"].isna() | (
        records.groupby(arm)["strength"].transform("nunique") == 1
    )
    return at_chosen_strength(records[kept & ~(without & (records["restart"] >= most))], choice)


def unnamed(records: pd.DataFrame, fixed: Mapping[str, float]) -> list[str]:
    """The penalties of several strengths of which `fixed` names none, if it names one of others."""
    tried = sorted(map(str, _searched(completed(records))["penalty"].unique()))
    left = [name for name in tried if name not in fixed]
    return left if len(left) < len(tried) else []


def shares_chosen(chosen: pd.DataFrame) -> pd.DataFrame:
    """A row per arm (FAMILY but for the data set) that has strengths, and strength: `share`, the part of its
    trials that have it, of all data sets together.

    chosen: of `at_chosen_strength`.
    """
    arm = FAMILY[1:]
    mine = completed(chosen)
    mine = mine[mine["strength"].notna()]
    sizes = mine.groupby([*arm, "strength"]).size()
    return (sizes / sizes.groupby(arm).transform("sum")).rename("share").reset_index()


def candidates(records: pd.DataFrame) -> pd.Series:
    """Of each arm (FAMILY but for the data set) how many strengths and restarts it has, at most on a data
    set: what a trial's best is chosen from."""
    each = completed(records)[[*FAMILY, "strength", "restart"]].drop_duplicates()
    return each.groupby(FAMILY).size().groupby(FAMILY[1:]).max()


def stopped_by_a_race(records: pd.DataFrame) -> bool:
    """Whether some strengths have fewer trials than others of their family."""
    first = completed(records).query("restart == 0")
    counts = first.groupby([*FAMILY, "strength"], dropna=False)["trial"].nunique()
    return bool((counts.groupby(FAMILY).nunique() > 1).any())


def _searched(records: pd.DataFrame) -> pd.DataFrame:
    """The records of penalties that were run at several strengths, for one data set or among them."""
    seen = records.loc[
        records["strength"].notna() & (records["restart"] == 0), list(VISIBLE_STRENGTH)
    ]
    return seen[seen.groupby(FAMILY[1:])["strength"].transform("nunique") > 1]


def several_strengths(records: pd.DataFrame) -> pd.Series:
    """Whether a record is of several strengths on its data set."""
    return records.groupby(FAMILY)["strength"].transform("nunique") > 1


def _by_halves(seen: pd.DataFrame) -> pd.DataFrame:
    """A row per FAMILY and trial: the `strength` that the half of the data sets chooses in which its own is
    not; nan where none of its strengths was run by at least half of these."""
    trials = pd.Index(sorted(seen["trial"].unique()), name="trial")
    ranks = _ranks(seen).unstack("strength").sort_index(axis=1)
    parts = [pd.DataFrame(columns=[*UNIT, "strength"])]
    for _, kind in ranks.groupby(level=FAMILY[1:]):
        # No half can choose what fewer data sets than half of one half have run, as drawn strengths are.
        kind = kind.loc[:, 2 * kind.count() >= len(kind) // 2]
        order = _mean_ranks(kind.to_numpy(float), halves(len(kind), trials))
        least = order.min(axis=2, initial=np.inf)
        strengths = np.append(kind.columns.to_numpy(float), np.nan)
        first = (order == least[..., None]).argmax(axis=2) if order.size else 0
        best = strengths[np.where(np.isinf(least), -1, first)]
        wide = pd.DataFrame(best.T, index=kind.index, columns=trials)
        parts.append(wide.melt(value_name="strength", ignore_index=False).reset_index())
    return pd.concat(parts[1:] or parts, ignore_index=True)


def halves(datasets: int, trials: Iterable[Any]) -> NDArray[np.bool_]:
    """Which of the data sets are in the first half, a row a trial, drawn at random by its number.

    One half chooses for the other, so that no data set's scores choose for itself. Were all others to choose
    (leave one out), a near tie would be decided by the vote that is missing, the data set's own: all get what
    they rank lower, or none. Over many halves each gets one for some trials and another for the rest, the one
    that it ranks lower only a little more often.
    """
    drawn = [np.random.default_rng(int(trial)).permutation(datasets) for trial in trials]
    return np.array(drawn).reshape(-1, datasets) < datasets // 2


def _mean_ranks(ranks: NDArray[np.float64], first: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean rank of each strength in the half in which a data set is not: trials × data sets × strengths.

    ranks: data sets × strengths, nan where a data set has not run it, which makes the mean inf; so does a
    strength that fewer than half of the other half have run.
    """
    run = np.isfinite(ranks)
    means = []
    for half in (first, ~first):
        runs = half.astype(float) @ run
        enough = 2 * runs >= np.maximum(half.sum(axis=1, keepdims=True), 1)
        total = half.astype(float) @ np.where(run, ranks, 0.0)
        means.append(np.where(enough, total / np.maximum(runs, 1), np.inf))
    of_the_other = np.where(first[..., None], means[1][:, None], means[0][:, None])
    return np.where(run, of_the_other, np.inf)


def _ranks(seen: pd.DataFrame) -> pd.Series:
    """The rank of the median validation R² by FAMILY and strength, 1 the best; what a race stopped has few
    trials, may lead by luck and ranks last."""
    score = seen["student_r2_val"].astype(float).where(seen["status"] == "ok")
    groups = seen.assign(score=score).groupby([*FAMILY, "strength"])
    medians, trials = groups["score"].median(), groups["trial"].nunique()
    whole = trials == trials.groupby(FAMILY).transform("max")
    return medians.where(whole).groupby(FAMILY).rank(ascending=False, na_option="bottom")


def _best_of_trial(records: pd.DataFrame, budget: int | None) -> pd.DataFrame:
    """Of each FAMILY and trial the record with the best validation R²."""
    if budget is not None:
        records = records[records["restart"] < budget]
    arm = records.groupby([*FAMILY, "strength", "restart"], dropna=False)["trial"]
    trials = arm.transform("nunique")
    most = trials.groupby([records[name] for name in FAMILY]).transform("max")
    left = records[trials == most]
    score = left["student_r2_val"].astype(float).where(left["status"] == "ok")
    order = left[[*FAMILY, "trial", "strength", "restart"]].assign(score=-score)
    order = order.sort_values(["score", "strength", "restart"], kind="stable")
    return left.loc[order.drop_duplicates([*FAMILY, "trial"]).index.sort_values()]
