"""Why and where: what goes with accuracy beyond the strength, which data sets gain, how runs come out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, rankdata, spearmanr
from smoothray_analysis.arms import EARLY, completed
from smoothray_analysis.arms import TO_THE_END as END
from smoothray_analysis.associations import (
    LEAST,
    association_lines,
    associations,
    associations_over,
)
from smoothray_analysis.mechanism import against_strength
from smoothray_analysis.moderators import moderation_lines, moderations, moderators
from smoothray_analysis.regimes import beside
from smoothray_analysis.runs import catastrophes, profiles
from smoothray_analysis.statistics.correlation import partial_rank, spearman

STRENGTHS = (0.0, 0.01, 0.1, 1.0, 3.0)


def fits(rng, datasets=8, trials=10, alike=0.0, smooth=0.0):
    """Fits where strength and split move R², alignment and roughness alike, and nothing else does but for
    `alike` and `smooth`; a strong penalty leaves less noise, and some formulas are catastrophes."""
    parts = []
    for dataset in range(datasets):
        easy = rng.normal(size=trials)
        for place, strength in enumerate(STRENGTHS):
            noise = 3.0 / (1 + 2 * place)
            rough = 0.5 * noise * rng.normal(size=trials)
            apart = noise * rng.normal(size=trials)
            r2 = 0.5 + 0.1 * easy - 0.1 * place + 0.05 * noise * rng.normal(size=trials)
            r2 -= 0.05 * (alike * np.abs(apart - 0.5 * place) + smooth * rough)
            r2 -= (rng.random(trials) < 0.05) * rng.exponential(20, trials)
            parts.append(
                pd.DataFrame(
                    {"student": "s", "dataset": f"d{dataset:02}", "trial": np.arange(trials), "status": "ok",
                     "penalty": "jacobian" if strength else "none", "strength": strength or np.nan,
                     "augment": 0, "ensemble": 1, "teacher_jacobian": np.exp(rough - place + 0.1 * easy),
                     "alignment": apart - 0.5 * place, "student_r2_test": r2,
                     "teacher_r2_test": 0.6 + 0.1 * easy + 0.02 * rng.normal(size=trials),
                     "fidelity_test": 0.9 + 0.02 * rng.normal(size=trials)}
                )
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_noise_goes_with_accuracy_in_few_studies():
    """The raw correlation said so in half of all studies of two data sets."""
    studies, found = 60, 0
    for seed in range(studies):
        over = associations_over(associations(fits(np.random.default_rng(seed))), resamples=0)
        assert over["p"].notna().all() and len(over) == 4
        found += bool(over["significant"].any())
    assert found <= binom.ppf(0.99, studies, 0.05)


def test_what_goes_with_accuracy_at_the_same_strength_is_found():
    table = associations(fits(np.random.default_rng(0), datasets=10, alike=1.0))
    over = associations_over(table, resamples=200).set_index(["measure", "given"])
    assert over.loc["alike", "significant"].all() and (over.loc["alike", "low"] > 0.03).all()
    lines = association_lines(over.reset_index())
    assert lines[0].startswith(
        "Where teacher and formula are more alike in smoothness, the formula's R² at the same strength is "
        "higher (partial rank correlation +"
    )
    smooth = associations_over(associations(fits(np.random.default_rng(1), 10, smooth=2.0)))
    assert smooth.set_index("measure").loc["smooth", "significant"].all()


@pytest.mark.parametrize("datasets", [1, 2, LEAST - 1])
def test_of_few_data_sets_nothing_is_said(datasets):
    found = associations_over(associations(fits(np.random.default_rng(0), datasets, alike=5.0)))
    assert not found["significant"].any() and found["p_holm"].isna().all()
    assert association_lines(found) == [
        "Whether smoothness goes with accuracy beyond what the strength does is not said of fewer than 5 "
        "data sets."
    ]


def test_given_what_explains_it_nothing_is_left():
    """Here fidelity makes R², and alignment goes with fidelity alone."""
    frame = fits(np.random.default_rng(3), datasets=12, trials=20)
    frame["fidelity_test"] = 0.9 - 0.02 * frame["alignment"].abs()
    frame["fidelity_test"] += np.random.default_rng(4).normal(0, 0.02, len(frame))
    frame["student_r2_test"] = frame["fidelity_test"] + np.random.default_rng(5).normal(
        0, 0.01, len(frame)
    )
    over = associations_over(associations(frame)).set_index(["measure", "given"])
    assert over.loc[("alike", "strength"), "significant"]
    assert not over.loc[("alike", "all"), "significant"]


def test_partial_rank_correlation_is_what_least_squares_leaves():
    rng = np.random.default_rng(0)
    n = 60
    x, given = rng.normal(size=n), rng.normal(size=n)
    y = x + 2 * given + rng.normal(size=n)
    one, own = np.zeros(n), np.arange(n)
    assert partial_rank(x, y, one, one) == pytest.approx(spearmanr(x, y).statistic)
    ranks = np.column_stack([np.ones(n), rankdata(given)])
    rest = [
        r - ranks @ np.linalg.lstsq(ranks, r, rcond=None)[0] for r in (rankdata(x), rankdata(y))
    ]
    expected = np.corrcoef(*rest)[0, 1]
    assert partial_rank(x, y, one, one, [given]) == pytest.approx(expected)
    # What differs between cells counts for nothing, whatever its size; nothing is left of one value a block.
    cells = np.arange(n) // 15
    shifted = partial_rank(x + 1e6 * cells, y - 1e6 * cells, cells, one)
    assert shifted == pytest.approx(partial_rank(x, y, cells, one))
    assert np.isnan(partial_rank(x, y, one, own)) and np.isnan(partial_rank(x, one, one, one))


def test_spearman_with_its_interval_and_p():
    rng = np.random.default_rng(0)
    x = rng.normal(size=20)
    y = x + rng.normal(size=20)
    found = spearman(x, y)
    assert found.rho == pytest.approx(spearmanr(x, y).statistic)
    assert found.low < found.rho < found.high <= 1
    assert found.p == pytest.approx(spearmanr(x, y).pvalue, abs=0.005)
    assert spearman([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]).p == pytest.approx(2 / 120)
    assert np.isnan(spearman([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]).low)
    assert np.isnan(spearman([1, 1, 1, 1], [1, 2, 3, 4]).rho)


# --- which data sets gain


def chosen(rng, datasets=12, trials=10, follow=0.0, regimes=(EARLY,)):
    """One smooth arm, plain distillation and direct fit, whose gain follows the plain teacher's roughness."""
    rows = []
    for dataset in range(datasets):
        rough, level = rng.normal(), rng.uniform(0.4, 0.8)
        for trial in range(trials):
            for penalty, stopping in [("direct", EARLY), *((p, s) for p in ("none", "jacobian", "placebo")
                                                           for s in regimes)]:  # fmt: skip
                gain = follow * rough if penalty == "jacobian" else 0.0
                name = penalty + (" (trained to the end)" if stopping == END else "")
                rows.append(
                    {"student": "s", "dataset": f"d{dataset:02}", "trial": trial, "penalty": penalty,
                     "strength": 0.1 if penalty == "jacobian" else np.nan, "augment": 0, "ensemble": 1,
                     "stopping": stopping, "restart": 0, "status": "ok", "arm": name,
                     "student_r2_test": level + gain + rng.normal(0, 0.01),
                     "teacher_r2_test": np.nan if penalty == "direct" else level + rng.normal(0, 0.01),
                     "teacher_jacobian": np.nan if penalty == "direct" else 10.0**rough,
                     "n_train": 60 + dataset, "n_val": 15, "n_test": 25}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_data_sets_that_gain_are_told():
    frame = chosen(np.random.default_rng(0), follow=0.1)
    table = moderators(frame)
    assert len(table) == 2 * 12 and table["columns"].isna().all()
    row = table[(table["dataset"] == "d03") & (table["base"] == "none")].iloc[0]
    mine = frame[frame["dataset"] == "d03"].pivot(index="trial", columns="penalty")
    r2 = mine["student_r2_test"]
    assert row["gain"] == pytest.approx((r2["jacobian"] - r2["none"])[::2].median())
    ahead = (mine["teacher_r2_test"]["none"] - r2["direct"])[1::2].median()
    assert row["ahead"] == pytest.approx(ahead) and row["rows"] == 103 and row["trials"] == 5
    best = pd.concat([r2[1::2], mine["teacher_r2_test"][1::2]], axis=1).median().max()
    assert row["ceiling"] == pytest.approx(best)
    over = moderations(table, resamples=200)
    assert set(over["moderator"]) == {"ahead", "ceiling", "roughness", "rows"}
    rough = over[over["moderator"] == "roughness"]
    assert rough["significant"].all() and (rough["low"] > 0.4).all()
    line = moderation_lines(table, over)[0]
    assert line.startswith("Which kind of data set gains: the gain over ")
    assert "is larger where the plain teacher is rougher (rank correlation +" in line
    known = moderators(frame.assign(n_columns=frame["n_train"] % 7))
    assert "columns" in set(moderations(known, resamples=0)["moderator"])


def test_noise_moderates_in_few_studies():
    """Also the lead over a direct fit that the gain is measured against."""
    studies, found = 40, 0
    for seed in range(studies):
        table = moderators(chosen(np.random.default_rng(seed), datasets=8, trials=6))
        found += bool(moderations(table, resamples=0)["significant"].any())
    assert found <= binom.ppf(0.99, studies, 0.05)


def test_of_few_data_sets_no_kind_is_said_to_gain():
    table = moderators(chosen(np.random.default_rng(0), datasets=4, follow=0.5))
    over = moderations(table)
    assert over.empty
    assert moderation_lines(table, over) == [
        "Which kind of data set gains is not said of fewer than 5 data sets."
    ]
    weak = moderators(chosen(np.random.default_rng(0), datasets=6))
    assert (
        "none of 8 rank correlations" in moderation_lines(weak, moderations(weak, resamples=0))[0]
    )
    assert moderation_lines(table.head(0), over) == []


def test_gains_are_within_a_regime():
    frame = chosen(np.random.default_rng(0), regimes=(EARLY, END))
    end = frame["stopping"] == END
    frame.loc[end & (frame["penalty"] == "none"), "student_r2_test"] -= 1
    gains = moderators(frame).groupby(["stopping", "base"])["gain"].median()
    assert gains[END, "none"] == pytest.approx(1, abs=0.02)
    assert gains.drop((END, "none")).abs().max() < 0.02


# --- regimes


def test_older_records_were_stopped_early():
    old = pd.DataFrame({"trial": [0, 1]})
    assert completed(old)[["stopping", "restart"]].to_numpy().tolist() == [[EARLY, 0]] * 2
    half = pd.DataFrame({"stopping": [None, END], "restart": [np.nan, 2]})
    assert completed(half)["stopping"].tolist() == [EARLY, END]
    assert completed(half)["restart"].tolist() == [0, 2]


def test_an_arm_is_compared_within_its_regime_where_there_is_a_base():
    frame = chosen(np.random.default_rng(0), datasets=2, trials=2, regimes=(EARLY, END))
    smooth = frame[frame["penalty"] == "jacobian"]
    base = beside(smooth, frame, "none", ["student_r2_test"])["student_r2_test"]
    for index, row in smooth.iterrows():
        same = frame[(frame["penalty"] == "none") & (frame["stopping"] == row["stopping"])]
        same = same[(same["dataset"] == row["dataset"]) & (same["trial"] == row["trial"])]
        assert base[index] == same["student_r2_test"].item()
    early = frame[(frame["penalty"] != "none") | (frame["stopping"] == EARLY)]
    base = beside(smooth, early, "none", ["student_r2_test"])["student_r2_test"]
    assert base.notna().all() and base.nunique() == 4


def test_curves_tell_regimes_apart_and_leave_restarts_out():
    frame = chosen(np.random.default_rng(0), datasets=2, trials=4, regimes=(EARLY, END))
    frame = frame.assign(fidelity_test=0.9, complexity=5, alignment=0.0, student_r2_val=0.5)
    again = frame[frame["penalty"] == "none"].assign(restart=1, student_r2_test=-5.0)
    curves = against_strength(pd.concat([frame, again], ignore_index=True), frame)
    assert set(curves["stopping"]) == {EARLY, END}
    assert curves["change_student_r2_test"].abs().max() < 0.1
    assert (curves[curves["penalty"] != "direct"]["trials"] == 4).all()


# --- single runs


def runs(scores, dataset="d"):
    """A run a score: by arm, of each data set as many."""
    return pd.DataFrame(
        [
            {"student": "s", "arm": arm, "dataset": f"{dataset}{place}", "trial": trial,
             "status": "failed" if np.isnan(r2) else "ok", "student_r2_test": r2}
            for arm, sets in scores.items()
            for place, mine in enumerate(sets) for trial, r2 in enumerate(mine)
        ]
    )  # fmt: skip


def test_profiles_are_shares_of_runs_data_sets_counting_the_same():
    frame = runs({"a": [[0.2, 0.9], [0.2] * 8], "b": [[0.5, np.nan], [0.5]]})
    table = profiles(frame)
    at = table[table["score"] > 0.25].groupby("arm").first()["share"]
    assert at["a"] == pytest.approx((1 / 2 + 0) / 2)  # not one of ten runs
    assert at["b"] == pytest.approx((1 / 2 + 1) / 2)  # the run that failed is above no score
    assert table["low"].isna().all()  # two data sets have no band
    assert table.groupby("arm")["share"].apply(lambda s: s.is_monotonic_decreasing).all()
    rng = np.random.default_rng(0)
    wide = profiles(runs({"a": rng.uniform(0, 1, (8, 5))}), resamples=200)
    assert (wide["low"] <= wide["share"]).all() and (wide["share"] <= wide["high"]).all()
    assert (wide["high"] - wide["low"]).max() > 0.1


def test_catastrophes_have_intervals_over_data_sets():
    some = [[0.5] * 9 + [-1.0]] * 4 + [[0.5] * 10] * 6
    table = catastrophes(runs({"a": some, "b": [[0.5] * 10] * 10, "c": [[-3.0] * 10] * 10}))
    table = table.set_index("arm")
    assert table.loc["a", ["number", "runs", "share"]].tolist() == [4, 100, pytest.approx(0.04)]
    assert 0 < table.loc["a", "low"] < 0.04 < table.loc["a", "high"] < 0.1
    # Where a bootstrap would be certain, Wilson's interval: 0 of 100 is at most 3.7 %.
    assert table.loc["b", ["low", "high"]].tolist() == pytest.approx([0, 0.037], abs=1e-3)
    assert table.loc["c", "low"] == pytest.approx(0.963, abs=1e-3) and table.loc["c", "high"] == 1
    alone = catastrophes(runs({"b": [[0.5] * 10] * 10})).iloc[0]
    assert alone["high"] == pytest.approx(0.278, abs=1e-3)  # as 0 of 10
    few = catastrophes(runs({"b": [[0.5] * 10] * 5})).iloc[0]
    assert np.isnan([few["low"], few["high"]]).all()
