"""Splits, scalers and augmentation."""

from __future__ import annotations

import numpy as np
import pytest

from smoothray.datasets import Scaler, TargetScaler, augment, split
from smoothray.errors import DataError


@pytest.mark.parametrize("n", [3, 4, 7, 30, 209, 1001])
def test_parts_cover_all_rows_once_and_are_sorted(n):
    parts = split(n, "diabetes", trial=0)
    everything = np.concatenate([parts.train, parts.val, parts.test])
    assert sorted(everything) == list(range(n))
    for part in (parts.train, parts.val, parts.test):
        assert len(part) > 0
        assert (np.diff(part) > 0).all()


def test_a_quarter_is_test_and_a_fifth_of_the_rest_validation():
    parts = split(209, "230_machine_cpu", trial=0)
    assert (len(parts.test), len(parts.val), len(parts.train)) == (53, 31, 125)


def test_rows_depend_on_seed_name_and_trial_and_sizes_do_not():
    first = split(100, "iris", 0)
    np.testing.assert_array_equal(first.train, split(100, "iris", 0, seed=0).train)
    others = [split(100, "iris", 1), split(100, "wine", 0), split(100, "iris", 0, seed=1)]
    for other in others:
        assert not np.array_equal(first.test, other.test)
        assert len(first.test) == len(other.test) and len(first.val) == len(other.val)


def test_splits_never_change_between_versions():
    parts = split(12, "iris", trial=2)
    assert (parts.test.tolist(), parts.val.tolist()) == ([3, 8, 11], [5, 6])


def test_training_rows_are_capped():
    parts = split(20_640, "537_houses", 0)
    assert (len(parts.train), len(parts.val), len(parts.test)) == (8_000, 2_000, 5_160)
    assert len(split(20_640, "537_houses", 0, max_train=None).train) == 12_384
    small = split(100, "iris", 0, max_train=10)
    assert (len(small.train), len(small.val)) == (8, 2)
    np.testing.assert_array_equal(small.test, split(100, "iris", 0).test)


def test_two_rows_cannot_be_split():
    with pytest.raises(DataError, match="at least 3"):
        split(2, "tiny", 0)


def test_scalers_standardise_and_go_back():
    rng = np.random.default_rng(0)
    X = rng.normal(5, 3, (50, 3)) * [1, 1e6, 1e-9]
    scaler = Scaler.fit(X)
    Z = scaler.transform(X)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(Z.std(axis=0), 1)
    np.testing.assert_allclose(scaler.inverse(Z), X)
    target = TargetScaler.fit(X[:, 1])
    assert isinstance(target.mean, float) and isinstance(target.scale, float)
    assert target.transform(X[:, 1]).std() == pytest.approx(1)
    np.testing.assert_allclose(target.inverse(target.transform(X[:, 1])), X[:, 1])


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 + 0.1])
def test_columns_constant_in_training_are_only_centred(value):
    scaler = Scaler.fit(np.full((37, 1), value))
    assert scaler.scale[0] == 1
    np.testing.assert_allclose(scaler.transform([[value + 2]]), 2, rtol=1e-6)
    assert TargetScaler.fit(np.full(37, value)).scale == 1


def test_new_points_lie_between_a_row_and_one_of_its_neighbours():
    rows = np.random.default_rng(0).normal(size=(20, 2))
    new = augment(rows, 3, np.random.default_rng(1), neighbours=4)
    assert new.shape == (60, 2)
    distance = np.linalg.norm(rows[:, None] - rows, axis=-1)
    near = np.argsort(distance, axis=1)[:, 1:5]
    for point in new:
        a, b = np.repeat(rows, 4, axis=0), rows[near].reshape(-1, 2)
        detour = np.linalg.norm(point - a, axis=1) + np.linalg.norm(point - b, axis=1)
        assert np.min(detour - np.linalg.norm(a - b, axis=1)) < 1e-12
    assert np.unique(new, axis=0).shape == (60, 2)


def test_augmentation_is_repeatable_and_leaves_the_rows_alone():
    rows = np.random.default_rng(0).normal(size=(9, 3))
    before = rows.copy()
    first, second = (augment(rows, 2, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(rows, before)


def test_augmentation_copes_with_few_and_repeated_rows():
    rng = np.random.default_rng(0)
    assert augment(np.ones((4, 2)), 3, rng).tolist() == [[1, 1]] * 12
    assert augment(np.ones((1, 2)), 2, rng).shape == (2, 2)
    assert augment(np.ones((5, 2)), 0, rng).shape == (0, 2)
    pair = np.repeat([[0.0], [1.0]], 10, axis=0)
    new = augment(pair, 5, rng)
    assert ((new > 0) & (new < 1)).all()
