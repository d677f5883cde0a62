"""The functions a formula may hold: their derivatives, their names in print, and how to build them.

`ELEMENTARY` describes the SymPy functions of one argument that everything here understands.
`VOCABULARY` maps the names that students and texts use (`square`, `aq`, `div`, ...) to SymPy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Integer, Rational

from smoothray.formulas.algebra import add, exponential, multiply, negate, number, power
from smoothray.formulas.signs import leads_with_minus

Array = Any  # a numpy array (n,) or a numpy float: ufuncs take and return either


@dataclass(frozen=True)
class Elementary:
    """A function of one argument.

    name: as numpy and `pandas.DataFrame.eval` call it, and as it is printed.
    derivative: (u, f(u)) -> f'(u), elementwise; 0 where f has a corner or a step.
    """

    name: str
    ufunc: Callable[[Array], Array]
    derivative: Callable[[Array, Array], Array]


def _zero(u: Array, v: Array) -> Array:
    return np.zeros_like(u)


ELEMENTARY: dict[type[Expr], Elementary] = {
    sympy.exp: Elementary("exp", np.exp, lambda u, v: v),
    sympy.log: Elementary("log", np.log, lambda u, v: 1.0 / u),
    sympy.sin: Elementary("sin", np.sin, lambda u, v: np.cos(u)),
    sympy.cos: Elementary("cos", np.cos, lambda u, v: -np.sin(u)),
    sympy.tan: Elementary("tan", np.tan, lambda u, v: 1.0 + v * v),
    sympy.sinh: Elementary("sinh", np.sinh, lambda u, v: np.cosh(u)),
    sympy.cosh: Elementary("cosh", np.cosh, lambda u, v: np.sinh(u)),
    # 1 - tanh² keeps no digits where tanh is near 1; this form does, and never overflows.
    sympy.tanh: Elementary(
        "tanh", np.tanh, lambda u, v: 4.0 * (e := np.exp(-2.0 * np.abs(u))) / (1.0 + e) ** 2
    ),
    sympy.asin: Elementary("arcsin", np.arcsin, lambda u, v: 1.0 / np.sqrt((1.0 - u) * (1.0 + u))),
    sympy.acos: Elementary("arccos", np.arccos, lambda u, v: -1.0 / np.sqrt((1.0 - u) * (1.0 + u))),
    sympy.atan: Elementary("arctan", np.arctan, lambda u, v: 1.0 / (1.0 + u * u)),
    sympy.asinh: Elementary("arcsinh", np.arcsinh, lambda u, v: 1.0 / np.hypot(1.0, u)),
    sympy.acosh: Elementary(
        "arccosh", np.arccosh, lambda u, v: 1.0 / (np.sqrt(u - 1.0) * np.sqrt(u + 1.0))
    ),
    sympy.atanh: Elementary("arctanh", np.arctanh, lambda u, v: 1.0 / ((1.0 - u) * (1.0 + u))),
    sympy.Abs: Elementary("abs", np.abs, lambda u, v: np.sign(u)),
    sympy.sign: Elementary("sign", np.sign, _zero),
    sympy.floor: Elementary("floor", np.floor, _zero),
    sympy.ceiling: Elementary("ceil", np.ceil, _zero),
}


ODD = frozenset(
    {sympy.sin, sympy.tan, sympy.sinh, sympy.tanh, sympy.asin, sympy.atan, sympy.asinh, sympy.atanh}
)
EVEN = frozenset({sympy.cos, sympy.cosh})


def rebuild(function: type[Expr], arguments: list[Expr]) -> Expr:
    """`function(*arguments)`, constants folded in double precision.

    A function of an argument with a leading minus is turned round, sin(-u) to -sin(u), and a constant is
    taken out of exp. Nothing is cancelled: exp(log(u)) has no value where log(u) has none.
    """
    if function in _ALGEBRA:
        return _ALGEBRA[function](*arguments)
    elementary = ELEMENTARY.get(function)
    if elementary is not None and arguments[0].is_Number:
        with np.errstate(all="ignore"):
            return number(elementary.ufunc(np.float64(arguments[0])))
    if function in (sympy.Max, sympy.Min):
        if all(argument.is_Number for argument in arguments):
            values = [float(argument) for argument in arguments]
            return number(max(values) if function is sympy.Max else min(values))
        return function(*arguments, evaluate=False)
    (argument,) = arguments
    if function in ODD and leads_with_minus(argument):
        return multiply(Integer(-1), function(negate(argument), evaluate=False))
    if function in EVEN and leads_with_minus(argument):
        argument = negate(argument)
    if function is sympy.exp:
        return exponential(argument)
    return function(argument, evaluate=False)


_ALGEBRA: dict[type[Expr], Callable[..., Expr]] = {
    sympy.Add: add,
    sympy.Mul: multiply,
    sympy.Pow: power,
}


def _unary(function: type[Expr]) -> tuple[int, Callable[..., Expr]]:
    return 1, lambda u: rebuild(function, [u])


def _negate(u: Expr) -> Expr:
    return multiply(Integer(-1), u)


def _divide(a: Expr, b: Expr) -> Expr:
    if a.is_Number and b.is_Number:
        with np.errstate(all="ignore"):
            return number(np.float64(a) / np.float64(b))
    return multiply(a, power(b, Integer(-1)))


def _cube_root(u: Expr) -> Expr:
    # The real root: SymPy's own is complex for u < 0.
    return multiply(rebuild(sympy.sign, [u]), power(rebuild(sympy.Abs, [u]), number(1 / 3)))


def _analytic_quotient(a: Expr, b: Expr) -> Expr:
    return _divide(a, power(add(number(1.0), power(b, Integer(2))), Rational(1, 2)))


def _sigmoid(u: Expr) -> Expr:
    return power(add(number(1.0), rebuild(sympy.exp, [_negate(u)])), Integer(-1))


def _power_of_base(base: float) -> Callable[[Expr], Expr]:
    return lambda u: power(number(base), u)


def _logarithm(base: float) -> Callable[[Expr], Expr]:
    return lambda u: _divide(rebuild(sympy.log, [u]), number(float(np.log(base))))


# name -> (number of arguments, or -1 for one or more; builder)
VOCABULARY: dict[str, tuple[int, Callable[..., Expr]]] = {
    "add": (-1, add),
    "sub": (2, lambda a, b: add(a, _negate(b))),
    "mul": (-1, multiply),
    "div": (2, _divide),
    "pow": (2, power),
    "neg": (1, _negate),
    "inv": (1, lambda u: power(u, Integer(-1))),
    "square": (1, lambda u: power(u, Integer(2))),
    "cube": (1, lambda u: power(u, Integer(3))),
    "sqrt": (1, lambda u: power(u, Rational(1, 2))),
    "cbrt": (1, _cube_root),
    "aq": (2, _analytic_quotient),
    "max": (-1, lambda *values: rebuild(sympy.Max, list(values))),
    "min": (-1, lambda *values: rebuild(sympy.Min, list(values))),
    "relu": (1, lambda u: rebuild(sympy.Max, [u, number(0.0)])),
    "log2": (1, _logarithm(2.0)),
    "log10": (1, _logarithm(10.0)),
    "log1p": (1, lambda u: rebuild(sympy.log, [add(number(1.0), u)])),
    "expm1": (1, lambda u: add(rebuild(sympy.exp, [u]), number(-1.0))),
    "exp2": (1, _power_of_base(2.0)),
    "sigmoid": (1, _sigmoid),
    **{each.name: _unary(function) for function, each in ELEMENTARY.items()},
    **{
        name: _unary(function)
        for name, function in {
            "ln": sympy.log,
            "asin": sympy.asin,
            "acos": sympy.acos,
            "atan": sympy.atan,
            "asinh": sympy.asinh,
            "acosh": sympy.acosh,
            "atanh": sympy.atanh,
            "ceiling": sympy.ceiling,
        }.items()
    },
}
# The capitals that SymPy prints.
VOCABULARY.update({name.capitalize(): VOCABULARY[name] for name in ("abs", "max", "min")})
