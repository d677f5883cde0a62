"""PySR's equations as it writes them into its hall of fame, read without SymPy's help.

Its own export gives every text to `sympify`, which may not come back from functions within functions.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sympy import Expr, Symbol

from smoothray.formulas import parse
from smoothray.students.numeric import FUNCTIONS

Array = NDArray[np.float64]

# Julia prints the constant -0.5 without brackets, and "- 0.5" where it subtracts.
_NEGATIVE = re.compile(r"(?<![\w.])-(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)")
_OPERATORS: dict[type[ast.operator], str] = {
    **{ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div"},
    ast.Pow: "pow",
}


def read_equation(text: str, names: Mapping[str, Symbol]) -> Expr:
    """The formula of an equation; `names` gives each variable's symbol. Raises StudentError."""
    return parse(_bracketed(text), names)


def texts_of(equations: pd.DataFrame) -> list[str]:
    """The equations' texts; pandas holds a lone `NaN` for a missing value."""
    return [str(text) for text in equations["equation"]]


def predictions(text: str, columns: Mapping[str, Array]) -> Array:
    """The values (n,) that an equation's text says, step by step: nothing is rewritten or cancelled.

    columns: (n,) by the variable's name. All nan where the text is no equation, such as a lone `Infinity`.
    """
    rows = len(next(iter(columns.values())))
    try:
        tree = ast.parse(_bracketed(text).replace("^", "**").strip(), mode="eval")
        with np.errstate(all="ignore"):
            return np.array(np.broadcast_to(_value(tree.body, columns), rows), dtype=np.float64)
    except (SyntaxError, ValueError, KeyError, RecursionError):
        return np.full(rows, np.nan)


def without_exports(
    model: Any, equations: pd.DataFrame, search_output: Any, i: int | None = None
) -> pd.DataFrame:
    """In place of `create_exports` of PySR's expression spec: no columns beside the raw ones."""
    return pd.DataFrame(index=equations.index)


def _bracketed(text: str) -> str:
    return _NEGATIVE.sub(r"(-\1)", text)


def _value(node: ast.expr, columns: Mapping[str, Array]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as value):
            return np.float64(value)
        case ast.Name():
            return columns[node.id]
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand, columns)
        case ast.BinOp():
            name, arguments = _OPERATORS[type(node.op)], [node.left, node.right]
        case ast.Call(func=ast.Name(id=name)):
            arguments = node.args
        case _:
            raise ValueError(ast.unparse(node))
    return FUNCTIONS[name](*[_value(argument, columns) for argument in arguments])
