"""Which of u and -u a formula is written with, so that sin(-u) and -sin(u) are one.

The choice is SymPy's (`could_extract_minus_sign`), without the questions that it asks on the way.
"""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr, Integer, Mul, Pow, Rational, S

from smoothray.formulas.algebra import negate

Key = tuple[Any, ...]


def leads_with_minus(expr: Expr) -> bool:
    """Whether `expr` is rather written as -(...): more of its terms have a minus, or the leading one."""
    if not expr.is_Add:
        return _is_negative(expr)
    negative = sum(map(_is_negative, expr.args))
    if 2 * negative != len(expr.args):
        return 2 * negative > len(expr.args)
    keys: dict[Expr, Key] = {}
    return _key(expr, keys) < _key(negate(expr), keys)


def _is_negative(node: Expr) -> bool:
    return float(node.as_coeff_Mul()[0]) < 0.0


def _ordered_terms(expr: Expr, keys: dict[Expr, Key]) -> list[Expr]:
    """The terms of a sum by their powers of its bases, the highest first."""
    powers = [dict(map(_decomposed, _factors(term))) for term in expr.args]
    bases = sorted({base for each in powers for base in each}, key=lambda base: _key(base, keys))
    monomials = [tuple(-each.get(base, 0) for base in bases) for each in powers]
    coefficients = [float(term.as_coeff_Mul()[0]) for term in expr.args]
    places = range(len(expr.args))
    return [expr.args[i] for i in sorted(places, key=lambda i: (monomials[i], coefficients[i]))]


def _factors(term: Expr) -> tuple[Expr, ...]:
    _, core = term.as_coeff_Mul()
    return () if core is S.One else Mul.make_args(core)


def _decomposed(factor: Expr) -> tuple[Expr, int]:
    """A base and its whole power: (x, -1) of 1/x, (sqrt(x), 3) of x**(3/2), (exp(x), -1) of exp(-x)."""
    if isinstance(factor, sympy.exp):
        if _is_negative(factor.args[0]):
            return sympy.exp(negate(factor.args[0]), evaluate=False), -1
    elif factor.is_Pow:
        base, index = factor.args
        if index.is_Integer:
            return base, int(index)
        if index.is_Rational:
            return Pow(base, Rational(1, index.q), evaluate=False), int(index.p)
        if not index.is_Number and not index.is_Add and _is_negative(index):
            return Pow(base, negate(index), evaluate=False), -1
    return factor, 1


def _key(node: Expr, keys: dict[Expr, Key]) -> Key:
    """What `Expr.sort_key` gives."""
    if node not in keys:
        coefficient, core = node.as_coeff_Mul()
        base, index = core.args if core.is_Pow else (core, S.One)
        keys[node] = (
            base.class_key(),
            _arguments(base, keys),
            _number_key(index) if index.is_Number else _key(index, keys),
            float(coefficient),
        )
        if node.is_Number:
            keys[node] = _number_key(node)
    return keys[node]


def _number_key(value: Expr) -> Key:
    return Integer.class_key(), (0, ()), (), float(value)


def _arguments(base: Expr, keys: dict[Expr, Key]) -> Key:
    if base.is_Symbol:
        return 1, (base.name,)
    if base.is_Add:
        arguments = [_key(term, keys) for term in _ordered_terms(base, keys)]
    else:
        arguments = [_key(argument, keys) for argument in base.args]
        if base.is_Mul:
            arguments.sort()
    return len(arguments), tuple(arguments)
