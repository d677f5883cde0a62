"""PySR's halls of fame, read as a fit reads them: by its own code where it needs no Julia, then by ours.

The tables are written after what SymbolicRegression.jl prints: brackets around operations alone, constants
with their sign, `name(a, b)` for all else.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import time
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from smoothray.errors import StudentError
from smoothray.formulas import complexity, evaluate, tidy, variables
from smoothray.students.base import OPERATORS, RawFormula, Student
from smoothray.students.equations import predictions, read_equation, texts_of, without_exports
from smoothray.students.pysr import PySRStudent, front_from_equations

TABLES = Path(__file__).parent / "pysr"
NAMES = {symbol.name: symbol for symbol in variables(3)}
X = np.random.default_rng(0).normal(size=(60, 3))
X[:, 2] = np.abs(X[:, 2]) + 0.1
COLUMNS = dict(zip(NAMES, X.T, strict=True))


def pysrs_code() -> dict[str, Any]:
    """Those of PySR's functions that read a hall of fame, out of its installed source."""
    try:
        package = importlib.metadata.distribution("pysr")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package pysr is not installed")
    wanted = {
        "_read_equation_file", "_postprocess_dataframe", "get_hof", "_validate_export_mappings",
        "calculate_scores", "idx_model_selection", "_preprocess_julia_floats", "_apply_regexp_im",
        "_apply_regexp_im_sci", "_apply_regexp_sci",
    }  # fmt: skip
    parts: list[ast.stmt] = [ast.parse("from __future__ import annotations; import re").body[0]]
    parts += ast.parse("import re").body
    for file in ("utils.py", "sr.py"):
        module = ast.parse(Path(str(package.locate_file(f"pysr/{file}"))).read_text("utf-8"))
        parts += [
            node
            for node in ast.walk(module)
            if (isinstance(node, ast.FunctionDef) and node.name in wanted)
            or (isinstance(node, ast.Assign) and "_regexp_" in ast.unparse(node.targets[0]))
        ]
    space: dict[str, Any] = {
        "pd": pd, "np": np, "os": os, "StringIO": StringIO, "cast": cast, "List": list,
        "check_is_fitted": lambda model, attributes: None,
    }  # fmt: skip
    exec(compile(ast.Module(parts, []), "pysr", "exec"), space)
    assert wanted <= space.keys()
    return space


def hall_of_fame(table: Path) -> tuple[pd.DataFrame, Any]:
    """PySR's `equations_` of a file and the label of its choice, with our spec in place of its own."""
    code = pysrs_code()
    model = SimpleNamespace(
        nout_=1, loss_scale="log", expression_spec_=SimpleNamespace(create_exports=None),
        extra_jax_mappings=None, extra_torch_mappings=None, equation_file_contents_=None,
        get_equation_file=lambda: table, _has_fitted_type_spec=lambda: False,
    )  # fmt: skip
    model.expression_spec_.create_exports = without_exports
    for name in ("_read_equation_file", "_postprocess_dataframe"):
        setattr(model, name, code[name].__get__(model))
    frame = code["get_hof"](model)
    return frame, code["idx_model_selection"](frame, "best")


@pytest.mark.parametrize("table", sorted(TABLES.glob("*.csv")), ids=lambda table: table.stem)
def test_a_table_is_read_as_its_texts_say(table):
    frame, chosen = hall_of_fame(table)
    assert list(frame.columns) == ["complexity", "loss", "equation", "score"]
    formulas = front_from_equations(frame, NAMES, chosen)
    assert len(formulas) == len(frame) and sum(f.preferred for f in formulas) == 1
    read = 0
    for formula, text in zip(formulas, texts_of(frame), strict=True):
        started = time.process_time()
        said = predictions(text, COLUMNS)
        try:
            expr = formula.build()
        except StudentError as error:
            assert not np.isfinite(said).any() or "nodes" in str(error), text
            continue
        values = evaluate(tidy(expr, X), X)
        both = np.isfinite(said)
        np.testing.assert_allclose(values[both], said[both], rtol=1e-9, err_msg=text)
        assert time.process_time() - started < 5.0, text
        read += 1
    assert read >= len(frame) - 5


def test_tables_hold_every_operator():
    texts = " ".join(texts_of(hall_of_fame(TABLES / "operators.csv")[0]))
    signs = {"add": "+", "sub": " - ", "mul": "*", "div": "/", "pow": "^"}
    assert all(signs.get(name, f"{name}(") in texts for name in OPERATORS)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("-1.5 ^ 2.0", 2.25),  # the sign is the constant's
        ("x0 - -0.25", X[:, 0] + 0.25),
        ("2.0 - 1.0e-3", 1.999),
        ("-2.0e-3 * x0", -0.002 * X[:, 0]),
        ("(-0.5 ^ x0)", np.full(60, np.nan)),
        ("sqrt(x2) * sqrt(x2)", X[:, 2]),
    ],
)
def test_signs_belong_to_constants(text, wanted):
    expected = np.broadcast_to(wanted, 60)
    np.testing.assert_allclose(predictions(text, COLUMNS), expected)
    try:
        values = evaluate(read_equation(text, NAMES), X)
    except StudentError:
        assert np.isnan(expected).all()
    else:
        np.testing.assert_allclose(values, expected)


@pytest.mark.parametrize("text", ["Infinity", "nan", "x9 + 1.0", "erf(x0)", "x0 +", "", "x0[1]"])
def test_what_is_no_equation_has_no_value(text):
    assert np.isnan(predictions(text, COLUMNS)).all()
    with pytest.raises(StudentError):
        read_equation(text, NAMES)


class _Recorded(Student):
    """A student whose search ended with a table."""

    name, source, packages, budgets = "recorded", "a file", (), {"quick": {}}
    vocabulary = PySRStudent.vocabulary

    def _search(self, X, y, seed):
        frame, chosen = hall_of_fame(TABLES / "nested.csv")
        texts = texts_of(frame)
        frame["loss"] = [float(np.mean((predictions(text, COLUMNS) - y) ** 2)) for text in texts]
        yield from front_from_equations(frame, NAMES, chosen)
        yield RawFormula(lambda: NAMES["x0"], X[:, 0])


def test_a_front_of_nested_equations_is_ready_at_once():
    started = time.process_time()
    y = predictions("tanh((cos(x2) * tanh(x1)) / tanh(square(x0)))", COLUMNS)
    front = _Recorded(max_size=60, nesting="free").fit(X, y, list(NAMES), seed=0)
    assert time.process_time() - started < 5.0
    assert [c.complexity for c in front] == [complexity(c.expr) for c in front]
    assert len(front) >= 2  # the cube roots of cube roots are too large, and cost only themselves
