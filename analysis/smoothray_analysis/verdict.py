"""All the evidence that a study's records hold, as tables and as plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from smoothray_analysis.arms import arm_names
from smoothray_analysis.comparisons import SCORE, Settings, over_datasets, per_dataset
from smoothray_analysis.narrative import verdict_lines
from smoothray_analysis.selection import FAMILY, Rule, at_chosen_strength, reselect
from smoothray_analysis.statistics.effects import iqm, stratified_iqm
from smoothray_analysis.statistics.over_datasets import (
    complete,
    critical_difference,
    friedman,
    mean_ranks,
    wilcoxon_holm,
)

MEDIANS = (
    "teacher_r2_test", "fidelity_test", SCORE, "student_r2_val", "complexity", "complexity_standard",
    "alignment",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a study says. Frames are empty where there is nothing to compare.

    rule: what chose the formulas. lines: the verdict in plain English, the most important first.
    chosen: the records at their chosen strengths, with `arm`.
    arms: a row per student, data set and arm: strength, trials, failed, `iqm` and medians.
    per_dataset, differences, over_datasets: as `comparisons` documents.
    scores: a row per student and data set, a column per arm: median test R².
    ranks: `student`, `arm`, `mean_rank`, `datasets`, `critical_difference`; best first.
    friedman: a row a student. pairwise: `over_datasets.wilcoxon_holm` of each student.
    iqm: `student`, `arm`, `iqm`, `low`, `high` over all trials on the data sets that are ranked.
    failures: a row per student, data set and arm at all its strengths, with `trials` and `failed`.
    """

    rule: str
    settings: Settings
    lines: tuple[str, ...]
    chosen: pd.DataFrame
    arms: pd.DataFrame
    per_dataset: pd.DataFrame
    differences: pd.DataFrame
    over_datasets: pd.DataFrame
    scores: pd.DataFrame
    ranks: pd.DataFrame
    friedman: pd.DataFrame
    pairwise: pd.DataFrame
    iqm: pd.DataFrame
    failures: pd.DataFrame


def evidence(
    records: pd.DataFrame,
    *,
    fronts: pd.DataFrame | None = None,
    rule: Rule | None = None,
    settings: Settings | None = None,
    warnings: Sequence[str] = (),
) -> Evidence:
    """Put a study's evidence together.

    records: a row a trial (`loading.Records.frame`). fronts: `Records.fronts()`, needed for a `rule` other
    than the recorded one. warnings: what loading warned of; they end the lines.

    Raises ValueError: no records, or a rule without fronts.
    """
    settings = settings or Settings()
    if records.empty:
        raise ValueError("there are no records to draw evidence from")
    if rule is not None:
        if fronts is None:
            raise ValueError(f"the rule '{rule}' chooses from the fronts, which were not given")
        records = reselect(records, fronts, rule)
        name = str(rule)
    else:
        used = records["selection"].dropna() if "selection" in records else pd.Series(dtype=object)
        name = ", ".join(sorted(map(str, used.unique()))) or "as recorded"
    records = records.assign(arm=arm_names(records))
    chosen = at_chosen_strength(records, settings.per_trial)
    table, differences = per_dataset(chosen, settings)
    over = over_datasets(table, differences, settings)
    good = chosen[(chosen["status"] == "ok") & chosen[SCORE].notna()]
    scores = good.pivot_table(
        index=["student", "dataset"], columns="arm", values=SCORE, aggfunc="median"
    )
    failures = _failures(records)
    ranks, tests, pairwise = _between_arms(scores, good, settings)
    ranked = {(student, name) for student in scores.index.get_level_values("student").unique()
              for name in complete(_used(scores.loc[student])).index}  # fmt: skip
    shared = good.loc[
        [pair in ranked for pair in zip(good["student"], good["dataset"], strict=True)]
    ]
    lines = verdict_lines(records, table, over, failures, settings, warnings)
    return Evidence(
        rule=name, settings=settings, lines=lines, chosen=chosen, arms=_arms(chosen),
        per_dataset=table, differences=differences, over_datasets=over, scores=scores, ranks=ranks,
        friedman=tests, pairwise=pairwise, iqm=_iqms(shared, settings), failures=failures,
    )  # fmt: skip


def _arms(chosen: pd.DataFrame) -> pd.DataFrame:
    good = chosen["status"] == "ok"
    fields = [name for name in MEDIANS if name in chosen]
    frame = chosen.assign(trials=good, failed=~good)
    frame[fields] = frame[fields].astype(float).where(good, axis=0)
    groups = frame.groupby([*FAMILY, "arm"])
    table = groups[["trials", "failed"]].sum().join(groups[fields].median())
    table["iqm"] = groups[SCORE].agg(lambda column: iqm(column.dropna()))
    table["strength"] = groups["strength"].agg(
        lambda column: column.iloc[0] if column.nunique() == 1 else float("nan")
    )
    return table.reset_index()


def _failures(records: pd.DataFrame) -> pd.DataFrame:
    frame = records.assign(trials=1, failed=(records["status"] != "ok").astype(int))
    return frame.groupby(["student", "dataset", "arm"])[["trials", "failed"]].sum().reset_index()


def _between_arms(
    scores: pd.DataFrame, good: pd.DataFrame, settings: Settings
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ranks, Friedman and pairwise tests of each student; only data sets that every arm has are ranked."""
    ranks, tests, pairs = [], [], []
    for student in scores.index.get_level_values("student").unique():
        table = _used(scores.loc[student])
        full = complete(table)
        n, k = full.shape
        means = mean_ranks(full).rename_axis("arm").rename("mean_rank").reset_index()
        gap = critical_difference(k, n, settings.alpha)
        ranks.append(means.assign(student=student, datasets=n, critical_difference=gap))
        left_out = len(table) - n
        tests.append({"student": student, **friedman(full)._asdict(), "left_out": left_out})
        mine = good[good["student"] == student]
        pairs.append(
            wilcoxon_holm(table, settings.alpha, _paired(mine, table)).assign(student=student)
        )
    if not ranks:
        return pd.DataFrame(), pd.DataFrame(), pd.DataFrame()
    return (
        pd.concat(ranks, ignore_index=True),
        pd.DataFrame(tests),
        pd.concat(pairs, ignore_index=True),
    )


def _used(table: pd.DataFrame) -> pd.DataFrame:
    return table.loc[:, table.notna().any()]


def _paired(good: pd.DataFrame, table: pd.DataFrame) -> Mapping[tuple[str, str], pd.Series]:
    """For each two arms the data sets' medians of their paired differences, as the named comparisons have."""
    wide = good.pivot_table(index=["dataset", "trial"], columns="arm", values=SCORE)
    return {
        (first, second): (wide[first] - wide[second]).dropna().groupby("dataset").median()
        for first, second in combinations(table.columns, 2)
    }


def _iqms(good: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    rows = []
    for (student, arm), group in good.groupby(["student", "arm"]):
        middle = stratified_iqm(
            group[SCORE], group["dataset"], resamples=settings.resamples, seed=settings.seed
        )
        rows.append({"student": student, "arm": arm, "iqm": middle.estimate, "low": middle.low,
                     "high": middle.high, "note": middle.note})  # fmt: skip
    return pd.DataFrame(rows, columns=["student", "arm", "iqm", "low", "high", "note"])
