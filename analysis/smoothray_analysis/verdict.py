"""All the evidence that a study's records hold, as tables and as plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from smoothray_analysis.arms import arm_names, completed
from smoothray_analysis.comparisons import SCORE, Settings, compare
from smoothray_analysis.endpoints import ACCURACY
from smoothray_analysis.narrative import verdict_lines
from smoothray_analysis.selection import Rule, reselect
from smoothray_analysis.statistics.effects import iqm, stratified_iqm
from smoothray_analysis.statistics.over_datasets import (
    complete,
    critical_difference,
    friedman,
    mean_ranks,
    wilcoxon_holm,
)
from smoothray_analysis.strengths import (
    FAMILY,
    TRIAL,
    Choice,
    at_chosen_strength,
    at_equal_budgets,
    choice_for,
)

MOST_FAILED = 0.1
"""Of more failed trials than this a cell of unpaired tables stays empty: those that finished may be easy."""
MEDIANS = (
    "teacher_r2_test", "fidelity_test", SCORE, "student_r2_val", "complexity", "complexity_standard",
    "alignment",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a study says. Frames are empty where there is nothing to compare.

    rule: what chose the formulas. choice: how strengths were chosen. lines: the verdict in plain English, the
    most important first.
    chosen: the records at their chosen strengths, with `arm`. even: those of arms that chose from as many
    candidates (`strengths.at_equal_budgets`), which ranks, tests between all arms and shares of runs are of.
    arms: a row per student, data set and arm: strength (nan where trials have several), trials, failed, `iqm`
    and medians.
    endpoints: `comparisons.Comparisons.over_datasets`, all endpoints; over_datasets: those rows of the
    primary one, test R²; per_dataset, differences: as `comparisons` documents, of the primary one. scores: a
    row per student and data set, a column per arm: median test R² over the trials that all arms finished;
    empty where more than MOST_FAILED of an arm's trials failed. ranks: `student`, `arm`, `mean_rank`,
    `datasets`, `critical_difference`; best first. friedman: a row a student. pairwise:
    `over_datasets.wilcoxon_holm` of each student. iqm: `student`, `arm`, `iqm`, `low`, `high` over all trials
    on the data sets that are ranked. failures: a row per student, data set and arm at all its strengths, with
    `trials` and `failed`.
    """

    rule: str
    settings: Settings
    choice: Choice
    lines: tuple[str, ...]
    chosen: pd.DataFrame
    even: pd.DataFrame
    arms: pd.DataFrame
    per_dataset: pd.DataFrame
    differences: pd.DataFrame
    endpoints: pd.DataFrame
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

    Raises ValueError: no records, a rule without fronts, or strengths that cannot be chosen as asked.
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
    records = completed(records)
    records = records.assign(arm=arm_names(records))
    choice = choice_for(records, settings.strengths, settings.fixed)
    chosen = at_chosen_strength(records, choice)
    compared = compare(records, settings, choice)
    table, over = (_primary(frame) for frame in (compared.per_dataset, compared.over_datasets))
    even = chosen if choice.rule != TRIAL else at_equal_budgets(records, choice)
    scores = _complete_trials(chosen)[1]
    whole, even_scores = _complete_trials(even)
    failures = _failures(records)
    good = even[even["status"].eq("ok") & even[SCORE].notna()]
    ranks, tests, pairwise = _between_arms(even_scores, good, settings)
    ranked = {(student, name) for student in even_scores.index.get_level_values("student").unique()
              for name in complete(_used(even_scores.loc[student])).index}  # fmt: skip
    shared = whole.loc[
        [pair in ranked for pair in zip(whole["student"], whole["dataset"], strict=True)]
    ]
    lines = verdict_lines(
        records, table, compared.over_datasets, failures, settings, choice, warnings
    )
    return Evidence(
        rule=name, settings=settings, choice=choice, lines=lines, chosen=chosen, even=even,
        arms=_arms(chosen), per_dataset=table, differences=compared.differences,
        endpoints=compared.over_datasets, over_datasets=over, scores=scores, ranks=ranks,
        friedman=tests, pairwise=pairwise, iqm=_iqms(shared, settings), failures=failures,
    )  # fmt: skip


def _primary(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame
    return frame[frame["endpoint"] == ACCURACY.name].reset_index(drop=True)


def _complete_trials(chosen: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials of each student and data set that all its arms finished, and their median test R² as a table
    of arms; an arm of which more than MOST_FAILED failed there is left out of both."""
    good = chosen["status"].eq("ok") & chosen[SCORE].notna()
    place = ["student", "dataset"]
    failed = (~good).groupby([chosen[name] for name in (*place, "arm")]).transform("mean")
    kept = chosen[good & (failed <= MOST_FAILED)]
    arms = kept.groupby(place)["arm"].transform("nunique")
    whole = kept[kept.groupby([*place, "trial"])["arm"].transform("nunique") == arms]
    scores = whole.pivot_table(index=place, columns="arm", values=SCORE, aggfunc="median")
    wanted = pd.MultiIndex.from_frame(chosen[place].drop_duplicates().sort_values(place))
    return whole, scores.reindex(index=wanted, columns=sorted(chosen["arm"].unique()))


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
