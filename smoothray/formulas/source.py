"""A formula as the source of a stand-alone Python function."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from functools import reduce

from sympy import Expr

from smoothray.errors import StudentError
from smoothray.formulas.text import TextWriter

Categories = Mapping[str, tuple[str, str, Sequence[str]]]
"""Of a column of 0 and 1: the raw column that it was made of, the level it is for, and all levels."""

_TEMPLATE = '''\
import numpy as np

COLUMNS = {columns}


def {name}(X):
    """Predict from the columns of X{needed}

    X: an array (n, {d}) in the data's own units, whose columns are, in this order:

{listing}

    {frames}
    Returns (n,) predictions, nan or infinite where the formula has no value.
    """
{assignments}    with np.errstate(all="ignore"):
        return {formula}
'''

_BY_NAME = '''

def _column(X, position, raw=None, level=None, levels=()):
    """One column of X (n,); of a category 1 where it is `level`, nan where it is none of `levels`."""
    if not hasattr(X, "keys"):
        return _array(X)[:, position]
    name = COLUMNS[position]
    if name in X:
        return _numbers(X[name], name)
    if raw is None or raw not in X:
        raise ValueError(f"there is no column {(raw or name)!r}, which the formula needs")
    values = [str(value) for value in X[raw]]
    values = [v if v in levels else v.removesuffix(".0") for v in values]
    return np.array([float(v == level) if v in levels else np.nan for v in values], dtype=float)


def _numbers(values, name):
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {name!r} does not hold numbers: {error}") from None
'''

_BY_POSITION = """

def _column(X, position):
    return _array(X)[:, position]
"""

_ARRAY = """

def _array(X):
    X = np.asarray(X, dtype=float)
    if X.ndim != 2 or X.shape[1] != len(COLUMNS):
        raise ValueError(f"X has the shape {X.shape}; give rows of {len(COLUMNS)} columns")
    return X
"""


def to_python(
    expr: Expr,
    names: Sequence[str],
    name: str = "predict",
    *,
    named: bool = True,
    categories: Categories | None = None,
) -> str:
    """Source of a Python module with one function `name(X)`, which needs numpy alone.

    names: the d columns of X by position; the formula's symbols are among them. named: whether the data have
    these names: of a data frame, or a dict of columns, only those that the formula has are then needed; else
    columns are taken by position from frames, too. categories: those of the names that were made of a
    category; a frame may then hold the category itself.

    Raises:
        StudentError: `name` cannot name a function, or the formula has a column not in `names`.
    """
    taken = ("np", "COLUMNS", "_column", "_numbers", "_array")
    if not name.isidentifier() or keyword.iskeyword(name) or name in taken:
        raise StudentError(f"{name!r} cannot name a Python function; give another name")
    writer = _NumpyWriter(names)
    formula = writer.write(expr)
    used = sorted(writer.used)
    made_of = {
        names[i]: (categories or {})[names[i]] for i in used if names[i] in (categories or {})
    }
    raw = dict.fromkeys(made_of[names[i]][0] if names[i] in made_of else names[i] for i in used)
    source = _TEMPLATE.format(
        columns=_columns(names),
        name=name,
        needed=f"; it needs {', '.join(map(_in_docstring, raw))}."
        if used
        else "; it needs none of them.",
        listing="\n".join(f"    {i}: {_in_docstring(column)}" for i, column in enumerate(names)),
        d=len(names),
        frames=(
            "Or a data frame, or a dict of columns, by name: those that it needs, and any others."
            if named
            else "Or a data frame with its columns in this order."
        ),
        assignments="".join(
            f"    x{i} = _column(X, {i}{_category(made_of.get(names[i]) if named else None)})\n"
            for i in used
        ),
        formula=formula if used else f"np.full(_rows(X), {formula}, dtype=float)",
    )
    if not used:
        return source + _ROWS
    return source + (_BY_NAME if named else _BY_POSITION) + _ARRAY


_ROWS = """

def _rows(X):
    return len(next(iter(X.values()), ())) if isinstance(X, dict) else len(X)
"""


def _category(made_of: tuple[str, str, Sequence[str]] | None) -> str:
    if made_of is None:
        return ""
    raw, level, levels = made_of
    return f", {ascii(raw)}, {ascii(level)}, {ascii(tuple(levels))}"


def _columns(names: Sequence[str]) -> str:
    return "[\n" + "".join(f"    {ascii(str(name))},\n" for name in names) + "]"


def _in_docstring(name: str) -> str:
    shown = "".join(sign if sign.isprintable() else " " for sign in name)
    return shown.replace("\\", "\\\\").replace('"', '\\"')


class _NumpyWriter(TextWriter):
    """Infix with numpy's functions; the column at position i is x{i}."""

    def __init__(self, names: Sequence[str]) -> None:
        self.positions = {name: i for i, name in enumerate(names)}
        self.used: set[int] = set()

    def name(self, name: str) -> str:
        if name not in self.positions:
            raise StudentError(f"the formula has the column {name!r}, which is not among the names")
        self.used.add(self.positions[name])
        return f"x{self.positions[name]}"

    def call(self, name: str, arguments: Sequence[str]) -> str:
        if name in ("max", "min"):
            return reduce(lambda a, b: f"np.{name}imum({a}, {b})", arguments)
        return f"np.{name}({arguments[0]})"
