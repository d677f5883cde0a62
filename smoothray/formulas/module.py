"""A formula as a torch module: differentiable, on any device, its constants parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import sympy
import torch
from sympy import Expr
from torch import Tensor, nn

from smoothray.errors import StudentError
from smoothray.formulas.functions import ELEMENTARY

_FUNCTIONS: dict[type[Expr], Callable[..., Tensor]] = {
    sympy.Add: lambda *parts: reduce(torch.add, parts),
    sympy.Mul: lambda *parts: reduce(torch.mul, parts),
    sympy.Pow: torch.pow,
    sympy.Max: lambda *parts: reduce(torch.maximum, parts),
    sympy.Min: lambda *parts: reduce(torch.minimum, parts),
    **{
        cls: getattr(torch, elementary.name)
        for cls, elementary in ELEMENTARY.items()
        if hasattr(torch, elementary.name)
    },
}


class FormulaModule(nn.Module):
    """A formula of columns: (n, d) -> (n,), in double precision unless it is moved to another.

    names: the d columns by position; the formula's symbols are among them. Its constants are parameters, one
    for each place where one stands, so that they can be trained on; fractions and whole numbers, such as
    exponents, are not.

    Raises StudentError for a symbol or a function that is not known.
    """

    def __init__(self, expr: Expr, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)
        self.formula = str(expr)
        constants: list[float] = []
        self._tree = _compiled(expr, {name: i for i, name in enumerate(names)}, constants)
        self.constants = nn.Parameter(torch.tensor(constants, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.constants)
        return self._value(self._tree, x).expand(len(x))

    def _value(self, node: Node, x: Tensor) -> Tensor:
        kind, held = node[0], node[1:]
        if kind == "column":
            return x[:, held[0]]
        if kind == "constant":
            return self.constants[held[0]]
        if kind == "number":
            return x.new_tensor(held[0])
        return _FUNCTIONS[kind](*[self._value(part, x) for part in held])

    def extra_repr(self) -> str:
        return self.formula


Node = tuple[Any, ...]
"""("column", i), ("constant", i), ("number", value), or a SymPy function with its arguments' nodes."""


def _compiled(node: Expr, positions: Mapping[str, int], constants: list[float]) -> Node:
    if node.is_Symbol:
        if node.name not in positions:
            raise StudentError(
                f"the formula has the column '{node.name}', which is not among the names"
            )
        return "column", positions[node.name]
    if node.args:
        if node.func not in _FUNCTIONS:
            raise StudentError(
                f"the formula uses {node.func.__name__}, which torch has no function for"
            )
        return node.func, *[_compiled(part, positions, constants) for part in node.args]
    if node.is_Rational:
        return "number", float(node)
    constants.append(float(node))
    return "constant", len(constants) - 1
