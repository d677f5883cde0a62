"""How strong a penalty is, chosen on validation rows: on the other data sets, or for each trial by itself.

Trials of one data set share rows: one trial's validation rows are another's test rows. A strength chosen by
the median over a data set's own trials has therefore seen its test rows, and no rule here does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from smoothray_analysis.arms import completed
from smoothray_analysis.text import count

FAMILY = ["dataset", "student", "penalty", "augment", "ensemble", "stopping"]
"""What one strength is chosen for."""
VISIBLE_STRENGTH = (*FAMILY, "strength", "restart", "trial", "status", "student_r2_val")
"""All that a choice may look at."""
OTHERS, TRIAL, FIXED = RULES = ("others", "trial", "fixed")
ENOUGH = 5
"""Fewer data sets than this cannot choose for one another."""


class StrengthError(ValueError):
    """A way of choosing that these records do not allow; the message says what to do."""


@dataclass(frozen=True)
class Choice:
    """How strengths are chosen.

    rule: OTHERS (of each data set by the mean rank on the others), TRIAL (of each trial the best of all
    strengths and restarts) or FIXED. why: why it is not the rule that was asked for. fixed: strengths by
    penalty.
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
    searched = _searched(completed(records))
    if rule == FIXED:
        named = dict(fixed or {})
        for penalty, group in searched.groupby("penalty"):
            run = sorted(group["strength"].unique())
            if named.get(str(penalty)) not in run:
                have = ", ".join(f"{value:g}" for value in run[:12])
                raise StrengthError(f"give one of {penalty}'s strengths that were run: {have}")
        return Choice(FIXED, fixed=named)
    if rule == TRIAL or searched.empty:
        return Choice(rule)
    kinds = searched.groupby(FAMILY[1:])["dataset"].nunique()
    if int(kinds.min()) < ENOUGH:
        few = count(int(kinds.min()), "data set")
        return Choice(TRIAL, f"{few} cannot choose for one another, {ENOUGH} could")
    lacking = _mean_ranks(_scores(searched)).groupby(FAMILY)["mean_rank"].count().eq(0)
    if lacking.any():
        return Choice(TRIAL, "strengths were drawn, other ones for each data set")
    return Choice(OTHERS)


def fixable(records: pd.DataFrame, fixed: Mapping[str, float]) -> pd.DataFrame:
    """The records without penalties of several strengths of which `fixed` names none that was run."""
    searched = _searched(completed(records)).groupby("penalty")["strength"].unique()
    left = [name for name, run in searched.items() if fixed.get(str(name)) not in run]
    return records[~records["penalty"].isin(left)]


def at_chosen_strength(
    records: pd.DataFrame, choice: Choice | None = None, budget: int | None = None
) -> pd.DataFrame:
    """The records at the chosen strength of their FAMILY, failed ones included; their index is kept.

    choice: of `choice_for`, by default with its defaults. Where it is TRIAL, a trial's record is that of the
    best validation R² among all strengths and restarts; budget: of no more restarts than this. Else it is
    restart 0 at the family's strength. Of equally good ones the smaller strength and restart is taken, and a
    failed one only where all are.
    """
    choice = choice or choice_for(records)
    records = completed(records)
    if choice.rule == TRIAL:
        return _best_of_trial(records, budget)
    first = records[records["restart"] == 0]
    chosen = choose_strengths(first, choice)
    keys = chosen[[*FAMILY, "strength"]].rename(columns={"strength": "chosen_strength"})
    # A left join keeps the records' order, hence their index.
    wanted = first[FAMILY].merge(keys, on=FAMILY, how="left")["chosen_strength"].to_numpy(float)
    own = first["strength"].to_numpy(float)
    return first[(own == wanted) | (pd.isna(own) & pd.isna(wanted))]


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
    searched = sorted(map(str, _searched(completed(records))["penalty"].unique()))
    left = [name for name in searched if name not in fixed]
    return left if len(left) < len(searched) else []


def choose_strengths(records: pd.DataFrame, choice: Choice | None = None) -> pd.DataFrame:
    """A row per FAMILY: `strength` (nan where there is none), and `score`, its median validation R².

    records: a row a trial with the columns VISIBLE_STRENGTH; others are not looked at. Where strengths are
    chosen for each trial by itself, the one that was chosen most often stands for the family.
    """
    choice = choice or choice_for(records)
    seen = completed(records)[list(VISIBLE_STRENGTH)]
    scores = _scores(seen)
    if choice.rule == TRIAL:
        best = _best_of_trial(seen, None)
        unit = [*FAMILY, "strength"]
        table = best.groupby(unit, dropna=False).size().rename("order").mul(-1).reset_index()
    elif choice.rule == FIXED:
        table = scores.assign(order=scores["strength"] != scores["penalty"].map(choice.fixed))
    else:
        table = _mean_ranks(scores).rename(columns={"mean_rank": "order"})
    # Of a single strength there is nothing to choose, whatever was run elsewhere.
    ordered = table.sort_values([*FAMILY, "order", "strength"], kind="stable")
    picked = ordered.drop_duplicates(FAMILY)[[*FAMILY, "strength"]]
    return picked.merge(
        scores[[*FAMILY, "strength", "score"]], on=[*FAMILY, "strength"], how="left"
    )


def near_ties(records: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """What the other data sets chose differently from one data set to the next: a row per arm (FAMILY but for
    the data set) of several chosen strengths, with `times`, on how many data sets each was chosen, by
    strength, and `against`, on how many the data set's own validation rows prefer another of these.

    Each data set is chosen for without its own vote. In a tie that vote is the one that decides, so a data
    set tends to get the strength that suits it less. Data sets that did not run all strengths are left out:
    theirs may be another for that reason. Empty unless the choice is by OTHERS.
    """
    arm = FAMILY[1:]
    none = pd.DataFrame(columns=[*arm, "times", "against"])
    if choice.rule != OTHERS:
        return none
    scores = _scores(_searched(completed(records)))
    strengths = scores.groupby(arm)["strength"].transform("nunique")
    scores = scores[scores.groupby(FAMILY)["strength"].transform("nunique") == strengths]
    picked = choose_strengths(records, choice).merge(scores[FAMILY].drop_duplicates(), on=FAMILY)
    rows = []
    for key, group in picked.groupby(arm):
        times = group["strength"].value_counts().sort_index()
        if len(times) == 1:
            continue
        rivals = group[FAMILY].merge(scores, on=FAMILY)
        best = rivals[rivals["strength"].isin(times.index)].groupby("dataset")["score"].max()
        own = group.set_index("dataset")["score"]
        against = int((own < best.reindex(own.index)).sum())
        rows.append((*key, times.to_dict(), against))
    return pd.DataFrame(rows, columns=none.columns) if rows else none


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


def _scores(seen: pd.DataFrame) -> pd.DataFrame:
    """A row per FAMILY and strength: the median validation `score`; nan for what a race stopped, which has
    few trials and may lead by luck."""
    first = seen[seen["restart"] == 0]
    score = first["student_r2_val"].astype(float).where(first["status"] == "ok")
    groups = first.assign(score=score).groupby([*FAMILY, "strength"], dropna=False)
    table = groups.agg(score=("score", "median"), trials=("trial", "nunique")).reset_index()
    whole = table["trials"] == table.groupby(FAMILY)["trials"].transform("max")
    return table.assign(score=table["score"].where(whole))


def _mean_ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """A row per FAMILY and strength: `mean_rank` of the score on the other data sets, nan where fewer than
    half of them have this strength. scores: of `_scores`."""
    ranks = scores.groupby(FAMILY)["score"].rank(ascending=False, na_option="bottom")
    kind = [scores[name] for name in (*FAMILY[1:], "strength")]
    groups = ranks.groupby(kind, dropna=False)
    others = groups.transform("size") - 1
    mean = (groups.transform("sum") - ranks) / others
    family = [scores[name] for name in FAMILY[1:]]
    datasets = scores["dataset"].groupby(family).transform("nunique")
    return scores.assign(mean_rank=mean.where((others > 0) & (2 * others >= datasets - 1)))


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
