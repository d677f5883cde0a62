"""A formula as the source of a stand-alone Python function."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from functools import reduce

from sympy import Expr

from smoothray.errors import StudentError
from smoothray.formulas.text import TextWriter

_TEMPLATE = '''\
import numpy as np

COLUMNS = {columns}


def {name}(X):
    """Predict from the columns of X, which are, in this order:

{listing}

    X: (n, {d}) array in the data's own units{frames}.
    Returns (n,) predictions, nan or infinite where the formula has no value.
    """
{selection}    X = np.asarray(X, dtype=float)
{assignments}    with np.errstate(all="ignore"):
        return {formula}
'''


SELECTION = """\
    if hasattr(X, "columns"):
        X = X[COLUMNS]
"""


def to_python(
    expr: Expr, names: Sequence[str], name: str = "predict", *, named: bool = True
) -> str:
    """Source of a Python module with one function `name(X)`, which needs numpy alone.

    names: the d columns of X by position; the formula's symbols are among them. named: whether the data have
    these names; else columns are taken by position from frames, too.

    Raises:
        StudentError: `name` cannot name a function, or the formula has a column not in `names`.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name in ("np", "COLUMNS"):
        raise StudentError(f"{name!r} cannot name a Python function; give another name")
    writer = _NumpyWriter(names)
    formula = writer.write(expr)
    assignments = "".join(
        f"    x{position} = X[:, {position}]\n" for position in sorted(writer.used)
    )
    return _TEMPLATE.format(
        columns=_columns(names),
        name=name,
        listing="\n".join(f"    {i}: {_in_docstring(column)}" for i, column in enumerate(names)),
        d=len(names),
        selection=SELECTION if named else "",
        frames=(
            ", or a data frame with these columns\n    (others may be there too)"
            if named
            else ", or a data frame\n    with its columns in this order"
        ),
        assignments=assignments,
        formula=formula if writer.used else f"np.full(len(X), {formula}, dtype=float)",
    )


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
