"""Formulas made shorter: their trees, constants by least squares, what is dropped, guarded and simplified."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from sympy import Float, Symbol

from smoothray.datasets import Dataset
from smoothray.distillation.distil import choose, distil
from smoothray.distillation.guard import Guard
from smoothray.distillation.trial import Trial
from smoothray.errors import StudentError
from smoothray.formulas import Program, complexity, evaluate, parse, shortening
from smoothray.formulas.compiled import Compiled, values_of
from smoothray.formulas.fitting import Rows, loss_of, refit
from smoothray.formulas.shortening import front, shorten, shorter
from smoothray.formulas.simplifying import simplify_constants
from smoothray.formulas.skeleton import (
    FUNCTIONS,
    Node,
    build,
    constants,
    from_sympy,
    key,
    size,
    substituted,
    to_sympy,
    with_constants,
)
from smoothray.formulas.smallest import small_formulas
from smoothray.students import Candidate
from smoothray.students.base import DEFAULT_OPERATORS

NAMES = ("a", "b", "c")
POSITIONS = {name: place for place, name in enumerate(NAMES)}
SYMBOLS = [Symbol(name) for name in NAMES]
TEXTS = (
    "2.5*a + 1.5*b - 3.0",
    "3.0*(a + b + 2.0*c)",
    "1.2*a*b/c + 0.3*c**2 - 4.0*sqrt(a) + 2.0",
    "exp(0.3*a - 1.0)*exp(0.2*b) + log(2.0*a + 4.0*b)",
    "sin(-2.0*a) + cos(-3.0*b) + tanh(a - 0.5)",
    "(2.0*a + 4.0*b)**2 + abs(-3.0*c) + 1/(1.0 + a*b)",
    "max(a, 2.0*b, 3.0) - min(a, b) + a**1.7",
    "sqrt(4.0*a + 8.0)*sqrt(b) + (a*b)**2 + 2.0**a",
    "cbrt(a - 2.0) + sign(a - 1.5)*floor(b) + aq(a, b)",
)


def tree(text: str) -> Node:
    return from_sympy(parse(text, dict(zip(NAMES, SYMBOLS, strict=True))), POSITIONS)


def text(node: Node) -> str:
    return str(to_sympy(node, SYMBOLS))


def rows(n: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 3.0, (n, 3))


# Trees


@pytest.mark.parametrize("formula", TEXTS)
def test_a_tree_is_the_same_function_and_no_larger(formula):
    expr = parse(formula, dict(zip(NAMES, SYMBOLS, strict=True)))
    node, X = tree(formula), rows()
    wanted = evaluate(expr, X, NAMES)
    for values in (
        Compiled(node).values(X),
        values_of(node, X, {}),
        evaluate(to_sympy(node, SYMBOLS), X, NAMES),
    ):
        np.testing.assert_allclose(values, wanted, rtol=1e-9, atol=1e-9)
    assert size(node) <= complexity(expr)
    assert complexity(to_sympy(node, SYMBOLS)) <= complexity(expr)


@pytest.mark.parametrize("formula", TEXTS)
def test_derivatives_by_the_constants_are_those_of_finite_differences(formula):
    node, X = tree(formula), rows(60)
    values = constants(node)
    program = Compiled(node)
    jacobian = program.jacobian(program.parts(X), 60)
    assert jacobian.shape == (60, len(values))
    for place, value in enumerate(values):
        step = 1e-6 * max(1.0, abs(value))
        moved = [
            Compiled(
                with_constants(node, iter([*values[:place], value + s, *values[place + 1 :]]))
            ).values(X)
            for s in (step, -step)
        ]
        slope = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(jacobian[:, place], slope, rtol=1e-4, atol=1e-5)


def test_a_program_of_sympy_gives_the_same_derivatives():
    expr = parse("2.5*a*b + 1.5*sin(0.7*c) - 3.0", dict(zip(NAMES, SYMBOLS, strict=True)))
    program, X = Program(expr, NAMES), rows(40)
    parts = program.parts(X)
    np.testing.assert_allclose(parts[program.result], evaluate(expr, X, NAMES))
    jacobian = program.jacobian(parts, 40)
    by_value = dict(zip(map(float, program.constants.values()), jacobian.T, strict=True))
    a, b, c = X.T
    np.testing.assert_allclose(by_value[2.5], a * b)
    np.testing.assert_allclose(by_value[1.5], np.sin(0.7 * c))
    np.testing.assert_allclose(by_value[0.7], 1.5 * c * np.cos(0.7 * c))
    np.testing.assert_allclose(by_value[-3.0], 1.0)


def test_formulas_that_differ_in_constants_alone_have_one_key():
    alike = ["2.0*a + 3.0", "-7.0*a + 0.5", "3.0*(a + 1.0)"]
    assert len({key(tree(formula)) for formula in alike}) == 1
    assert key(tree("2.0*a")) != key(tree("2.0*b"))
    assert key(tree("a**2")) != key(tree("a**3"))


def test_what_has_no_form_here_is_refused():
    with pytest.raises(StudentError, match="no column"):
        from_sympy(Symbol("d"), POSITIONS)
    with pytest.raises(StudentError, match="DiracDelta"):
        import sympy

        from_sympy(sympy.DiracDelta(SYMBOLS[0]), POSITIONS)


def random_tree(rng: np.random.Generator, depth: int) -> Node:
    if depth == 0 or rng.random() < 0.15:
        if rng.random() < 0.6:
            return "x", int(rng.integers(3))
        return "c", float(np.round(rng.normal() * 10.0 ** rng.integers(-3, 4), 3)) or 1.0
    parts = [random_tree(rng, depth - 1) for _ in range(2)]
    head = str(rng.choice(["+", "+", "*", "*", "^", "pow", "max", "min", *FUNCTIONS]))
    if head == "^":
        return build(head, [parts[0], float(rng.choice([-2, -1, 2, 3, 0.5, -0.5]))])
    return build(head, parts if head in ("+", "*", "pow", "max", "min") else parts[:1])


@pytest.mark.filterwarnings("error")
def test_trees_of_any_kind_are_rebuilt_shortened_and_fitted():
    rng, X, count = np.random.default_rng(0), rows(50), 0
    some = Rows.of(X, np.sin(X[:, 0]) * X[:, 1])
    for _ in range(400):
        try:
            node = random_tree(rng, 4)
            again = substituted(node, {i: ("x", i) for i in range(3)})
        except StudentError:  # a constant that is not finite
            continue
        count += 1
        values, same = Compiled(node).values(X), Compiled(again).values(X)
        there = np.isfinite(values) & np.isfinite(same)
        largest = np.abs(values[there]).max(initial=1.0)
        np.testing.assert_allclose(same[there], values[there], rtol=1e-6, atol=1e-9 * largest)
        assert size(again) <= size(node)
        assert all(size(other) < size(node) for other in shorter(node))
        fitted, loss = refit(node, some, 4)
        assert key(fitted) == key(node) and not loss > loss_of(node, some)
    assert count > 250


# Constants


def test_constants_are_found_from_far():
    X = rows()
    y = 3.0 * np.exp(-0.8 * X[:, 0]) + 50.0 * X[:, 1] - 7.0
    node, loss = refit(tree("2.0*exp(-0.3*a) + 2.0*b + 1.0"), Rows.of(X, y), 50, enough=0.0)
    assert loss < 1e-12
    np.testing.assert_allclose(sorted(constants(node)), [-7.0, -0.8, 3.0, 50.0], rtol=1e-5)
    np.testing.assert_allclose(Compiled(node).values(X), y, rtol=1e-6)


def test_constants_that_are_fixed_stay():
    X = rows()
    y = 2.0 * X[:, 0] + 5.0
    start = tree("1.0e-3*b + 3.0*a + 1.0")
    free = np.array([value != 3.0 for value in constants(start)])
    node, _ = refit(start, Rows.of(X, y), 20, free=free)
    assert 3.0 in constants(node)


def test_a_formula_without_a_value_is_left_as_it_is():
    node = tree("log(a - 10.0)")
    assert refit(node, Rows.of(rows(), rows()[:, 0]), 5) == (node, math.inf)


# What is dropped


def test_every_part_is_dropped_once():
    found = {text(node) for node in shorter(tree("2.0*a + sin(3.0*b) + 5.0"))}
    assert {
        "a + sin(3.0*b) + 5.0",
        "2.0*a + sin(3.0*b)",
        "2.0*a + sin(b) + 5.0",
        "2.0*a + 5.0",
        "sin(3.0*b) + 5.0",
        "2.0*a + 3.0*b + 5.0",
    } <= found
    assert "2.0*(a + b + 2.5)" in {text(n) for n in shorter(tree("2.0*a + 3.0*b + 5.0"))}


@pytest.mark.parametrize(
    ("planted", "long"),
    [
        ("a*b + 2.0", "1.02*a*b + 0.01*c + 1.9"),
        ("3.0*sin(a)", "2.9*sin(1.01*a + 0.02) + 0.03*b - 0.02*tanh(c)"),
        ("2.0*(a + b)", "1.9*a + 2.1*b + 0.02*exp(0.1*c) - 0.1"),
        ("5.0*a/b", "4.0*a/b + 0.3*sqrt(c) - 0.2*log(a)*b"),
        ("a**2 + b", "0.9*a**2 + 1.1*b + 0.05*sin(c)*b + 0.1"),
    ],
)
def test_a_long_formula_comes_to_the_planted_one(planted, long):
    X = rows()
    y = Compiled(tree(planted)).values(X)
    found = shorten([tree(long)], X, y, refits=200)
    best = next(formula for formula in found if formula.loss < 1e-10)
    assert key(best.node) == key(tree(planted))
    assert size(best.node) == size(tree(planted))


def test_a_part_whose_values_have_no_square_promises_nothing():
    X = rows()
    node = tree("2.0*tanh(1e160*(a - 1.5)) + b")  # without tanh it comes to 1e160
    found = shorten([node], X, values_of(node, X, {}), refits=40)
    assert found[-1].loss < 1e-9


def test_the_front_falls_and_is_the_same_each_time():
    X = rows()
    y = X[:, 0] * np.log(X[:, 1]) + 0.3 * np.random.default_rng(1).normal(size=len(X))
    start = [tree("0.9*a*log(1.1*b + 0.1) + 0.02*c*sin(a) - 0.1*sqrt(b) + 0.2"), tree("a + 1.0")]
    found = shorten(start, X, y, refits=80)
    assert found == shorten(start, X, y, refits=80)
    assert len(found) > 3
    for one, other in pairwise(found):
        assert size(one.node) < size(other.node) and one.loss > other.loss
    for formula in found:
        assert formula.loss == pytest.approx(loss_of(formula.node, Rows.of(X, y)))
    # No worse than what it started with, at any size.
    for node in start:
        least = min(each.loss for each in found if size(each.node) <= size(node))
        assert least <= loss_of(node, Rows.of(X, y))
    assert max(size(each.node) for each in shorten(start, X, y, refits=80, max_size=7)) <= 7


def test_refits_are_bounded_and_rows_picked(monkeypatch):
    seen = []

    def counted(node, some, *arguments, **options):
        seen.append(len(some.y))
        return refit(node, some, *arguments, **options)

    monkeypatch.setattr(shortening, "refit", counted)
    X = rows(3000)
    y = np.sin(X[:, 0]) * X[:, 1] + X[:, 2] ** 2
    found = shorten([tree("1.1*sin(1.1*a)*b + 0.9*c**2 + 0.1*a*b*c + 0.2")], X, y, refits=30)
    assert seen.count(256) == 30
    assert seen.count(3000) == len(seen) - 30 >= len(found)


def test_the_front_of_equals_is_the_first():
    same = [shortening.Shortened(tree("a + 1.0"), 2.0), shortening.Shortened(tree("b + 1.0"), 2.0)]
    assert front(same) == same[:1]


def test_the_best_of_two_columns_are_found_at_once():
    X = rows()
    for planted in ("3.0*a*b - 2.0", "2.0*log(a) - 5.0*c**2 + 1.0", "7.0*a/c + 0.5*b + 1.0"):
        y = Compiled(tree(planted)).values(X)
        found = [
            refit(n, Rows.of(X, y), 10) for n in small_formulas(Rows.of(X, y), DEFAULT_OPERATORS)
        ]
        assert min(loss for _, loss in found) < 1e-12, planted
    assert not small_formulas(Rows.of(X, y), ("add", "sin"))
    plain = small_formulas(Rows.of(X, y), ("add", "mul"))
    assert plain and not any("log" in key(node) or "^-1" in key(node) for node in plain)


# Simple constants


def test_constants_become_simple_where_they_may():
    X = rows()
    y = 2.0 * X[:, 0] * X[:, 1] + 3.0
    every = Rows.of(X, y + 0.05 * np.random.default_rng(2).normal(size=len(X)))
    node, _ = refit(tree("1.9*a*b + 0.03*c + 3.1"), every, 20)
    limit = loss_of(node, every) * 1.1
    simple = simplify_constants(node, every, lambda node: loss_of(node, every) <= limit)
    assert key(simple) == key(tree("2.0*a*b + 3.0")) and sorted(constants(simple)) == [2.0, 3.0]
    assert simplify_constants(node, every, lambda node: False) == node


# In a trial


class Ready:
    """A student that has its front ready."""

    budget, max_size, operators, matches_slopes = "quick", 30, DEFAULT_OPERATORS, False

    def __init__(self, *front: Candidate) -> None:
        self.front = list(front)

    def fit(self, X, y, names, seed, largest=None, slopes=None):
        self.largest = largest
        return self.front


def made(n: int = 160, noise: float = 0.0) -> Trial:
    rng = np.random.default_rng(0)
    X = rng.uniform(1, 3, (n, 3)) * [1, 20, 0.1] + [0, 7, 5]
    y = 2.0 * X[:, 0] * X[:, 1] + 40.0 + noise * rng.normal(size=n)
    return Trial.of(Dataset("made", X, y, NAMES, "y"), 0, seed=0)


def standard(trial: Trial, formula: str) -> Candidate:
    """A formula of the data's units as a student finds it on the standard scale."""
    from smoothray.formulas import unscale

    x, y = trial.x_scaler, trial.y_scaler
    plain = parse(formula, {name: Symbol(f"x{i}") for i, name in enumerate(NAMES)})
    names = [f"x{i}" for i in range(3)]
    expr = unscale(
        plain, -x.mean / x.scale, 1 / x.scale, -y.mean / y.scale, 1 / y.scale, names,
        trial.x["train"],
    )  # fmt: skip
    loss = float(np.mean((evaluate(expr, trial.x["train"]) - trial.y["train"]) ** 2))
    return Candidate(expr, complexity(expr), loss, preferred=True)


def test_a_trial_s_front_is_short_in_the_data_s_units():
    trial = made(noise=1.0)
    candidate = standard(trial, "2.1*a*b + 0.3*c + 0.1*a + 38.0")
    fields = distil(trial, None, 0, Ready(candidate), "accuracy")
    symbols = {name: Symbol(name) for name in NAMES}
    for member in fields["front"]:
        assert member["complexity"] == complexity(parse(member["formula"], symbols))
        assert member["unsafe"] is False and member["simplified"] is None
    # a*b + 20 times 2 has 6 nodes; on the standard scale both columns carry an offset.
    best = next(member for member in fields["front"] if member["complexity"] == 6)
    assert best["r2_test"] > 0.99 and best["complexity_standard"] > 9
    assert fields["complexity"] <= 6 < fields["complexity_standard"]
    plain = distil(trial, None, 0, Ready(candidate), "accuracy", shorten=False)
    assert plain["complexity"] == plain["complexity_standard"] == candidate.complexity
    assert plain["front"][0]["unsafe"] is None
    again = distil(trial, None, 0, Ready(candidate), "accuracy")
    clock = {"student_seconds": 0, "student_cpu_seconds": 0}
    assert again | clock == fields | clock


def test_formulas_in_the_data_s_units_are_shortened_again_without_a_search():
    class NoSearch(Ready):
        def fit(self, *given, **more):
            raise AssertionError("there is a search")

    trial = made(noise=1.0)
    formulas = ["2.1*a*b + 0.3*c + 0.1*a + 38.0", "1.9*a*b + 40.0"]
    fields = distil(trial, None, 0, NoSearch(), "accuracy", again=formulas)
    best = next(member for member in fields["front"] if member["complexity"] == 6)
    assert best["r2_test"] > 0.99 and best["unsafe"] is False


def test_a_formula_beyond_the_largest_size_is_only_started_from():
    trial = made(noise=1.0)
    student = Ready(standard(trial, "2.1*a*b + 0.3*c + 0.1*a*c + sin(a) + 0.2*b + 38.0"))
    student.max_size = 9
    fields = distil(trial, None, 0, student, "accuracy")
    assert student.largest == 18
    assert max(member["complexity"] for member in fields["front"]) <= 9
    assert fields["student_r2_test"] > 0.99
    distil(trial, None, 0, student, "accuracy", shorten=False)
    assert student.largest is None


def test_simple_constants_say_what_they_lose():
    trial = made(noise=2.0)
    candidate = standard(trial, "2.1*a*b + 0.3*c + 38.0")
    exact = distil(trial, None, 0, Ready(candidate), "accuracy")
    fields = distil(trial, None, 0, Ready(candidate), "accuracy", simplify=True)
    by_size = {member["complexity"]: member for member in exact["front"]}
    assert any(member["simplified"] for member in fields["front"])
    for member in fields["front"]:
        assert member["simplified"] is not None
        like = by_size.get(member["complexity"])
        if like is not None and key_of(like) == key_of(member):
            lost = member["val_loss_accuracy"] - like["val_loss_accuracy"]
            assert lost <= like["val_error_accuracy"] * 1.01 + 1e-9
            assert member["simplified"] == pytest.approx(lost, abs=1e-4)


def key_of(member: dict) -> str:
    return key(from_sympy(parse(member["formula"], {n: Symbol(n) for n in NAMES}), POSITIONS))


def test_the_guard_refuses_what_leaves_the_range_between_rows():
    trial = made()
    guard = Guard(trial, trial.y_scaler.inverse(trial.y["train"]))
    symbols = {name: Symbol(name) for name in NAMES}

    def refuses(formula: str) -> bool:
        return guard.refuses(Program(parse(formula, symbols), NAMES))

    assert not refuses("2.0*a*b + 40.0")
    assert not refuses("60.0")
    assert refuses("2.0*a*b + 40.0 + 3.0/(a - 2.0)**2")
    assert refuses("sqrt(a - 1.5) + 60.0")
    assert refuses("1.0e9*a")


def test_an_unsafe_member_is_chosen_only_where_all_are():
    trial = made(noise=1.0)
    fields = distil(trial, None, 0, Ready(standard(trial, "2.0*a*b + 40.0")), "accuracy")
    assert fields["front"]

    class Of:
        def __init__(self, place: int, unsafe: bool | None) -> None:
            self.unsafe = unsafe
            self.found = dataclasses.replace(
                Candidate(Float(0.0), place + 1, 1.0), preferred=place == 1
            )

    losses = {"accuracy": [(0.5, 0.0), (0.1, 0.0), (0.3, 0.0)]}
    for unsafe, by_loss, native in (
        ((False, False, False), 1, 1),
        ((False, True, False), 2, 2),
        ((True, True, True), 1, 1),
        ((None, None, None), 1, 1),
    ):
        members = [Of(i, each) for i, each in enumerate(unsafe)]
        assert choose(members, losses, "accuracy") == by_loss
        assert choose(members, losses, "native") == native
