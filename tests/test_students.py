"""One contract for every student, then what is particular to each, and the choice from a front."""

from __future__ import annotations

import ast
import base64
import importlib.metadata
import math
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sympy import Float, Symbol

from smoothray import SymbolicDistiller
from smoothray.errors import StudentError
from smoothray.formulas import (
    VOCABULARY,
    complexity,
    evaluate,
    nesting_of,
    parse,
    to_text,
    value_and_gradient,
    variables,
)
from smoothray.formulas.dimensions import check_units, parse_unit
from smoothray.students import OPERATORS, STUDENTS, Candidate, make_student, pareto_front, select
from smoothray.students import base as students_base
from smoothray.students.base import NESTING
from smoothray.students.gplearn import GplearnStudent, from_program
from smoothray.students.gplearn import nesting as gplearn_nesting
from smoothray.students.julia import julia_missing
from smoothray.students.operon import OperonStudent
from smoothray.students.pysr import (
    PySRStudent,
    front_from_equations,
    sobolev_loss,
    told_in_a_line,
)

TINY = {
    "operon": {"population_size": 120, "generations": 25},
    "gplearn": {"population_size": 120, "generations": 8},
    "pysr": {"niterations": 4, "populations": 4},
}
NAMES = ["a", "beta", "x 2"]


def _subclasses(family: type) -> set[type]:
    below = set(family.__subclasses__())
    return below.union(*map(_subclasses, below)) if below else below


def test_no_student_escapes() -> None:
    ours = {s for s in _subclasses(students_base.Student) if s.__module__.startswith("smoothray.")}
    assert ours == set(STUDENTS.values())
    assert set(TINY) == set(STUDENTS)
    assert all(name == student.name and student.source for name, student in STUDENTS.items())


def _student(name: str, **settings):
    reason = STUDENTS[name].unavailable()
    if reason is None and name == "pysr" and "torch" in sys.modules:
        reason = (
            "torch is loaded in this process; run it alone: pytest -m pysr tests/test_students.py"
        )
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    return make_student(name, **{**TINY[name], **settings})


@pytest.fixture(
    params=[pytest.param(n, marks=[pytest.mark.pysr] if n == "pysr" else []) for n in STUDENTS]
)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 3))
    y = X[:, 0] * X[:, 1] + 0.5 * X[:, 2] + 0.05 * rng.normal(size=90)
    return X, (y - y.mean()) / y.std()


def test_front_is_a_checked_pareto_front(name, data) -> None:
    X, y = data
    front = _student(name, max_size=15).fit(X, y, NAMES, seed=1)
    assert isinstance(front[0].expr, Float) and front[0].complexity == 1
    assert front[0].loss == pytest.approx(np.var(y))
    assert [c.complexity for c in front] == sorted({c.complexity for c in front})
    assert all(after.loss < before.loss for before, after in pairwise(front))
    assert sum(c.preferred for c in front) == 1
    assert front[-1].loss < 0.7 and front[-1].complexity <= 15
    for candidate in front:
        assert candidate.complexity == complexity(candidate.expr)
        assert candidate.loss == pytest.approx(np.mean((evaluate(candidate.expr, X) - y) ** 2))
        assert candidate.expr.free_symbols <= set(variables(3))


def test_same_seed_same_front(name, data) -> None:
    student = _student(name)
    assert student.fit(*data, NAMES, seed=4) == student.fit(*data, NAMES, seed=4)


def test_constant_target_gives_the_constant(name) -> None:
    front = _student(name).fit(np.ones((5, 1)), np.full(5, 2.5), ["a"], seed=0)
    assert front == [Candidate(Float(2.5), 1, 0.0, preferred=True)]


def test_few_rows_one_column_smallest_size(name) -> None:
    student = _student(name, max_size=STUDENTS[name].smallest_size)
    x = np.linspace(-1, 1, 6)
    front = student.fit(x[:, None], x**2 - np.mean(x**2), ["a"], seed=0)
    assert front and front[-1].complexity <= student.max_size


BINARY, UNARY = ([o for o, arity in OPERATORS.items() if arity == k] for k in (2, 1))
LISTS = [["add", "mul", *BINARY[1 + 2 * k :][:3], *UNARY[5 * k :][:5]] for k in range(4)]
"""Lists of operators that have all of them, and more than one of each kind."""
ARITY = {1: "unary", 2: "binary"}


@pytest.mark.parametrize("place", range(len(LISTS)))
def test_every_operator_is_sympys(name, data, place) -> None:
    X, y = data
    student = _student(name, operators=LISTS[place])
    assert student.fit(X, y, NAMES, seed=5 * place)[-1].loss < 1.0


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"operators": ["add", "sinn"]}, "no operator 'sinn'; did you mean 'sin'"),
        ({"operators": ["sin"]}, "all take one argument"),
        ({"operators": []}, "all take one argument"),
        ({"budget": "quik"}, "did you mean 'quick'"),
        ({"max_size": 2}, "max_size is 2; give at least"),
        ({"nesting": "two"}, "no nesting 'two'; it has one, free"),
        ({"max_size": 12.5}, "max_size is 12.5; give at least"),
        ({"population_sise": 3}, "did you mean 'population_size'"),
        ({"population_size": 0}, "population_size is 0; give a whole number of at least"),
        ({"population_size": 4}, "population_size is 4; give a whole number of at least"),
        ({"population_size": 100.0}, "population_size is 100.0; give a whole number"),
        ({"population_size": True}, "population_size is True; give a whole number"),
        ({"population_size": math.nan}, "population_size is nan; give a whole number"),
    ],
)
def test_what_is_wrong_is_said(name, settings, message) -> None:
    with pytest.raises(StudentError, match=message):
        make_student(name, **settings)


WHOLE = [
    (name, key)
    for name, student in STUDENTS.items()
    for key, value in student.budgets["quick"].items()
    if not isinstance(value, bool)
]


@pytest.mark.parametrize(("name", "setting"), WHOLE)
@pytest.mark.parametrize("value", [-1, 2.5, "3", None])
def test_settings_are_whole_numbers_where_the_budget_has_one(name, setting, value) -> None:
    told = f"{name}: {setting} is {value!r}; give a whole number of at least"
    with pytest.raises(StudentError, match=re.escape(told)):
        make_student(name, **{setting: value})


@pytest.mark.parametrize(("name", "least"), [("pysr", 16), ("gplearn", 7), ("operon", 5)])
def test_a_population_is_no_smaller_than_what_competes_in_it(name, least) -> None:
    assert make_student(name, population_size=np.int64(least)).settings["population_size"] == least
    with pytest.raises(StudentError, match=f"population_size is {least - 1}; .* at least {least}"):
        make_student(name, population_size=least - 1)


def test_the_tournaments_are_those_of_the_programs() -> None:
    source = _function(_pysr_source("sr.py"), "__init__", "PySRRegressor").args
    defaults = dict(zip([a.arg for a in source.kwonlyargs], source.kw_defaults, strict=True))
    competing = ast.literal_eval(defaults["tournament_selection_n"])
    assert PySRStudent.least["population_size"] == competing + 1  # Julia wants more than those
    operon = pytest.importorskip("pyoperon.sklearn").SymbolicRegressor()
    assert OperonStudent.least["population_size"] == operon.tournament_size


@pytest.mark.parametrize("name", STUDENTS)
def test_operators_given_twice_count_once(name) -> None:
    student = make_student(name, operators=["mul", "add", "mul", "sin", "add"])
    assert student.operators == ("mul", "add", "sin")


def test_operon_says_that_no_formula_of_a_tiny_search_has_a_value() -> None:
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(StudentError, match="larger population_size"):
        make_student("operon", population_size=5, generations=1).fit(X, X[:, 0], ["a", "b"], 0)


@pytest.mark.parametrize("name", STUDENTS)
def test_budgets_and_vocabulary(name) -> None:
    student = STUDENTS[name]
    assert list(student.budgets) == ["quick", "standard", "thorough"]
    assert set(student.vocabulary) == set(OPERATORS)
    assert set(student.operators) <= set(OPERATORS) <= set(VOCABULARY)
    assert student(budget="standard", population_size=99).settings == {
        **student.budgets["standard"],
        "population_size": 99,
    }


def test_unknown_student() -> None:
    with pytest.raises(StudentError, match="did you mean 'operon'"):
        make_student("operan")


@pytest.mark.parametrize(
    ("X", "y", "names", "message"),
    [
        (np.zeros((3, 1)), np.zeros(4), ["a"], "shape"),
        (np.zeros((3, 1)), np.zeros(3), ["a", "b"], "1 columns, but 2 names"),
        (np.array([[0.0], [np.nan]]), np.zeros(2), ["age"], "column 'age'"),
        (np.zeros((2, 1)), np.array([0.0, np.inf]), ["age"], "target"),
        (np.zeros((0, 1)), np.zeros(0), ["a"], "shape"),
    ],
)
def test_unusable_data(X, y, names, message) -> None:
    with pytest.raises(StudentError, match=message):
        OperonStudent().fit(X, y, names, seed=0)


def test_import_loads_no_program() -> None:
    code = (
        "import sys, smoothray.students as s; [c.unavailable() for c in s.STUDENTS.values()]; "
        "print([m for m in ('torch', 'ray', 'pysr', 'juliacall', 'pyoperon', 'gplearn') "
        "if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# Functions within functions


def _nested_data() -> tuple[np.ndarray, np.ndarray]:
    X = np.random.default_rng(1).normal(size=(120, 3))
    y = np.sin(np.exp(np.cos(X[:, 0])) * 1.5) + np.tanh(np.exp(np.sin(X[:, 1])))
    return X, (y - y.mean()) / y.std()


def test_functions_stand_one_within_another_unless_asked(name) -> None:
    X, y = _nested_data()
    operators = ["add", "mul", "sin", "cos", "exp", "tanh"]
    depths = {}
    for nesting in NESTING:
        front = _student(name, operators=operators, nesting=nesting).fit(X, y, NAMES, seed=2)
        depths[nesting] = max(nesting_of(candidate.expr) for candidate in front)
        assert len(front) > 1 and front[-1].loss < 1.0
    assert depths["one"] <= 2
    if name != "pysr":  # which does as it likes when it may
        assert depths["free"] > 2


class _Deep(students_base.Student):
    name, source, packages, budgets = "deep", "none", (), {"quick": {}}
    vocabulary = dict.fromkeys(OPERATORS)

    def _search(self, X, y, seed):
        for text in ("sin(x0)", "sin(cos(x0))", "sin(cos(exp(x0)))", "exp(log(sin(cos(x0 - 3))))"):
            expr = parse(text, 1)
            yield students_base.RawFormula(lambda expr=expr: expr, evaluate(expr, X))


def test_a_front_is_filtered_by_nesting() -> None:
    x = np.linspace(0.5, 1.5, 40)
    y = np.sin(np.cos(np.exp(x)))
    kept = [to_text(c.expr) for c in _Deep().fit(x[:, None], y, ["a"], seed=0)]
    freely = [to_text(c.expr) for c in _Deep(nesting="free").fit(x[:, None], y, ["a"], seed=0)]
    assert "sin(cos(exp(x0)))" in freely and "sin(cos(exp(x0)))" not in kept
    assert kept == [text for text in freely if text in kept] or len(kept) >= 2
    assert all(nesting_of(parse(text, 1)) <= 2 for text in kept)


def test_gplearns_programs_are_counted_as_their_formulas() -> None:
    functions = pytest.importorskip("gplearn.functions")
    made = {
        name: functions._Function(GplearnStudent.vocabulary[name], name, OPERATORS[name])
        for name in ("sin", "exp", "add", "sqrt", "log")
    }
    for program in (
        ["sin", "exp", 0],
        ["add", "sin", 0, "exp", "log", "sqrt", "sin", 1],
        ["sqrt", "add", 0, 1],
        ["log", "add", "sin", "exp", 1, 0.5],
    ):
        nodes = [made.get(node, node) for node in program]
        assert gplearn_nesting(nodes) == nesting_of(from_program(nodes, variables(2))), program


def test_pysr_is_told_pair_by_pair() -> None:
    student = PySRStudent(operators=["add", "aq", "square", "sin", "exp", "log1p"])
    within = {"sin": 1, "exp": 1, "log1p": 1}
    assert student.arguments(0, "out")["nested_constraints"] == dict.fromkeys(within, within)
    free = PySRStudent(nesting="free").arguments(0, "out")
    assert free["nested_constraints"] is None
    assert PySRStudent(operators=["add", "mul"]).arguments(0, "out")["nested_constraints"] is None
    assert "dict[str, dict[str, int]]" in _argument_annotations()["nested_constraints"]
    run = ast.unparse(_function(_pysr_source("sr.py"), "_run", "PySRRegressor"))
    assert "nested_constraints_str += f'({outer_k}) => Dict('" in run


def test_pysr_exports_nothing() -> None:
    exports = _function(_pysr_source("expression_specs.py"), "create_exports", "ExpressionSpec")
    arguments = [a.arg for a in exports.args.args]
    assert arguments == ["self", "model", "equations", "search_output", "i"]
    hall = ast.unparse(_function(_pysr_source("sr.py"), "get_hof", "PySRRegressor"))
    assert "self.expression_spec_.create_exports(self, output, search_output," in hall
    made = ast.unparse(_function(_pysr_source("sr.py"), "expression_spec_", "PySRRegressor"))
    assert "return self.expression_spec or ExpressionSpec()" in made


# The check against the student's own predictions


class _Liar(students_base.Student):
    name = "liar"
    source = "none"
    packages = ()
    budgets = {"quick": {}}
    vocabulary = dict.fromkeys(OPERATORS)
    honest = True

    def _search(self, X, y, seed):
        yield students_base.RawFormula(lambda: Symbol("x0"), X[:, 0] + 0.1)
        yield students_base.RawFormula(lambda: parse("nosuch(x0)", 1), X[:, 0])
        yield students_base.RawFormula(lambda: Float(math.exp(1e3)), X[:, 0])
        yield students_base.RawFormula(lambda: Symbol("x0"), np.full(len(X), np.nan))
        if self.honest:
            yield students_base.RawFormula(
                lambda: 2.0 * Symbol("x0"), 2.0 * X[:, 0], preferred=True
            )
            yield students_base.RawFormula(
                lambda: 1.0 * Symbol("x0"), float(np.mean((X[:, 0] - y) ** 2))
            )


def test_formulas_that_differ_from_the_program_are_dropped() -> None:
    x = np.linspace(-1, 1, 20)
    front = _Liar().fit(x[:, None], 2 * x, ["a"], seed=0)
    assert [to_text(c.expr) for c in front] == ["x0", "2*x0"]
    assert [c.preferred for c in front] == [False, True]


def test_error_where_no_formula_is_the_programs() -> None:
    student = _Liar()
    student.honest = False
    x = np.linspace(-1, 1, 20)
    with pytest.raises(StudentError, match="none of the 3 formulas"):
        student.fit(x[:, None], 2 * x, ["a"], seed=0)


# Front and selection


def _candidates(*points: tuple[int, float], preferred: int | None = None) -> list[Candidate]:
    return [Candidate(Float(i), c, loss, i == preferred) for i, (c, loss) in enumerate(points)]


def test_pareto_front_keeps_what_nothing_beats() -> None:
    front = pareto_front(_candidates((9, 0.1), (5, 0.3), (5, 0.2), (7, 0.2), (1, 1.0), preferred=3))
    assert [(c.complexity, c.loss) for c in front] == [(1, 1.0), (5, 0.2), (9, 0.1)]
    assert [c.preferred for c in front] == [False, True, False]


def test_pareto_front_without_a_choice_prefers_the_largest() -> None:
    assert [c.preferred for c in pareto_front(_candidates((1, 1.0), (3, 0.5)))] == [False, True]
    assert pareto_front([]) == []


@pytest.mark.parametrize(
    ("losses", "complexities", "errors", "chosen"),
    [
        ([1.0, 0.5, 0.45], [1, 5, 9], [0.1, 0.1, 0.1], 1),
        ([1.0, 0.5, 0.45], [1, 5, 9], [9.0, 9.0, 0.01], 2),  # the best one's own error counts
        ([0.5, 0.45, 0.4], [5, 5, 9], [0.1, 0.1, 0.1], 1),  # a tie in size goes by loss
        ([np.nan, np.inf, 0.4], [1, 2, 9], [0.1, 0.1, 0.1], 2),
        ([-np.inf, 0.4], [1, 9], [0.0, 0.0], 1),
        ([0.4, 0.4], [9, 3], [np.nan, np.nan], 1),
        ([0.5, 0.4], [1, 3], [np.inf, np.inf], 1),
    ],
)
def test_select(losses, complexities, errors, chosen) -> None:
    assert select(losses, complexities, errors) == chosen


def test_select_without_a_finite_loss() -> None:
    with pytest.raises(StudentError, match="finite"):
        select([np.nan, np.inf], [1, 2], [0.0, 0.0])


# Operon


@pytest.mark.parametrize("operator", OPERATORS)
def test_operon_tree_is_read_as_operon_evaluates_it(operator) -> None:
    op = pytest.importorskip("pyoperon")
    from smoothray.students.operon import from_tree

    X = np.random.default_rng(0).uniform(0.1, 0.9, size=(20, 2))
    data_set = op.Dataset(np.asfortranarray(X))
    inputs = sorted(data_set.Variables, key=lambda v: v.Index)
    # The first argument is the one directly before the function.
    leaves = [_weighted(op, inputs[1], 0.7), _weighted(op, inputs[0], 0.9)]
    leaves = leaves[2 - OPERATORS[operator] :]
    function = op.Node(getattr(op.NodeType, OperonStudent.vocabulary[operator].capitalize()))
    tree = op.Tree([*leaves, function]).UpdateNodes()
    own = op.Evaluate(op.DispatchTable(), tree, data_set, op.Range(0, 20))
    symbols = dict(zip([v.Hash for v in inputs], variables(2), strict=True))
    assert evaluate(from_tree(tree, symbols), X) == pytest.approx(own.reshape(-1), rel=1e-4)


def _weighted(op, variable, weight: float):
    node = op.Node.Variable(weight)
    node.HashValue = variable.Hash
    return node


# gplearn


def test_gplearn_program_is_read_in_prefix_order() -> None:
    functions = pytest.importorskip("gplearn.functions")
    sub = functions._Function(np.subtract, "sub", 2)
    sin = functions._Function(np.sin, "sin", 1)
    X = np.random.default_rng(0).normal(size=(9, 2))
    expr = from_program([sub, sin, 1, sub, 0, 0.5], variables(2))
    assert evaluate(expr, X) == pytest.approx(np.sin(X[:, 1]) - (X[:, 0] - 0.5))


@pytest.mark.parametrize("operator", OPERATORS)
def test_gplearn_operator_is_sympys(operator) -> None:
    X = np.random.default_rng(0).uniform(0.1, 0.9, size=(20, 2))
    columns = X.T[: OPERATORS[operator]]
    expr = VOCABULARY[operator][1](*variables(len(columns)))
    assert evaluate(expr, X) == pytest.approx(GplearnStudent.vocabulary[operator](*columns))


# PySR, without Julia: against the installed package's source


def _pysr_source(file: str) -> ast.Module:
    try:
        path = importlib.metadata.distribution("pysr").locate_file(f"pysr/{file}")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package pysr is not installed")
    return ast.parse(Path(str(path)).read_text(encoding="utf-8"))


def _function(module: ast.Module, name: str, owner: str | None = None) -> ast.FunctionDef:
    bodies = [n.body for n in ast.walk(module) if isinstance(n, ast.ClassDef) and n.name == owner]
    for node in bodies[0] if owner else module.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node
    raise AssertionError(f"pysr has no {owner}.{name}")


def _argument_annotations() -> dict[str, str]:
    arguments = _function(_pysr_source("sr.py"), "__init__", "PySRRegressor").args
    return {a.arg: ast.unparse(a.annotation) for a in [*arguments.args[1:], *arguments.kwonlyargs]}


@pytest.mark.parametrize("budget", PySRStudent.budgets)
def test_pysr_takes_every_argument(budget) -> None:
    annotations = _argument_annotations()
    given = PySRStudent(budget=budget).arguments(seed=1, directory="out")
    assert set(given) <= set(annotations)
    for key, value in given.items():
        allowed = annotations[key]
        if isinstance(value, str):
            assert "str" in allowed or repr(value) in allowed, key
        elif isinstance(value, list | dict | bool):
            assert type(value).__name__ in allowed, key
        else:
            assert "int" in allowed or "float" in allowed, key
    assert given["deterministic"] is True and given["parallelism"] == "serial"
    assert (given["random_state"], given["output_directory"]) == (1, "out")


def test_pysr_has_the_members_that_are_used() -> None:
    source = _pysr_source("sr.py")
    _function(source, "get_best", "PySRRegressor")
    renamed = {
        key.value: value.value
        for node in ast.walk(_function(source, "_postprocess_dataframe", "PySRRegressor"))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
    }
    assert {"loss", "equation"} <= set(renamed.values())


def test_pysr_operators_are_read_by_parse() -> None:
    mappings = next(
        node.value
        for node in _pysr_source("export_sympy.py").body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "sympy_mappings"
    )
    printed = {key.value for key in mappings.keys}
    infix = {"+", "-", "*", "/", "^"}
    for operator, symbol in PySRStudent.vocabulary.items():
        name = symbol.partition("(")[0]
        assert name in infix | printed | {"aq"}, operator
        assert name in infix or name in VOCABULARY


def test_pysr_environment_is_juliacalls() -> None:
    try:
        path = importlib.metadata.distribution("juliacall").locate_file("juliacall/__init__.py")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package juliacall is not installed")
    text = Path(str(path)).read_text(encoding="utf-8")
    for variable in PySRStudent.environment:
        option = variable.removeprefix("PYTHON_JULIACALL_").lower()
        assert f"'{option}'" in text, variable


def test_pysr_front_is_read_from_its_equations() -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    texts = [
        "0.25",
        "x1",
        "x0 * 2.5e-1",
        "aq(sin(x0), x1) - (square(x1) / 3.0)",
        "x0 ^ 2 + bad(x1)",
    ]
    values = np.sin(X[:, 0]) / np.sqrt(1 + X[:, 1] ** 2) - X[:, 1] ** 2 / 3
    frame = pd.DataFrame(
        {
            "complexity": [1, 1, 3, 9, 10],
            "loss": [1.0, 1.0, 1.0, float(np.mean((values - X[:, 0]) ** 2)), 0.1],
            "equation": texts,
        },
        index=[0, 1, 2, 5, 7],
    )
    formulas = front_from_equations(
        frame, dict(zip(["x0", "x1"], variables(2), strict=True)), chosen=5
    )
    assert evaluate(formulas[3].build(), X) == pytest.approx(values)
    assert [f.preferred for f in formulas] == [False, False, False, True, False]
    with pytest.raises(StudentError, match="bad"):
        formulas[4].build()


def test_pysr_loss_holds_the_slopes_and_can_be_asked_for() -> None:
    rng = np.random.default_rng(0)
    y, slopes = rng.normal(size=5), rng.normal(size=(5, 3))
    text = sobolev_loss(y, slopes)
    packed, d, n = re.findall(r'base64decode\("(.*?)"\)\)\), (\d+), (\d+)\)', text)[0]
    # Julia reads columns: column i of its (d, n) matrix is the gradient of row i.
    read = np.frombuffer(base64.b64decode(packed)).reshape((int(d), int(n)), order="F")
    assert (read == slopes.T).all()
    spread, steepness = (float(each) for each in re.findall(r"/ 5 / (\S+)", text))
    assert spread == pytest.approx(y.var())
    assert steepness == pytest.approx((slopes**2).sum(1).mean())
    opened = re.findall(r"^\s*(?:begin|let|function)\b", text, re.M)
    assert len(opened) == len(re.findall(r"^\s*end\b", text, re.M)) == 3
    assert "{" not in re.sub(r"\{T,L\}", "", text)

    assert "str" in _argument_annotations()["loss_function"]
    wanted = ast.unparse(_function(_pysr_source("sr.py"), "_validate_custom_full_objective"))
    assert "(tree, dataset, options)" in wanted
    loader = _function(_pysr_source("julia_extensions.py"), "load_required_packages")
    assert "autodiff_backend" in [a.arg for a in loader.args.kwonlyargs]
    assert "load_package('Zygote'" in ast.unparse(loader)
    predict = _function(_pysr_source("sr.py"), "predict", "PySRRegressor")
    assert [a.arg for a in predict.args.args] == ["self", "X", "index"]


def test_what_julia_complains_of_comes_as_one_line() -> None:
    with (
        pytest.raises(StudentError, match=r"^pysr: DimensionMismatch: 128 and 1500$") as told,
        told_in_a_line(),
    ):
        raise ValueError("DimensionMismatch: 128 and 1500\nStacktrace:\n [1] eval\n")
    assert told.value.__cause__ is None
    with pytest.raises(StudentError, match="^as it is$"), told_in_a_line():
        raise StudentError("as it is")
    with pytest.raises(KeyboardInterrupt), told_in_a_line():
        raise KeyboardInterrupt


def test_pysr_is_given_units_as_its_fit_takes_them(monkeypatch, no_julia) -> None:
    source = _pysr_source("sr.py")
    taken = _function(source, "fit", "PySRRegressor").args
    known = {each.arg for each in (*taken.args, *taken.kwonlyargs)}
    given: list[dict] = []

    class Regressor:
        def __init__(self, **settings): ...

        def fit(self, X, y, **units):
            given.append(units)
            raise StudentError("this far and no further")

    monkeypatch.setattr(PySRStudent, "_load", lambda self: Regressor)
    X, y = np.ones((3, 2)), np.ones(3)
    for units in ((("m", "1"), "m^2"), None):
        with pytest.raises(StudentError, match="no further"):
            list(PySRStudent()._search(X, y, 0, units))
    assert given == [{"X_units": ["m", "1"], "y_units": "m^2"}, {}]
    assert given[0].keys() <= known


@pytest.mark.pysr
def test_pysr_keeps_to_units() -> None:
    student = _student("pysr", operators=["add", "mul", "exp"])
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = X[:, 0] + 2.5 * X[:, 1]
    front = student.fit(X, y, ["a", "b"], 0, units=(("m", "s"), "m"))
    units = {"x0": parse_unit("m"), "x1": parse_unit("s")}
    assert front[-1].loss < 0.1
    assert check_units(front[-1].expr, units, parse_unit("m")).is_consistent


@pytest.mark.pysr
def test_pysr_matches_slopes() -> None:
    student = PySRStudent(niterations=8, populations=4, operators=["add", "mul", "square"])
    if student.unavailable() or "torch" in sys.modules:
        pytest.skip(student.unavailable() or "torch is loaded in this process")
    X = np.random.default_rng(0).normal(size=(80, 2))
    y = X[:, 0] ** 2 + X[:, 1]
    slopes = np.column_stack([2 * X[:, 0], np.ones(80)])
    front = student.fit(X, y, ["a", "b"], 0, slopes)
    values, gradients = value_and_gradient(front[-1].expr, X)
    assert values == pytest.approx(y, abs=0.1) and gradients == pytest.approx(slopes, abs=0.2)


def test_students_that_cannot_match_slopes_say_so(data) -> None:
    X, y = data[:2]
    with pytest.raises(StudentError, match="operon cannot match derivatives"):
        OperonStudent().fit(X, y, [f"x{i}" for i in range(X.shape[1])], 0, np.zeros_like(X))


def test_budgets_of_all_students_have_the_same_targets() -> None:
    assert students_base.TARGET_SECONDS == {"quick": 1.0, "standard": 5.0, "thorough": 30.0}
    assert all(set(s.budgets) == set(students_base.TARGET_SECONDS) for s in STUDENTS.values())


@pytest.mark.parametrize("budget", PySRStudent.budgets)
def test_pysr_matches_slopes_on_a_smaller_budget(budget) -> None:
    def evaluations(settings) -> int:
        islands = settings["niterations"] * settings["populations"]
        return islands * settings["ncycles_per_iteration"]

    usual = PySRStudent(budget=budget).settings
    smaller = PySRStudent.matching_budgets[budget]
    assert smaller.keys() < usual.keys()
    assert evaluations({**usual, **smaller}) * 20 < evaluations(usual)


def test_operators_of_the_live_tests_are_those_that_pysr_takes() -> None:
    defined = {name.partition("(")[0] for name in PySRStudent.vocabulary.values()}
    for operators in LISTS:
        given = PySRStudent(operators=operators).arguments(0, "out")
        symbols = [s.partition("(")[0] for k in (1, 2) for s in given[f"{ARITY[k]}_operators"]]
        assert len(symbols) == len(set(symbols)) and set(symbols) <= defined
    assert set().union(*LISTS) == set(OPERATORS)


def test_pysr_searches_on_all_rows_unless_batches_are_asked_for() -> None:
    assert "'auto'" in _argument_annotations()["batching"]  # its default, which depends on the rows
    for settings, batching in (({}, False), ({"batching": True}, True)):
        assert PySRStudent(**settings).arguments(0, "out")["batching"] is batching
    with pytest.raises(StudentError, match="batching is 1; give true or false"):
        PySRStudent(batching=1)


def test_pysr_refuses_batches_together_with_slopes_before_any_search() -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    with pytest.raises(StudentError, match="batching is true, and derivatives are matched on all"):
        PySRStudent(batching=True).fit(X, X[:, 0], ["a", "b"], 0, np.ones((40, 2)))
    PySRStudent().check_matching()
    model = SymbolicDistiller(
        student="pysr", selection="sobolev", student_options={"batching": True}
    )
    with pytest.raises(StudentError, match="batching is true"):
        model.check()


def test_pysr_needs_a_size_of_seven() -> None:
    with pytest.raises(StudentError, match="at least 7"):
        PySRStudent(max_size=6)


# Where Julia is looked for


@pytest.fixture
def no_julia(monkeypatch, tmp_path) -> Path:
    for variable in ("JULIACALL_EXE", "JULIACALL_PROJECT", "JULIAPKG_EXE", "JULIAPKG_OFFLINE"):
        monkeypatch.delenv(f"PYTHON_{variable}", raising=False)
    monkeypatch.setenv("PYTHON_JULIAPKG_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def _executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_julia_nowhere(no_julia) -> None:
    assert "Julia is not installed" in str(julia_missing())


def test_pysr_says_why_it_cannot_fit(no_julia, data) -> None:
    with pytest.raises(StudentError, match="pysr cannot run here: "):
        PySRStudent().fit(*data, NAMES, seed=0)


def test_pysr_does_not_start_beside_torch(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "juliacall", raising=False)
    monkeypatch.setitem(sys.modules, "torch", ast)
    with pytest.raises(StudentError, match="process of its own"):
        PySRStudent()._load()


@pytest.mark.parametrize(
    "place", ["bin/julia", "bin/juliaup", "project/pyjuliapkg/install/bin/julia"]
)
def test_julia_is_found(no_julia, monkeypatch, place) -> None:
    _executable(no_julia / place)
    assert julia_missing() is None
    monkeypatch.setenv("PYTHON_JULIAPKG_OFFLINE", "yes")
    assert "OFFLINE" in str(julia_missing())  # its packages are still to be installed


def test_julia_is_found_in_the_resolved_environment(no_julia, monkeypatch) -> None:
    monkeypatch.setenv("PYTHON_JULIAPKG_OFFLINE", "yes")
    julia = _executable(no_julia / "elsewhere" / "julia")
    meta = no_julia / "project" / "pyjuliapkg" / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(f'{{"executable": "{julia}"}}')
    assert julia_missing() is None
    julia.unlink()
    assert julia_missing() is not None


def test_julia_given_by_variables(no_julia, monkeypatch) -> None:
    monkeypatch.setenv("PYTHON_JULIAPKG_EXE", str(no_julia / "julia"))
    assert "PYTHON_JULIAPKG_EXE" in str(julia_missing())
    _executable(no_julia / "julia")
    assert julia_missing() is None
    monkeypatch.setenv("PYTHON_JULIACALL_EXE", str(no_julia / "julia"))
    assert "together" in str(julia_missing())
    monkeypatch.setenv("PYTHON_JULIACALL_PROJECT", str(no_julia))
    assert julia_missing() is None


def test_records_of_pysr_say_which_julia(tmp_path, monkeypatch):
    from smoothray.distillation.saved import versions_now
    from smoothray.records.versions import completed, versions
    from smoothray.study.settings import StudentSettings

    monkeypatch.setenv("PYTHON_JULIAPKG_PROJECT", str(tmp_path))
    before = versions(StudentSettings(name="pysr"))
    assert "julia " not in before and completed(before, "pysr") == before
    (tmp_path / "pyjuliapkg").mkdir()
    (tmp_path / "pyjuliapkg" / "meta.json").write_text(
        '{"version": "1.10.8", "executable": "julia"}'
    )
    (tmp_path / "Manifest.toml").write_text(
        'manifest_format = "2.0"\n[[deps.SymbolicRegression]]\nversion = "1.11.0"\n'
    )
    told = versions(StudentSettings(name="pysr"))
    assert "pysr 2." in told and "julia 1.10.8, SymbolicRegression.jl 1.11.0" in told
    # The first start installs Julia, after the study's versions were read.
    assert completed(before, "pysr") == completed(told, "pysr") == told
    assert versions_now("pysr")["SymbolicRegression.jl"] == "1.11.0"
    assert "pyoperon" in versions(StudentSettings())
