"""Every symbolic step ends: on random formulas, and on one that never ended in SymPy's hands."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sympy

from smoothray import SymbolicDistiller
from smoothray.datasets.table import Dataset
from smoothray.distillation.members import members_as_found
from smoothray.distillation.trial import Trial
from smoothray.errors import StudentError
from smoothray.formulas import (
    complexity,
    evaluate,
    nesting_of,
    parse,
    tidy,
    to_latex,
    to_mathml,
    to_text,
    unscale,
    variables,
)
from smoothray.formulas.signs import leads_with_minus
from smoothray.formulas.tree import MOST_NODES
from smoothray.students.front import Candidate

LONGEST = 1.0  # CPU seconds; the worst of 1,500 took .09


def benchmark():
    path = Path(__file__).parent.parent / "benchmarks" / "symbolic.py"
    spec = importlib.util.spec_from_file_location("symbolic_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HARD = benchmark().HARD


def test_no_step_on_500_random_trees_takes_long():
    taken, without = benchmark().measured(trees=500, depth=3, seed=7)
    assert len(taken["parse"]) + without == 501 and len(taken["to_mathml"]) > 400
    for step, values in taken.items():
        seconds, text = max(values)
        print(f"{step}: {seconds:.3f} s, {text}")
        assert seconds < LONGEST, (step, text)


def hard_data(n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).normal(loc=3.0, scale=2.0, size=(n, 8))
    with np.errstate(all="ignore"):
        return X, evaluate(parse(HARD, 8), (X - 3.0) / 2.0)


def test_the_hard_formula_becomes_a_member_of_a_front():
    X, y = hard_data()
    names = [f"column {i}" for i in range(8)]
    trial = Trial.of(Dataset("hard", X, 5.0 + 2.0 * y, names, "y"), 0, 0)
    started = time.process_time()
    expr = tidy(parse(HARD, 8), trial.x["train"])
    (member,) = members_as_found(trial, [Candidate(expr, complexity(expr), 0.0)])
    found = member.found.expr
    for written in (to_text(found), to_latex(found), to_mathml(found)):
        assert written.count("tanh") == 4
    assert time.process_time() - started < LONGEST


STUDENT = f"""
import numpy as np
from smoothray.formulas import evaluate, parse
from smoothray.students import OPERATORS
from smoothray.students.base import RawFormula, Student


class Hard(Student):
    name, source, packages, budgets = "hard", "the test's own", (), {{"quick": {{}}}}
    vocabulary = dict.fromkeys(OPERATORS)

    def _search(self, X, y, seed):
        expr = parse({HARD!r}, 8)
        yield RawFormula(lambda: expr, evaluate(expr, X))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "hard_student.py").write_text(STUDENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "hard_student:Hard"
    sys.modules.pop("hard_student", None)


def test_the_hard_formula_through_the_library(module):
    X, y = hard_data()
    started = time.process_time()
    model = SymbolicDistiller(
        "direct", student=module, budget="quick", max_size=60, nesting="free", selection="native"
    ).fit(X, y)
    assert time.process_time() - started < 4 * LONGEST
    assert "tanh" in model.pareto_front_["formula"].iloc[-1]
    assert (
        "tanh"
        not in SymbolicDistiller("direct", student=module, budget="quick", max_size=60)
        .fit(X, y)
        .formula_
    )  # five deep, which is refused unless asked for


def test_the_hard_formula_on_the_command_line(module, tmp_path, smoothray):
    X, y = hard_data()
    frame = pd.DataFrame(X, columns=[f"c{i}" for i in range(8)]).assign(y=y)
    frame.to_csv(tmp_path / "hard.csv", index=False)
    options = ("--penalty", "none", "--student", module, "--budget", "quick", "--repeats", 1)
    ended = smoothray(
        "distill", "hard.csv", "--target", "y", *options, "--max-size", 60, "--nesting", "free",
        "--selection", "native", cwd=tmp_path, timeout=200,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "tanh(" in ended.stdout


@pytest.mark.parametrize("text", ["x0", "sin(x0)", "x0 - x1", "1 - x0", "sqrt(x0) - (x1 - x2)"])
def test_signs_are_where_sympy_puts_them(text):
    expr = parse(text, 3)
    assert leads_with_minus(expr) == expr.could_extract_minus_sign()
    negative = sympy.Mul(-1, expr)
    assert leads_with_minus(negative) == negative.could_extract_minus_sign()


@pytest.mark.parametrize(
    "text",
    [
        "exp(log(x0))",
        "sin(asin(x0))",
        "cos(acos(x0))",
        "tan(atan(x0))",
        "exp(log(x0) - x1)",
        "sqrt(x0)**2",
        "sqrt(x0)*x1*sqrt(x0)",
    ],
)
def test_what_undoes_itself_is_cancelled_only_where_rows_allow_it(text):
    inside = np.random.default_rng(0).uniform(0.1, 0.9, (30, 2))
    beyond = np.vstack([inside, [[-2.0, 0.5]]])
    expr = parse(text, 2)
    assert not np.isfinite(evaluate(expr, beyond)[-1]) or text == "tan(atan(x0))"
    assert complexity(tidy(expr, inside)) < complexity(expr)
    np.testing.assert_allclose(evaluate(tidy(expr, inside), inside), evaluate(expr, inside))
    kept = evaluate(tidy(expr, beyond), beyond)
    np.testing.assert_array_equal(np.isfinite(kept), np.isfinite(evaluate(expr, beyond)))


def test_a_formula_beyond_all_size_is_refused_at_once():
    text = "x0"
    for _ in range(30):
        text = f"cbrt({text})"
    with pytest.raises(
        StudentError, match=f"nodes; the most that is worked with is {MOST_NODES:,}"
    ):
        parse(text, 1)


def test_unscaling_nests_no_deeper():
    expr = parse("exp(sin(x0*x1) + x2)", 3)
    expr = unscale(expr, np.ones(3), np.full(3, 2.0), 1.0, 3.0, ["a", "b", "c"])
    assert nesting_of(expr) == 2


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("x0*x1 + sqrt(abs(x2))**3", 0),
        ("sin(x0) + exp(x1)*log(x2)", 1),
        ("log(1 + sqrt(x0)/cos(x1))", 2),
        ("exp(sqrt(sin(cos(x0) + x1)))", 3),
        ("log1p(x0)", 1),
        ("max(sin(x0), 2)", 1),
    ],
)
def test_nesting_counts_functions_within_functions(text, depth):
    assert nesting_of(parse(text, 3)) == depth
    assert nesting_of(variables(1)[0]) == 0
