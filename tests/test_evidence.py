"""The statistics, against scipy, statsmodels and published worked examples."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
from smoothray_analysis.statistics.effects import (
    a12,
    iqm,
    median_interval,
    rank_biserial,
    relative,
    stratified_iqm,
    win_tie_loss,
)
from smoothray_analysis.statistics.over_datasets import (
    bayes_signed_rank,
    critical_difference,
    detectable,
    friedman,
    mean_ranks,
    wilcoxon_holm,
)
from smoothray_analysis.statistics.paired import (
    holm,
    power_is_small,
    signed_rank,
    smallest_p,
    trimmed_t,
)

RNG = np.random.default_rng(0)

# Demšar 2006, table 6: AUC of four variants of C4.5 on 14 data sets. The table's rounded 0.975 and 0.975 of
# `voting` hide a difference, as its ranks 2 and 3 show.
DEMSAR = pd.DataFrame(
    [
        (0.763, 0.768, 0.771, 0.798), (0.599, 0.591, 0.590, 0.569), (0.954, 0.971, 0.968, 0.967),
        (0.628, 0.661, 0.654, 0.657), (0.882, 0.888, 0.886, 0.898), (0.936, 0.931, 0.916, 0.931),
        (0.661, 0.668, 0.609, 0.685), (0.583, 0.583, 0.563, 0.625), (0.775, 0.838, 0.866, 0.875),
        (1.000, 1.000, 1.000, 1.000), (0.940, 0.962, 0.965, 0.962), (0.619, 0.666, 0.614, 0.669),
        (0.972, 0.981, 0.9752, 0.9748), (0.957, 0.978, 0.946, 0.970),
    ],
    columns=["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"],
)  # fmt: skip

# Hollander & Wolfe 1973, p. 29: depression before and after (also R's wilcox.test).
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])


def test_friedman_and_ranks_equal_demsar():
    ranks = mean_ranks(DEMSAR)
    assert ranks[DEMSAR.columns].round(3).tolist() == [3.143, 2.0, 2.893, 1.964]
    result = friedman(DEMSAR)
    # His chi² is not corrected for ties, as scipy's is.
    tied = 12 * st.rankdata(DEMSAR, axis=1).var(axis=1).sum() / (14 * (4 * 4 - 1))
    assert round(result.chi2 * tied, 2) == 9.28
    assert (
        result.f == pytest.approx(13 * result.chi2 / (14 * 3 - result.chi2)) and result.f_p < 0.05
    )
    assert round(critical_difference(4, 14), 2) == 1.25
    assert round(critical_difference(4, 14, 0.10), 2) == 1.12


def test_friedman_equals_scipy():
    for table in (DEMSAR, pd.DataFrame(RNG.normal(size=(20, 6)).round(1))):
        expected = st.friedmanchisquare(*table.to_numpy().T)
        result = friedman(table)
        assert result.chi2 == pytest.approx(expected.statistic, rel=1e-10)
        assert result.p == pytest.approx(expected.pvalue, rel=1e-10)


def test_friedman_needs_something_to_rank():
    assert math.isnan(friedman(DEMSAR.iloc[:, :2]).p)
    assert math.isnan(friedman(pd.DataFrame(np.ones((5, 3)))).p)


def test_wilcoxon_holm_equals_scipy_and_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    table = pd.DataFrame(RNG.normal(size=(15, 4)) + [0, 0, 1, 2], columns=list("abcd"))
    result = wilcoxon_holm(table)
    p = [st.wilcoxon(table[x], table[y]).pvalue for x, y in itertools.combinations("abcd", 2)]
    np.testing.assert_allclose(result["p"], p, rtol=1e-10)
    np.testing.assert_allclose(result["p_holm"], multitest.multipletests(p, method="holm")[1])


def test_signed_rank_equals_published_examples():
    # R's wilcox.test: V = 40, p = 0.01953 one-sided.
    result = signed_rank(BEFORE - AFTER)
    assert (result.plus, result.minus) == (40, 5)
    assert round(result.p / 2, 5) == 0.01953
    # Demšar 2006, 3.1.3, who splits the ranks of zeros: R+ = 93, R- = 12.
    d = (DEMSAR["C4.5+m"] - DEMSAR["C4.5"]).round(3)
    result = signed_rank(d)
    assert (result.zeros, result.minus + (result.zeros + 1) * result.zeros / 4) == (2, 12)
    assert rank_biserial(d) == pytest.approx((93 - 12) / 105)
    assert result.p < 0.05


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30, 50, 51, 80])
def test_signed_rank_equals_scipy(n):
    d = RNG.normal(0.2, 1, n)
    method = "exact" if n <= 50 else "asymptotic"
    assert signed_rank(d).p == pytest.approx(st.wilcoxon(d, method=method).pvalue, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_signed_rank_with_zeros_and_ties_counts_every_sign(seed):
    d = np.random.default_rng(seed).integers(-3, 5, 9).astype(float)
    moved = np.flatnonzero(d)
    ranks = st.rankdata(np.abs(d))[moved]
    signs = np.array(list(itertools.product([0, 1], repeat=len(moved))))
    sums, observed = signs @ ranks, ranks[d[moved] > 0].sum()
    p = min(1.0, 2 * min((sums <= observed).mean(), (sums >= observed).mean()))
    assert signed_rank(d).p == pytest.approx(p, rel=1e-9)
    assert ("zeros" in signed_rank(d).note) == (len(moved) < 9)


def test_signed_rank_of_nothing_and_of_zeros():
    assert math.isnan(signed_rank([]).p)
    assert signed_rank(np.zeros(6)).p == 1
    assert signed_rank(np.ones(6)).p == smallest_p(6) == 2 / 64


def test_holm_equals_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = RNG.uniform(size=(3, 40)) ** 3
    for row in p:
        np.testing.assert_allclose(holm(row), multitest.multipletests(row, method="holm")[1])
    assert np.isnan(holm([0.01, np.nan])[1]) and holm([0.01, np.nan])[0] == 0.01


def test_a_trimmed_t_without_trimming_equals_scikit_learns_published_example():
    # "Statistical comparison of models using grid search" in its documentation: t = 0.750, p = 0.227.
    from sklearn.datasets import make_moons
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    X, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    models = SVC(kernel="rbf", random_state=0), SVC(kernel="linear", random_state=0)
    first, second = (cross_val_score(m, X, y, cv=folds, scoring="roc_auc") for m in models)
    result = trimmed_t(first - second, 90, 10, trim=0)
    assert (round(result.t, 3), round(result.p / 2, 3), result.df) == (0.750, 0.227, 99)
    plain = st.ttest_rel(first, second)
    assert result.t == pytest.approx(plain.statistic / math.sqrt(1 + 100 * 10 / 90), rel=1e-10)
    assert trimmed_t(first - second, 1, 0, trim=0).p == pytest.approx(plain.pvalue, rel=1e-10)


@pytest.mark.parametrize("trim", [0, 0.2])
def test_a_trimmed_t_of_constant_and_few_differences(trim):
    assert math.isnan(trimmed_t([0.1], 60, 25, trim=trim).p)
    assert trimmed_t([0] * 8, 60, 25, trim=trim).p == 1
    same = trimmed_t([0.1] * 8, 60, 25, trim=trim)
    assert same.p == 0 and same.low == same.mean == same.high == pytest.approx(0.1)


def test_a12_equals_a_published_example_and_scipy():
    # Hollander & Wolfe 1973, p. 69 (also R's wilcox.test): W = 35 of 10 × 5 pairs.
    x = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    y = [1.15, 0.88, 0.90, 0.74, 1.21]
    assert a12(x, y) == 35 / 50
    x, y = RNG.integers(0, 5, 30), RNG.integers(1, 6, 20)
    assert a12(x, y) == pytest.approx(st.mannwhitneyu(x, y).statistic / 600)
    assert math.isnan(a12([], y))


def test_rank_biserial_and_counts():
    assert rank_biserial(BEFORE - AFTER) == pytest.approx(35 / 45)  # Kerby 2014: (40 - 5) / 45
    assert rank_biserial([0.0, 0.0]) == 0 and math.isnan(rank_biserial([]))
    assert win_tie_loss(BEFORE - AFTER) == (7, 0, 2)


def test_median_interval_equals_scipy_and_handles_degenerate_data():
    x = RNG.normal(size=40)
    expected = st.bootstrap(
        (x,), np.median, n_resamples=999, method="BCa", rng=np.random.default_rng(3)
    ).confidence_interval
    result = median_interval(x, resamples=999, seed=3)
    assert (result.low, result.high) == pytest.approx(tuple(expected))
    assert median_interval([2.0] * 6)[:3] == (2, 2, 2)
    for few in ([2.0], [2.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]):
        assert "fewer than 6" in median_interval(few).note
        assert np.isnan(median_interval(few)[1:3]).all()
    assert "no values" in median_interval([]).note
    flat = median_interval([0.0] * 9 + [1.0])
    assert np.isfinite(flat[:3]).all() and "BCa" in flat.note


def test_interquartile_mean_equals_scipy_and_its_interval_covers():
    x = RNG.standard_t(2, size=103)
    assert iqm(x) == pytest.approx(st.trim_mean(x, 0.25))
    strata = np.repeat(np.arange(10), 20)
    covered = 0
    for seed in range(60):
        values = np.random.default_rng(seed).normal(strata, 1.0)
        result = stratified_iqm(values, strata, resamples=200, seed=seed)
        covered += result.low <= 4.5 <= result.high
    assert covered >= 51  # 95 % of 60, less three standard errors
    assert "fewer than 6" in stratified_iqm([1.0, 2.0], [0, 1]).note


def test_bayesian_signed_rank_has_the_closed_form_of_one_difference():
    # Weights (w, 1-w) of (0, d): the region of d holds 1 - w², so it wins where w² < 1/2, w ~ Beta(1/2, 1).
    result = bayes_signed_rank([1.0], rope=0.01, samples=200_000)
    assert result.better == pytest.approx(0.5**0.25, abs=0.003)
    assert result.worse == 0 and sum(result) == pytest.approx(1)


def test_bayesian_signed_rank_equals_plain_loops():
    d, rope = RNG.normal(0.02, 0.05, 6), 0.01
    z = np.concatenate([[0.0], d])
    weights = np.random.default_rng(4).dirichlet([0.5, *[1.0] * 6], size=300)
    wins = np.zeros(3)
    for w in weights:
        held = np.zeros(3)
        for i, j in itertools.product(range(7), repeat=2):
            place = 2 if z[i] + z[j] > 2 * rope else 0 if z[i] + z[j] < -2 * rope else 1
            held[place] += w[i] * w[j]
        wins[held.argmax()] += 1
    assert bayes_signed_rank(d, rope, samples=300, seed=4) == pytest.approx(tuple(wins / 300))
    assert bayes_signed_rank(np.zeros(8)).same == 1
    assert bayes_signed_rank(np.ones(8)).better > 0.99


def test_small_power_and_relative_differences():
    assert power_is_small(smallest_p(5), 1) and not power_is_small(smallest_p(6), 1)
    assert math.isnan(relative(0.1, 0.05)) and math.isnan(relative(0.1, -3.0))
    assert relative(-0.1, 0.5) == -0.2


def test_a_trimmed_t_withstands_one_wild_trial():
    few = RNG.normal(0.1, 1, 4)  # of which none is cut
    assert trimmed_t(few, 60, 25) == trimmed_t(few, 60, 25, trim=0)
    d = RNG.normal(0.1, 0.02, 20)
    wild = np.append(d[1:], -50.0)
    assert trimmed_t(wild, 60, 25, trim=0).p > 0.3
    result = trimmed_t(wild, 60, 25)
    assert result.p < 1e-4 and result.low < result.mean < result.high
    # Without overlap it is Yuen's one-sample test of a trimmed mean (as scipy's two-sample one has it).
    x = RNG.standard_t(3, size=25) + 0.3
    other = trimmed_t(x, 1, 0)
    assert other.mean == pytest.approx(st.trim_mean(x, 0.2)) and other.df == 25 - 2 * 5 - 1
    spread = st.mstats.winsorize(x, (0.2, 0.2)).std(ddof=1)
    assert other.t == pytest.approx(other.mean / (spread / (0.6 * 5)))


def test_the_corrected_test_keeps_its_level_on_overlapping_splits_where_the_signed_rank_test_does_not():
    """Two least-squares fits with noise columns of their own, on the same overlapping splits, are alike."""
    rng = np.random.default_rng(5)
    n, trials, count = 80, 20, 300
    rejected = np.zeros(2)
    for _ in range(count):
        X = np.c_[np.ones(n), rng.normal(size=(n, 2))]
        y = X.sum(1) + rng.normal(size=n)
        designs = [np.c_[X, rng.normal(size=(n, 3))] for _ in range(2)]
        d = np.empty(trials)
        for trial in range(trials):
            order = rng.permutation(n)
            test, train = order[:20], order[20:]
            losses = []
            for design in designs:
                w = np.linalg.lstsq(design[train], y[train])[0]
                losses.append(((y[test] - design[test] @ w) ** 2).mean() / y[test].var())
            d[trial] = losses[0] - losses[1]
        rejected += [trimmed_t(d, 60, 20).p <= 0.05, signed_rank(d).p <= 0.05]
    corrected, naive = rejected / count
    assert corrected <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)
    assert naive > 0.2


def test_the_smallest_effect_that_would_show():
    d = RNG.normal(0, 0.02, 20)
    least = detectable(d, 0.05)
    scale = st.iqr(d) / 1.349
    shown = np.mean([signed_rank(RNG.normal(least, scale, 20)).p <= 0.05 for _ in range(400)])
    assert shown == pytest.approx(0.8, abs=0.07)
    assert detectable(d, 0.001) > least
    assert detectable(d[:6], 0.01) == math.inf and math.isnan(detectable(d[:5], 0.05))
    assert detectable(np.zeros(9), 0.05) == 0


BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "torch", "smoothray", "mlflow"):
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, Block())
import smoothray_analysis, pkgutil, importlib
names = [m.name for m in pkgutil.walk_packages(smoothray_analysis.__path__, "smoothray_analysis.")]
for name in names:
    importlib.import_module(name)
assert {"loading", "verdict", "statistics.paired", "plots.forest", "report.page"} <= {
    name.removeprefix("smoothray_analysis.") for name in names
}
"""


def test_the_analysis_imports_without_ray_torch_smoothray_and_mlflow():
    done = subprocess.run([sys.executable, "-c", BLOCK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
