"""Values and derivatives of formulas that are made of `skeleton`'s nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothray.formulas.program import OPERATIONS, POWERS, Operation, Program
from smoothray.formulas.skeleton import FUNCTIONS, HEADS, Node, children


def _pow_backward(adjoint: Any, value: Any, args: list[Any]) -> list[Any]:
    base, index = args
    by_base = adjoint * (index * np.power(base, index - 1.0))
    return [by_base, adjoint * np.where(value == 0.0, 0.0, value * np.log(base))]


class Compiled(Program):
    """A formula of these nodes ready to be evaluated; made once a structure, its constants are a vector."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)  # type: ignore[arg-type]

    def with_values(self, values: Sequence[float] | NDArray[np.float64]) -> Compiled:
        """Itself with other constants, in the order of `constants`."""
        self.constants = dict(zip(self.constants, map(np.float64, values), strict=True))
        return self

    def _compile(self, node: Node) -> int:  # type: ignore[override]
        if node[0] == "c":
            return self._constant(np.float64(node[1]))
        slot = self._slots.get(node)  # type: ignore[call-overload]
        if slot is not None:
            return int(slot)
        before = len(self.constants)
        if node[0] == "x":
            slot = self._column(node[1])
        else:
            slot = self._step(_operation(node), [self._compile(c) for c in children(node)])
        if len(self.constants) == before:  # two constants that are equal now may differ later
            self._slots[node] = slot  # type: ignore[index]
        return slot


def values_of(node: Node, X: NDArray[np.float64], known: dict[Node, Any]) -> Any:
    """A formula's values on the rows of X (n, d), (n,) or a number; `known` keeps those of its parts."""
    values = known.get(node)
    if values is None:
        if node[0] == "c":
            return node[1]
        if node[0] == "x":
            values = X[:, node[1]]
        else:
            parts = [values_of(child, X, known) for child in children(node)]
            values = _operation(node).forward(parts)
        known[node] = values
    return values


_POW = Operation(lambda args: np.power(args[0], args[1]), _pow_backward)
_KNOWN = {
    **{name: OPERATIONS[cls] for name, cls in FUNCTIONS.items()},
    **{head: OPERATIONS[cls] for cls, head in HEADS.items()},
    "pow": _POW,
}
_FIXED = {float(index): operation for index, operation in POWERS.items()}


def _operation(node: Node) -> Operation:
    if node[0] != "^":
        return _KNOWN[node[0]]
    index = node[2]
    return _FIXED.get(index) or Operation(
        lambda args: np.power(args[0], index),
        lambda adjoint, value, args: [adjoint * (index * np.power(args[0], index - 1.0))],
    )
