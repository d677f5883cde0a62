"""The named comparisons: each smooth penalty against the baselines, per data set and over data sets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from smoothray_analysis.arms import ARM, BASES, arm_name
from smoothray_analysis.statistics.effects import (
    FEW,
    a12,
    iqm,
    median_interval,
    rank_biserial,
    relative,
    stratified_iqm,
    win_tie_loss,
)
from smoothray_analysis.statistics.over_datasets import bayes_signed_rank
from smoothray_analysis.statistics.paired import corrected_t, holm, power_is_small, signed_rank

SCORE = "student_r2_test"
SURE = 0.95
"""The probability from which arms without a significant difference are called practically the same."""


@dataclass(frozen=True)
class Settings:
    """alpha: of the tests. rope: R² differences up to this are practically the same. resamples: of each
    bootstrap, 0 for no intervals. per_trial: choose strengths for each trial by itself."""

    alpha: float = 0.05
    rope: float = 0.01
    resamples: int = 2000
    seed: int = 0
    per_trial: bool = False


def named_pairs(records: pd.DataFrame) -> list[dict[str, Any]]:
    """For each student each smooth arm with each of BASES that the records hold.

    A base has the arm's augmentation and ensemble, or, where there is none such, the least of both;
    then `same` is False. `direct`, which has no teacher, counts as the same.
    """
    pairs = []
    for student, arms in records[["student", *ARM]].drop_duplicates().groupby("student"):
        smooth = arms[~arms["penalty"].isin(BASES)].sort_values(ARM)
        for arm in smooth.to_dict("records"):
            for base in BASES:
                options = arms[arms["penalty"] == base].sort_values(["augment", "ensemble"])
                if options.empty:
                    continue
                alike = options[
                    (options["augment"] == arm["augment"])
                    & (options["ensemble"] == arm["ensemble"])
                ]
                other = (options if alike.empty else alike).iloc[0]
                place = {name: int(arm[name]) for name in ("augment", "ensemble")}
                pairs.append(
                    {
                        "student": student,
                        "penalty": arm["penalty"],
                        **place,
                        "arm": arm_name(arm["penalty"], **place),
                        "base": base,
                        "base_augment": int(other["augment"]),
                        "base_ensemble": int(other["ensemble"]),
                        "same": base == "direct" or not alike.empty,
                    }
                )
    return pairs


def per_dataset(chosen: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The named comparisons on each data set, paired over the trials.

    chosen: records at their chosen strengths (`selection.at_chosen_strength`).

    Returns (table, differences). table: a row a comparison and data set; p_holm, t_p_holm within the whole
    table; `verdict` is "better", "worse", "no clear difference", "power is small" or "no pairs".
    differences: a row a pair with `student`, `arm`, `base`, `dataset`, `trial`, `difference`.
    """
    place = ["dataset", "trial"]
    fields = [*place, "strength", "status", SCORE, "complexity", "n_train", "n_test"]
    by_arm = {key: group[fields] for key, group in chosen.groupby(["student", *ARM])}
    rows, pieces = [], []
    for pair in named_pairs(chosen):
        names = {name: pair[name] for name in ("student", "arm", "base")}
        arm = by_arm[(pair["student"], *(pair[name] for name in ARM))]
        base = by_arm[pair["student"], pair["base"], pair["base_augment"], pair["base_ensemble"]]
        both = arm.merge(base, on=place, how="outer", suffixes=("", "_base"))
        both["pair"] = (both[["status", "status_base"]] == "ok").all(axis=1)
        both["pair"] &= both[[SCORE, f"{SCORE}_base"]].notna().all(axis=1)
        for dataset, trials in both.groupby("dataset"):
            if trials[["status", "status_base"]].isna().all().any():
                continue
            row, differences = _compare(trials, settings)
            rows.append({"dataset": dataset, **pair, **row})
            pieces.append(differences.assign(dataset=dataset, **names))
    table = pd.DataFrame(rows)
    if table.empty:
        return table, pd.DataFrame(
            columns=["student", "arm", "base", "dataset", "trial", "difference"]
        )
    table["p_holm"] = holm(table["p"].to_numpy(float))
    table["t_p_holm"] = holm(table["t_p"].to_numpy(float))
    table = _judge(table, table["rank_biserial"], settings.alpha)
    return table, pd.concat(pieces, ignore_index=True)


def over_datasets(
    table: pd.DataFrame, differences: pd.DataFrame, settings: Settings
) -> pd.DataFrame:
    """The named comparisons with the data set as the unit.

    table, differences: of `per_dataset`. A data set's trials become one number first, their median paired
    difference in R². The signed-rank test, the Bayesian test and the counts are of these numbers; with
    fewer than FEW there are no intervals and no probabilities. p_holm is
    within the named comparisons; `iqm` is of all pairs, its interval stratified by data set.
    """
    rows = []
    keys = ["student", "penalty", "augment", "ensemble", "arm", "base", "same"]
    for key, group in () if table.empty else table.groupby(keys, sort=False):
        usable = group[group["pairs"] > 0]
        d = usable["difference"].to_numpy(float)
        mine = differences
        names = dict(zip(keys, key, strict=True))
        for name in ("student", "arm", "base"):
            mine = mine[mine[name] == names[name]]
        test = signed_rank(d)
        middle = median_interval(d, resamples=settings.resamples, seed=settings.seed)
        pooled = stratified_iqm(
            mine["difference"], mine["dataset"], resamples=settings.resamples, seed=settings.seed
        )
        likely = bayes_signed_rank(d if len(d) >= FEW else [], settings.rope, seed=settings.seed)
        part = usable["relative"].dropna()
        rows.append(
            {
                **names,
                "datasets": len(d),
                "datasets_without_pairs": len(group) - len(d),
                "pairs": int(group["pairs"].sum()),
                "dropped": int(group["dropped"].sum()),
                "difference": middle.estimate,
                "low": middle.low,
                "high": middle.high,
                "interval_note": middle.note,
                "iqm": pooled.estimate,
                "iqm_low": pooled.low,
                "iqm_high": pooled.high,
                "nodes": float(usable["nodes"].median()),
                "base_nodes": float(usable["base_nodes"].median()),
                **win_tie_loss(d)._asdict(),
                "p": test.p,
                "smallest_p": test.smallest_p,
                "test_note": test.note,
                "rank_biserial": rank_biserial(d),
                **{f"probably_{name}": value for name, value in likely._asdict().items()},
                "relative": float(part.median()) if len(part) else float("nan"),
                "relative_datasets": len(part),
                "significantly_better": int((group["verdict"] == "better").sum()),
                "significantly_worse": int((group["verdict"] == "worse").sum()),
            }
        )
    over = pd.DataFrame(rows)
    if over.empty:
        return over
    over["p_holm"] = holm(over["p"].to_numpy(float))
    over = _judge(over, over["rank_biserial"], settings.alpha)
    same = (over["verdict"] == "no clear difference") & (over["probably_same"] >= SURE)
    return over.assign(verdict=over["verdict"].mask(same, "practically the same"))


def _compare(both: pd.DataFrame, settings: Settings) -> tuple[dict[str, Any], pd.DataFrame]:
    """One comparison on one data set: a row a trial, the base's fields ending in "_base"; `pair`: whether
    both finished."""
    pairs = both[both["pair"]]
    x, y = pairs[SCORE].to_numpy(float), pairs[f"{SCORE}_base"].to_numpy(float)
    d = x - y
    middle = median_interval(d, resamples=settings.resamples, seed=settings.seed)
    test = signed_rank(d)
    check = corrected_t(d, _median(pairs["n_train"]), _median(pairs["n_test"]))
    base_median = _median(y)
    row = {
        "strength": _one(both["strength"]),
        "base_strength": _one(both["strength_base"]),
        "pairs": len(d),
        "dropped": len(both) - len(d),
        "failed": int((both["status"] == "failed").sum()),
        "base_failed": int((both["status_base"] == "failed").sum()),
        "median": _median(x),
        "base_median": base_median,
        "nodes": _median(pairs["complexity"]),
        "base_nodes": _median(pairs["complexity_base"]),
        "iqm": iqm(x),
        "base_iqm": iqm(y),
        "difference": middle.estimate,
        "low": middle.low,
        "high": middle.high,
        "interval_note": middle.note,
        "relative": relative(middle.estimate, base_median),
        "p": test.p,
        "smallest_p": test.smallest_p,
        "zeros": test.zeros,
        "tied": test.ties,
        "test_note": test.note,
        "t": check.t,
        "t_p": check.p,
        "a12": a12(x, y),
        "rank_biserial": rank_biserial(d),
        **win_tie_loss(d)._asdict(),
    }
    return row, pd.DataFrame({"trial": pairs["trial"], "difference": d})


def _one(strengths: Iterable[float]) -> float:
    """The strength that all share; nan where they differ or there is none."""
    values = {float(value) for value in strengths if not np.isnan(value)}
    return values.pop() if len(values) == 1 else float("nan")


def _median(values: ArrayLike) -> float:
    """The median of what is there; nan of nothing."""
    numbers = np.asarray(values, dtype=float)
    numbers = numbers[~np.isnan(numbers)]
    return float(np.median(numbers)) if len(numbers) else float("nan")


def _judge(table: pd.DataFrame, direction: pd.Series, alpha: float) -> pd.DataFrame:
    """Add `power_small` and `verdict` from p, p_holm, smallest_p and the sign of `direction`."""
    tests = int(table["p"].notna().sum())
    significant = (table["p_holm"] <= alpha).to_numpy()
    small = [power_is_small(p, tests, alpha) for p in table["smallest_p"]]
    small = [few and not clear for few, clear in zip(small, significant, strict=True)]
    verdict = np.select(
        [
            table["p"].isna(),
            significant & (direction > 0),
            significant & (direction < 0),
            np.array(small),
        ],
        ["no pairs", "better", "worse", "power is small"],
        "no clear difference",
    )
    return table.assign(power_small=small, verdict=verdict)
