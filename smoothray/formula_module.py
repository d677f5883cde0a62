"""A formula as a torch module: differentiable, on any device, its constants parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        cls: getattr(torch, known.name)
        for cls, known in ELEMENTARY.items()
        if hasattr(torch, known.name)
    },
}


class FormulaModule(nn.Module):
    """A formula of columns: (n, d) -> (n,), in double precision unless it is moved to another.

    names: the d columns by position; the formula's symbols are among them. Its constants are parameters,
    so that they can be trained on; fractions and whole numbers, such as exponents, are not.

    Raises StudentError for a symbol or a function that is not known.
    """

    def __init__(self, expr: Expr, names: Sequence[str]) -> None:
        super().__init__()
        self.names = list(names)
        self.formula = str(expr)
        self._positions = {name: i for i, name in enumerate(names)}
        constants: list[float] = []
        self._expr = expr
        self._slots: dict[Expr, int] = {}
        for node in sympy.preorder_traversal(expr):
            if node.is_Symbol and node.name not in self._positions:
                raise StudentError(
                    f"the formula has the column '{node.name}', which is not among the names"
                )
            if node.args and node.func not in _FUNCTIONS:
                raise StudentError(
                    f"the formula uses {node.func.__name__}, which torch has no function for"
                )
            if not (node.args or node.is_Symbol or node.is_Rational) and node not in self._slots:
                self._slots[node] = len(constants)
                constants.append(float(node))
        self.constants = nn.Parameter(torch.tensor(constants, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.constants)
        done: dict[Expr, Any] = {}

        def value(node: Expr) -> Tensor:
            if node not in done:
                if node.is_Symbol:
                    done[node] = x[:, self._positions[node.name]]
                elif node.args:
                    done[node] = _FUNCTIONS[node.func](*[value(part) for part in node.args])
                elif node in self._slots:
                    done[node] = self.constants[self._slots[node]]
                else:
                    done[node] = x.new_tensor(float(node))
            found: Tensor = done[node]
            return found

        return value(self._expr).expand(len(x))

    def extra_repr(self) -> str:
        return self.formula
