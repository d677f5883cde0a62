"""Values and exact gradients of a formula on many rows, by a walk over its tree in numpy.

A formula becomes a list of steps, one per distinct sub-expression; the gradient goes through them
backwards (reverse-mode differentiation: Griewank and Walther, Evaluating Derivatives, 2008).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import sympy
from numpy.typing import ArrayLike, NDArray
from sympy import Expr

from smoothray.errors import StudentError
from smoothray.formulas.functions import ELEMENTARY, Array

FloatArray = NDArray[np.float64]


class Operation(NamedTuple):
    """forward: arguments -> value; backward: (adjoint, value, arguments) -> their adjoints."""

    forward: Callable[[list[Array]], Array]
    backward: Callable[[Array, Array, list[Array]], list[Array]]


def _unary(
    function: Callable[[Array], Array], derivative: Callable[[Array, Array], Array]
) -> Operation:
    return Operation(
        lambda args: function(args[0]),
        lambda adjoint, value, args: [adjoint * derivative(args[0], value)],
    )


def _add(args: list[Array]) -> Array:
    total = args[0] + args[1]
    for term in args[2:]:
        total = total + term
    return total


def _multiply(args: list[Array]) -> Array:
    product = args[0] * args[1]
    for factor in args[2:]:
        product = product * factor
    return product


def _multiply_backward(adjoint: Array, value: Array, args: list[Array]) -> list[Array]:
    if len(args) == 2:
        return [adjoint * args[1], adjoint * args[0]]
    # Products of what stands before and after each factor: no division, so zeros do no harm.
    adjoints = list(args)
    before = adjoint
    for i, factor in enumerate(args):
        adjoints[i] = before
        before = before * factor
    after = args[-1]
    for i in range(len(args) - 2, -1, -1):
        adjoints[i] = adjoints[i] * after
        after = after * args[i]
    return adjoints


def _power_backward(adjoint: Array, value: Array, args: list[Array]) -> list[Array]:
    base, index = args
    by_base = adjoint * (index * np.power(base, index - 1.0))
    if np.ndim(index) == 0:
        return [by_base, adjoint]  # the second is never used: a constant takes no adjoint
    return [by_base, adjoint * np.where(value == 0.0, 0.0, value * np.log(base))]


def _extreme(ufunc: np.ufunc) -> Operation:
    def backward(adjoint: Array, value: Array, args: list[Array]) -> list[Array]:
        hits = [np.equal(argument, value) for argument in args]
        share = adjoint / np.maximum(sum(hit.astype(float) for hit in hits), 1.0)
        return [np.where(np.isnan(value), np.nan, hit * share) for hit in hits]

    def forward(args: list[Array]) -> Array:
        value = args[0]
        for argument in args[1:]:
            value = ufunc(value, argument)
        return value

    return Operation(forward, backward)


_ADD = Operation(_add, lambda adjoint, value, args: [adjoint] * len(args))
_MULTIPLY = Operation(_multiply, _multiply_backward)
_POWER = Operation(lambda args: np.power(args[0], args[1]), _power_backward)
OPERATIONS: dict[type[Expr], Operation] = {
    sympy.Add: _ADD,
    sympy.Mul: _MULTIPLY,
    sympy.Pow: _POWER,
    sympy.Max: _extreme(np.maximum),
    sympy.Min: _extreme(np.minimum),
    **{cls: _unary(each.ufunc, each.derivative) for cls, each in ELEMENTARY.items()},
}
# np.power is slow and these exponents are nearly all there are.
POWERS: dict[Expr, Operation] = {
    sympy.Integer(2): _unary(lambda u: u * u, lambda u, v: 2.0 * u),
    sympy.Integer(3): _unary(lambda u: u * u * u, lambda u, v: 3.0 * u * u),
    sympy.Integer(-1): _unary(lambda u: 1.0 / u, lambda u, v: -v * v),
    sympy.Integer(-2): _unary(lambda u: 1.0 / (u * u), lambda u, v: -2.0 * v / u),
    sympy.Rational(1, 2): _unary(np.sqrt, lambda u, v: 0.5 / v),
    sympy.Rational(-1, 2): _unary(lambda u: 1.0 / np.sqrt(u), lambda u, v: -0.5 * v / u),
}


class Program:
    """A formula ready to be evaluated.

    names: the columns of X by position, where the formula's symbols are column names; else they
        are x0, x1, ...
    constants: the constants by slot; a caller may change them between evaluations.

    Raises:
        StudentError: the formula holds a function or a variable that is not known.
    """

    def __init__(self, expr: Expr, names: Sequence[str] | None = None) -> None:
        self.constants: dict[int, np.float64] = {}
        self.columns: dict[int, int] = {}  # slot -> column of X
        self.steps: list[tuple[int, Operation, tuple[int, ...]]] = []
        self.size = 0
        self._positions = None if names is None else {name: i for i, name in enumerate(names)}
        self._slots: dict[Expr, int] = {}
        self.result = self._compile(expr)

    def _compile(self, node: Expr) -> int:
        if not node.args and not node.is_Symbol:
            # Not shared: SymPy's hash of a Float costs more than a slot of its own.
            return self._constant(_constant(node))
        slot = self._slots.get(node)
        if slot is not None:
            return slot
        if node.is_Symbol:
            slot = self._column(self._position(node.name))
        else:
            operation, operands = _operation(node)
            slot = self._step(operation, [self._compile(operand) for operand in operands])
        self._slots[node] = slot
        return slot

    def _constant(self, value: np.float64) -> int:
        self.constants[self.size] = value
        return self._next()

    def _column(self, column: int) -> int:
        self.columns[self.size] = column
        return self._next()

    def _step(self, operation: Operation, arguments: Sequence[int]) -> int:
        self.steps.append((self.size, operation, tuple(arguments)))
        return self._next()

    def _next(self) -> int:
        self.size += 1
        return self.size - 1

    def _position(self, name: str) -> int:
        if self._positions is not None:
            if name in self._positions:
                return self._positions[name]
        elif name[:1] == "x" and name[1:].isdecimal():
            return int(name[1:])
        raise StudentError(f"the formula has the variable {name!r}, which the data do not have")

    def values(self, X: ArrayLike) -> FloatArray:
        """The formula on the rows of X (n, d): (n,), nan or infinite where it has no value."""
        X = _matrix(X)
        with np.errstate(all="ignore"):
            return _full(self._forward(X)[self.result], len(X))

    def value_and_gradient(self, X: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Values (n,) and exact derivatives by each column (n, d) on the rows of X (n, d)."""
        X = _matrix(X)
        gradient = np.zeros(X.shape)
        with np.errstate(all="ignore"):
            values = self._forward(X)
            active = self._reached(self.columns)
            for slot, adjoint in self._backward(values, self.columns, active, len(X)).items():
                gradient[:, self.columns[slot]] = adjoint
        return _full(values[self.result], len(X)), gradient

    def parts(self, X: FloatArray) -> list[Array]:
        """The values of all its parts on the rows of X (n, d); that at `result` is the formula's own."""
        with np.errstate(all="ignore"):
            return self._forward(X)

    def jacobian(self, parts: list[Array], n: int) -> FloatArray:
        """Exact derivatives by each of the p constants (n, p), in the order of `constants`; of n rows, on
        which its parts have these values."""
        jacobian = np.zeros((n, len(self.constants)), order="F")
        places = {slot: place for place, slot in enumerate(self.constants)}
        with np.errstate(all="ignore"):
            for slot, adjoint in self._backward(parts, self.constants, self._varied, n).items():
                jacobian[:, places[slot]] = adjoint
        return jacobian

    def _backward(
        self, values: list[Array], leaves: Collection[int], active: set[int], n: int
    ) -> dict[int, Array]:
        """The derivatives by these leaves, those of the columns or of the constants, by slot. active: what
        hangs on them."""
        adjoints: dict[int, Array] = {self.result: np.ones(n)}
        for slot, operation, arguments in reversed(self.steps):
            if slot not in active or slot not in adjoints:
                continue
            operands = [values[argument] for argument in arguments]
            parts = operation.backward(adjoints.pop(slot), values[slot], operands)
            for argument, part in zip(arguments, parts, strict=True):
                if argument in active:
                    sum_so_far = adjoints.get(argument)
                    adjoints[argument] = part if sum_so_far is None else sum_so_far + part
        return {slot: adjoint for slot, adjoint in adjoints.items() if slot in leaves}

    @cached_property
    def _varied(self) -> set[int]:
        return self._reached(self.constants)

    def _reached(self, leaves: Collection[int]) -> set[int]:
        """The slots whose values hang on those of these leaves, which are among them."""
        reached = set(leaves)
        for slot, _, arguments in self.steps:
            if not reached.isdisjoint(arguments):
                reached.add(slot)
        return reached

    def _forward(self, X: FloatArray) -> list[Array]:
        values: list[Array] = [None] * self.size
        for slot, constant in self.constants.items():
            values[slot] = constant
        for slot, column in self.columns.items():
            if column >= X.shape[1]:
                raise StudentError(
                    f"the formula needs column {column}, but the data have {X.shape[1]} columns"
                )
            values[slot] = np.ascontiguousarray(X[:, column])
        for slot, operation, arguments in self.steps:
            values[slot] = operation.forward([values[argument] for argument in arguments])
        return values


def evaluate(expr: Expr, X: ArrayLike, names: Sequence[str] | None = None) -> FloatArray:
    """The formula's values (n,) on the rows of X (n, d); nan or infinite where it has none.

    names: the columns of X, where the formula is written in column names rather than x0, x1, ...

    Raises:
        StudentError: the formula holds a function or a variable that is not known.
    """
    return Program(expr, names).values(X)


def value_and_gradient(
    expr: Expr, X: ArrayLike, names: Sequence[str] | None = None
) -> tuple[FloatArray, FloatArray]:
    """The formula's values (n,) and its exact derivatives (n, d) on the rows of X (n, d).

    The derivative is 0 at a corner of Abs and at steps; where several arguments of Max are the
    largest, they share it equally. See `evaluate` for the rest.
    """
    return Program(expr, names).value_and_gradient(X)


def _operation(node: Expr) -> tuple[Operation, tuple[Expr, ...]]:
    if node.is_Pow and node.exp in POWERS:
        return POWERS[node.exp], (node.base,)
    operation = OPERATIONS.get(node.func)
    if operation is None:
        raise StudentError(f"the formula uses {node.func.__name__}, which cannot be evaluated")
    return operation, node.args


def _constant(node: Expr) -> np.float64:
    try:
        return np.float64(float(node))
    except (TypeError, ValueError, OverflowError):  # zoo, I
        return np.float64(np.nan)


def _matrix(X: ArrayLike) -> FloatArray:
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2:
        raise ValueError(f"X must have two dimensions (n, d), not shape {X.shape}")
    return X


def _full(value: Array, n: int) -> FloatArray:
    return value if np.ndim(value) else np.full(n, value)
