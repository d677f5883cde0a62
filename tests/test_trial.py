"""One trial: from a taught to a scored formula, with nothing of the test rows in the choice."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import sympy
from sympy import Float, Symbol

from smoothray.datasets import Dataset, split
from smoothray.distillation.distil import distil, teacher_fields
from smoothray.distillation.trial import PARTS, TeacherOutputs, Trial
from smoothray.errors import StudentError
from smoothray.formulas import Program, evaluate, parse, to_text
from smoothray.metrics.scores import r2
from smoothray.metrics.smoothness import alignment
from smoothray.records.schema import MEMBER, SCHEMA
from smoothray.students import Candidate, make_student

NAMES = ("pump speed", "beta", "E")
SYMBOLS = {name: Symbol(name) for name in NAMES}
X0, X1, X2 = (Symbol(f"x{i}") for i in range(3))


def make_dataset(name: str = "made", n: int = 80) -> Dataset:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3)) * [1, 20, 1e-3] + [0, 7, 5]
    y = 300 + 40 * X[:, 0] + 2 * X[:, 1] * np.sin(X[:, 0]) + 5 * rng.normal(size=n)
    return Dataset(name, X, y, NAMES, "flow")


def make_outputs(trial: Trial, augments: tuple[int, ...] = (2,)) -> TeacherOutputs:
    """A teacher that is a known function of the standardised inputs."""

    def teacher(x):
        return 0.7 * x[:, 0] + 0.4 * x[:, 1] * np.tanh(x[:, 0])

    outputs = {part: teacher(trial.x[part]) for part in PARTS}
    new = {k: teacher(trial.new_points(k)) for k in augments}
    return TeacherOutputs(outputs, new, jacobian=0.8, gradient_max=2.0, spectral=None, seconds=0.5)


class Fixed:
    """A student that has its front ready and notes what it was given."""

    max_size = 30

    def __init__(self, *front: Candidate) -> None:
        self.front = list(front)
        self.calls: list[tuple] = []

    def fit(self, X, y, names, seed, largest=None):
        self.calls.append((np.array(X), np.array(y), tuple(names), seed))
        return self.front


def fixed_front(trial: Trial) -> Fixed:
    """A constant, a poor line, the labels' best and the teacher itself."""
    teacher = Float(0.7) * X0 + Float(0.4) * X1 * sympy.tanh(X0)
    return Fixed(
        Candidate(Float(0.0), 1, 1.0),
        Candidate(Float(0.3) * X0, 3, 0.8, preferred=True),
        Candidate(Float(0.7) * X0, 4, 0.5),
        Candidate(teacher, 9, 0.1),
    )


as_found = partial(distil, shorten=False)
"""Of a front as the student has it: what happens to it then has tests of its own."""


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial.of(make_dataset(), 0, seed=0)


@pytest.fixture(scope="module")
def quick():
    student = make_student("operon", population_size=150, generations=25)
    if student.unavailable():
        pytest.skip(student.unavailable())
    return student


@pytest.fixture(scope="module")
def distilled(trial, quick):
    return distil(trial, make_outputs(trial), 2, quick, "fidelity")


@pytest.fixture(scope="module")
def direct(trial, quick):
    return distil(trial, None, 0, quick, "accuracy")


def with_test_labels(trial: Trial, change) -> Trial:
    return dataclasses.replace(trial, y={**trial.y, "test": change(trial.y["test"])})


# The trial


def test_parts_are_those_of_the_split_and_scaled_on_train_alone(trial):
    rows = split(80, "made", 0, 0)
    for part in PARTS:
        np.testing.assert_array_equal(trial.raw[part], trial.dataset.X[getattr(rows, part)])
        np.testing.assert_allclose(
            trial.x_scaler.inverse(trial.x[part]), trial.raw[part], rtol=1e-12
        )
        labels = trial.dataset.y[getattr(rows, part)]
        np.testing.assert_allclose(trial.y_scaler.inverse(trial.y[part]), labels, rtol=1e-12)
    for values in (trial.x["train"], trial.y["train"]):
        np.testing.assert_allclose(values.mean(0), 0, atol=1e-9)
        np.testing.assert_allclose(values.std(0), 1, rtol=1e-9)


def test_a_trial_depends_on_its_seed_data_set_and_number_alone(trial):
    again = Trial.of(make_dataset(), 0, seed=0)
    for axis in ("raw", "x", "y"):
        for part in PARTS:
            np.testing.assert_array_equal(getattr(trial, axis)[part], getattr(again, axis)[part])
    assert again.student_seed == trial.student_seed
    assert again.teacher_seeds(4) == trial.teacher_seeds(4)
    # More members move no other member's seed.
    assert trial.teacher_seeds(4)[:2] == trial.teacher_seeds(2)
    seeds = {trial.student_seed, *trial.teacher_seeds(4)}
    for other in (
        Trial.of(make_dataset(), 1, seed=0),
        Trial.of(make_dataset(), 0, seed=1),
        Trial.of(make_dataset("other"), 0, seed=0),
    ):
        assert not np.array_equal(other.raw["test"], trial.raw["test"])
        assert seeds.isdisjoint({other.student_seed, *other.teacher_seeds(4)})


def test_a_restart_has_the_same_rows_and_seeds_of_its_own(trial):
    again = Trial.of(make_dataset(), 0, seed=0, restart=1)
    for part in PARTS:
        np.testing.assert_array_equal(trial.raw[part], again.raw[part])
    np.testing.assert_array_equal(trial.new_points(2), again.new_points(2))
    seeds = {trial.student_seed, *trial.teacher_seeds(4)}
    assert seeds.isdisjoint({again.student_seed, *again.teacher_seeds(4)})


@pytest.mark.parametrize("k", [0, 2])
def test_a_student_sees_no_more_rows_than_it_may(trial, k):
    teacher, student = make_outputs(trial), fixed_front(trial)
    fields = [as_found(trial, teacher, k, student, "fidelity", rows=20) for _ in range(2)]
    as_found(dataclasses.replace(trial, restart=1), teacher, k, student, "fidelity", rows=20)
    as_found(trial, teacher, k, student, "fidelity")
    (x1, y1, *_), (x2, *_), (x3, *_), (whole, labels, *_) = student.calls
    assert fields[0]["student_rows"] == 20 and len(x1) == len(y1) == 20
    np.testing.assert_array_equal(x1, x2)
    np.testing.assert_array_equal(x1, x3)  # every attempt and arm has the same rows
    places = [int(np.flatnonzero((whole == row).all(1))[0]) for row in x1]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(labels[places], y1)


def test_new_points_depend_on_seed_data_set_trial_and_k_alone(trial):
    points = trial.new_points(2)
    assert points.shape == (2 * len(trial.y["train"]), 3)
    trial.new_points(5)
    np.testing.assert_array_equal(points, trial.new_points(2))
    np.testing.assert_array_equal(points, Trial.of(make_dataset(), 0, seed=0).new_points(2))
    assert trial.new_points(0).shape == (0, 3)
    same_rows = trial.x["train"]
    for other in (
        dataclasses.replace(trial, number=1),
        dataclasses.replace(trial, seed=1),
        dataclasses.replace(trial, dataset=make_dataset("other")),
    ):
        assert other.x["train"] is same_rows
        assert not np.array_equal(points, other.new_points(2))
    assert not np.array_equal(points, trial.new_points(4)[: len(points)])


@pytest.mark.parametrize("k", [0, 2])
def test_every_arm_gives_its_student_the_same_rows_and_seed(trial, k):
    student = fixed_front(trial)
    taught = make_outputs(trial)
    rough = dataclasses.replace(
        taught,
        outputs={part: 2 * v for part, v in taught.outputs.items()},
        new={2: 2 * taught.new[2]},
    )
    for teacher in (taught, rough):
        distil(trial, teacher, k, student, "fidelity")
    distil(trial, None, 0, student, "accuracy")
    (x1, y1, names1, seed1), (x2, y2, names2, seed2), (x3, y3, _, seed3) = student.calls
    n = len(trial.y["train"])
    assert len(x1) == len(y1) == (k + 1) * n
    np.testing.assert_array_equal(x1, x2)
    np.testing.assert_allclose(y2, 2 * y1)
    np.testing.assert_array_equal(x1[:n], trial.x["train"])
    np.testing.assert_array_equal(x1[n:], trial.new_points(k))
    np.testing.assert_array_equal(y1[:n], taught.outputs["train"])
    # The direct fit sees the labels and no new points.
    np.testing.assert_array_equal(x3, trial.x["train"])
    np.testing.assert_array_equal(y3, trial.y["train"])
    assert names1 == names2 == NAMES and seed1 == seed2 == seed3 == trial.student_seed


# Fields


def test_the_fields_are_a_records(trial, distilled, direct):
    taught = teacher_fields(trial, make_outputs(trial))
    for fields in (distilled, direct, taught):
        assert set(fields) <= set(SCHEMA.names)
    key = {"study", "dataset", "penalty", "strength", "augment", "ensemble", "student", "trial"}
    key |= {"stopping", "restart"}
    about = {"n_train", "n_val", "n_test", "version", "versions", "status", "reason", "selection"}
    about |= {"n_columns"}
    rest = set(SCHEMA.names) - key - about - {"fingerprint", "bank"}
    assert set(distilled) | set(taught) == rest
    assert rest - set(direct) - set(taught) == {"alignment"}
    for fields in (distilled, direct):
        members = fields["front"]
        assert all(set(member) == {field.name for field in MEMBER} for member in members)
        assert [member["chosen"] for member in members].count(True) == 1
        assert [member["native"] for member in members].count(True) == 1
        sizes = [member["complexity"] for member in members]
        assert sizes == sorted(set(sizes)) and len(sizes) >= 3
        assert all(member["mathml"].startswith("<math") for member in members)
        (chosen,) = (member for member in members if member["chosen"])
        for name in ("complexity", "formula"):
            assert fields[name] == chosen[name]
        for part in PARTS:
            assert fields[f"student_r2_{part}"] == chosen[f"r2_{part}"]
            assert fields[f"fidelity_{part}"] == chosen[f"fidelity_{part}"]
        assert fields["student_seconds"] > 0 and fields["student_cpu_seconds"] > 0
        assert fields["undefined_test"] == 0 and fields["latex"]
    assert distilled["fidelity_test"] > 0.8 and direct["student_r2_test"] > 0.5


def test_teacher_fields(trial):
    taught = make_outputs(trial)
    fields = teacher_fields(trial, taught)
    for part in PARTS:
        assert fields[f"teacher_r2_{part}"] == r2(trial.y[part], taught.outputs[part])
    assert (fields["teacher_jacobian"], fields["teacher_gradient_max"]) == (0.8, 2.0)
    assert fields["teacher_spectral"] is None and fields["teacher_seconds"] == 0.5


def test_direct_has_no_fidelity_and_no_alignment(direct):
    assert "alignment" not in direct
    assert all(direct[f"fidelity_{part}"] is None for part in PARTS)
    for member in direct["front"]:
        assert all(member[f"fidelity_{part}"] is None for part in PARTS)
        assert math.isfinite(member["val_loss_accuracy"])


@pytest.mark.parametrize("which", ["distilled", "direct"])
def test_scores_are_those_of_the_recorded_text_in_the_datas_units(trial, which, request):
    fields = request.getfixturevalue(which)
    taught = make_outputs(trial) if which == "distilled" else None
    rows = split(80, "made", 0, 0)
    for member in fields["front"]:
        program = Program(parse(member["formula"], SYMBOLS), NAMES)
        for part in PARTS:
            labels = trial.dataset.y[getattr(rows, part)]
            outputs = program.values(trial.dataset.X[getattr(rows, part)])
            assert member[f"r2_{part}"] == pytest.approx(r2(labels, outputs), rel=1e-6, abs=1e-9)
            if taught:
                said = trial.y_scaler.inverse(taught.outputs[part])
                expected = r2(said, outputs)
                assert member[f"fidelity_{part}"] == pytest.approx(expected, rel=1e-6, abs=1e-9)
        standard = trial.y_scaler.transform(program.values(trial.raw["val"]))
        squared = (trial.y["val"] - standard) ** 2
        error = squared.std(ddof=1) / math.sqrt(len(squared))
        assert member["val_loss_accuracy"] == pytest.approx(squared.mean(), rel=1e-6)
        assert member["val_error_accuracy"] == pytest.approx(error, rel=1e-6)


def test_smoothness_is_measured_on_standardised_test_rows(trial, distilled):
    h = 1e-5
    for member in distilled["front"]:
        expr = parse(member["formula"], SYMBOLS)
        gradients = np.zeros_like(trial.x["test"])
        for j in range(3):
            up, down = trial.x["test"].copy(), trial.x["test"].copy()
            up[:, j] += h
            down[:, j] -= h
            values = [
                trial.y_scaler.transform(evaluate(expr, trial.x_scaler.inverse(x), NAMES))
                for x in (up, down)
            ]
            gradients[:, j] = (values[0] - values[1]) / (2 * h)
        jacobian = (gradients**2).sum(1).mean()
        assert member["jacobian"] == pytest.approx(jacobian, rel=1e-3, abs=1e-9)
        steepest = np.linalg.norm(gradients, axis=1).max()
        assert member["gradient_max"] == pytest.approx(steepest, rel=1e-3, abs=1e-9)
    expected = alignment(distilled["student_jacobian"], 0.8)
    assert distilled["alignment"] == expected == math.log(distilled["student_jacobian"] / 0.8)


def test_a_trial_repeats_itself(trial, quick, distilled):
    again = distil(trial, make_outputs(trial), 2, quick, "fidelity")
    clock = {"student_seconds": 0, "student_cpu_seconds": 0}
    assert {**again, **clock} == {**distilled, **clock}


# The choice


@pytest.mark.parametrize("change", [
    lambda y: -y, lambda y: y[::-1], lambda y: np.full_like(y, np.nan), lambda y: y * 1e6
], ids=["negated", "reversed", "missing", "scaled"])  # fmt: skip
@pytest.mark.parametrize("selection", ["fidelity", "accuracy", "native"])
def test_test_labels_do_not_influence_the_choice(trial, change, selection):
    changed = with_test_labels(trial, change)
    taught = make_outputs(trial)
    fields = distil(trial, taught, 2, fixed_front(trial), selection)
    other = distil(changed, taught, 2, fixed_front(trial), selection)
    blind = dataclasses.replace(
        taught, outputs={**taught.outputs, "test": change(taught.outputs["test"])}
    )
    third = distil(trial, blind, 2, fixed_front(trial), selection)
    for again in (other, third):
        assert again["formula"] == fields["formula"]
        assert [m["chosen"] for m in again["front"]] == [m["chosen"] for m in fields["front"]]
    assert other["student_r2_test"] != fields["student_r2_test"]
    assert other["student_r2_val"] == fields["student_r2_val"]


def test_test_labels_do_not_influence_the_search(trial, quick, distilled):
    changed = with_test_labels(trial, lambda y: -y)
    fields = distil(changed, make_outputs(trial), 2, quick, "fidelity")
    assert [m["formula"] for m in fields["front"]] == [m["formula"] for m in distilled["front"]]
    assert fields["formula"] == distilled["formula"]


def test_selection_rules(trial):
    taught = make_outputs(trial)
    chosen = {
        rule: as_found(trial, taught, 0, fixed_front(trial), rule)["complexity"]
        for rule in ("fidelity", "accuracy", "native")
    }
    assert chosen["fidelity"] == 9  # the teacher itself
    assert chosen["native"] == 3

    # Labels that are the short line on validation: accuracy takes it, fidelity still does not.
    line = dataclasses.replace(trial, y={**trial.y, "val": 0.7 * trial.x["val"][:, 0]})
    assert as_found(line, taught, 0, fixed_front(trial), "accuracy")["complexity"] == 4
    assert as_found(line, taught, 0, fixed_front(trial), "fidelity")["complexity"] == 9
    # Without a teacher fidelity is closeness to what was learnt from: the labels.
    assert as_found(line, None, 0, fixed_front(trial), "fidelity")["complexity"] == 4


def test_the_simplest_within_one_standard_error_is_chosen(trial):
    noise = 0.5 * np.random.default_rng(1).normal(size=len(trial.y["val"]))
    y = {**trial.y, "val": 0.7 * trial.x["val"][:, 0] + noise}
    front = Fixed(
        Candidate(Float(0.0), 1, 1.0),
        Candidate(Float(0.71) * X0, 3, 0.3, preferred=True),
        Candidate(Float(0.7) * X0 + Float(0.002) * X1, 7, 0.29),
    )
    fields = as_found(dataclasses.replace(trial, y=y), None, 0, front, "accuracy")
    assert fields["complexity"] == 3
    losses = [m["val_loss_accuracy"] for m in fields["front"]]
    best = int(np.argmin(losses))
    margin = losses[best] + fields["front"][best]["val_error_accuracy"]
    assert losses[1] <= margin < losses[0]


# Formulas without a value


def _undefined(trial: Trial) -> tuple[Candidate, np.ndarray]:
    """A logarithm that has a value on every train and validation row and not on all test rows."""
    order = np.argsort(trial.x["test"][:, 0])
    moved = dict(trial.x), dict(trial.raw)
    test = trial.raw["test"].copy()
    test[order[:4], 0] -= 100
    moved[1]["test"] = test
    moved[0]["test"] = trial.x_scaler.transform(test)
    shift = Float(1 - min(trial.x[part][:, 0].min() for part in ("train", "val")))
    candidate = Candidate(sympy.log(X0 + shift), 4, 0.5, preferred=True)
    return candidate, (dataclasses.replace(trial, x=moved[0], raw=moved[1]), order[:4])


def test_undefined_test_values_are_counted_and_scored_as_the_mean(trial):
    candidate, (moved, gone) = _undefined(trial)
    fields = as_found(moved, None, 0, Fixed(candidate), "accuracy")
    assert fields["undefined_test"] == 4
    outputs = evaluate(candidate.expr, moved.x["test"])
    assert np.flatnonzero(~np.isfinite(outputs)).tolist() == sorted(gone)
    outputs[gone] = 0.0
    assert fields["student_r2_test"] == pytest.approx(r2(moved.y["test"], outputs), rel=1e-3)
    # Smoothness is that of the rows where there is a function.
    assert math.isfinite(fields["student_jacobian"])
    assert math.isfinite(fields["student_gradient_max"])


def test_a_formula_without_a_value_on_validation_rows_is_not_chosen(trial):
    x, raw = dict(trial.x), dict(trial.raw)
    raw["val"] = raw["val"].copy()
    raw["val"][0, 0] -= 100
    x["val"] = trial.x_scaler.transform(raw["val"])
    moved = dataclasses.replace(trial, x=x, raw=raw)
    shift = Float(1 - trial.x["train"][:, 0].min())
    front = [
        Candidate(Float(0.01) * X1, 3, 0.9),
        Candidate(sympy.log(X0 + shift), 4, 0.1, preferred=True),
    ]
    fields = as_found(moved, None, 0, Fixed(*front), "accuracy")
    assert fields["complexity"] == 3
    assert math.isinf(fields["front"][1]["val_loss_accuracy"])
    with pytest.raises(StudentError, match="validation"):
        as_found(moved, None, 0, Fixed(front[1]), "accuracy")


def test_a_formula_whose_constants_overflow_costs_itself_alone(trial):
    # As good as x0 on the standard scale; times the target's spread, its factor is infinite.
    huge = Float(1e307) * sympy.tanh(Float(1e-307) * X0)
    values = evaluate(huge, trial.x["train"])
    np.testing.assert_allclose(values, trial.x["train"][:, 0], rtol=1e-9)
    front = Candidate(Float(0.3) * X0, 3, 0.8), Candidate(huge, 6, 0.1, preferred=True)
    fields = as_found(trial, None, 0, Fixed(*front), "accuracy")
    assert [member["complexity"] for member in fields["front"]] == [3]
    with pytest.raises(StudentError, match="none of the 1 formulas"):
        as_found(trial, None, 0, Fixed(front[1]), "accuracy")


def test_rounding_sees_the_whole_table_where_it_is_sorted():
    # The steep end comes last; its constants need digits that the first rows do not show.
    x = 12 * np.linspace(0, 1, 3000) ** 8
    dataset = Dataset("sorted", x[:, None], np.exp(1.2345678 * x), ("x",), "y")
    trial = Trial.of(dataset, 0, seed=0)
    (mean,), (scale,) = trial.x_scaler.mean, trial.x_scaler.scale
    growth = sympy.exp(Float(1.2345678 * scale) * X0 + Float(1.2345678 * mean))
    exact = (growth - Float(trial.y_scaler.mean)) / Float(trial.y_scaler.scale)
    fields = as_found(trial, None, 0, Fixed(Candidate(exact, 9, 0.0, True)), "accuracy")
    values = evaluate(parse(fields["formula"], {"x": Symbol("x")}), trial.raw["test"], ("x",))
    off = np.abs(trial.y_scaler.transform(values) - evaluate(exact, trial.x["test"]))
    assert off.max() < 3e-5, fields["formula"]


def test_column_names_survive(trial):
    fields = as_found(trial, None, 0, Fixed(Candidate(X0 + X1 * X2, 5, 0.5, True)), "native")
    assert "`pump speed`" in fields["formula"] and "beta" in fields["formula"]
    assert {s.name for s in parse(fields["formula"], SYMBOLS).free_symbols} == set(NAMES)
    assert to_text(parse(fields["formula"], SYMBOLS)) == fields["formula"]
