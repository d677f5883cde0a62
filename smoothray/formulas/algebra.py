"""Sums, products and powers as SymPy trees, built from their structure alone.

SymPy's own constructors ask what they build for signs, zeros and real parts. On functions within functions
the answers take minutes, and are never used here. These rules give the same trees, in the same order of
arguments, in time that grows with the formula's size.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import sympy
from sympy import Abs, Expr, Float, Integer, Pow, Rational, S
from sympy.core.basic import _args_sortkey

from smoothray.errors import StudentError

LARGEST_EXACT_EXPONENT = 100
LARGEST_LIFT = (
    20.0  # a column far from zero stays centred within exp: exp(d - 120), not 8e-53*exp(d)
)
LARGEST_EXP = 700.0  # beyond it exp has no double


def number(value: float) -> Expr:
    """A constant, as a SymPy Float of double precision.

    Raises:
        StudentError: `value` is not finite.
    """
    if not np.isfinite(value):
        raise StudentError(
            f"a constant of the formula comes to {value}, so it has no value; use another formula"
        )
    return Float(float(value))


def exponent(value: float) -> Expr:
    """An exponent, exact if it is a small integer or a half: the rules for powers then hold."""
    if abs(value) <= LARGEST_EXACT_EXPONENT and value == int(value):
        return Integer(int(value))
    if abs(value) == 0.5:
        return Rational(1, 2) if value > 0 else Rational(-1, 2)
    return number(value)


def power(base: Expr, index: Expr) -> Expr:
    """base ** index, a constant index as `exponent` makes it, and constants folded."""
    if not index.is_Number:
        return Pow(base, index, evaluate=False)
    if base.is_Number:
        with np.errstate(all="ignore"):
            return number(np.power(np.float64(base), np.float64(index)))
    index = exponent(float(index))
    if index == 0:
        return number(1.0)
    if index == 1:
        return base
    if base.is_Pow:
        return _power_of_power(base, index)
    if isinstance(base, sympy.exp) and index.is_Integer:
        return exponential(multiply(number(float(index)), base.args[0]))
    if base.is_Mul:
        return _power_of_product(base, index)
    return Pow(base, index, evaluate=False)


def _power_of_power(base: Expr, index: Expr) -> Expr:
    """(u**a)**b as u**(a*b), unless it has no value for some u where that has one, as sqrt(u)**2."""
    inner = base.exp
    if inner.is_Number:
        merged = exponent(float(inner * index))
        same = inner.is_Integer or not merged.is_Integer
        if _is_nonnegative(base.base) or (same and (index.is_Integer or abs(inner) < 1)):
            return power(base.base, merged)
    elif index.is_Integer:
        return power(base.base, multiply(number(float(index)), inner))
    return Pow(base, index, evaluate=False)


def _power_of_product(base: Expr, index: Expr) -> Expr:
    """Every factor raised to a whole number; to another one, those that cannot be negative."""
    constant, factors = _split(base)
    if index.is_Integer:
        scale = _folded(constant, index)
        return multiply(number(scale), *[power(factor, index) for factor in factors])
    free = [factor for factor in factors if _is_nonnegative(factor)]
    bound = [factor for factor in factors if not _is_nonnegative(factor)]
    size = abs(constant)
    parts = [number(_folded(size, index)), *[power(factor, index) for factor in free]]
    inner = multiply(*bound) if bound else number(1.0)
    if constant < 0:
        inner = negate(inner)
    if inner.is_Number or inner.is_Pow:  # as a product it would come here again
        parts.append(power(inner, index))
    else:
        parts.append(Pow(inner, index, evaluate=False))
    return multiply(*parts)


def _folded(constant: Expr, index: Expr) -> float:
    try:
        return float(constant**index)  # between numbers SymPy asks nothing
    except (TypeError, OverflowError):
        raise StudentError(
            f"a constant of the formula, {constant} to the power of {index}, has no value; "
            "use another formula"
        ) from None


def _is_nonnegative(node: Expr) -> bool:
    while node.is_Pow and node.exp.is_Number:
        node = node.base
    return isinstance(node, Abs)


def _split(product: Expr) -> tuple[Expr, tuple[Expr, ...]]:
    first, *others = product.args
    return (first, tuple(others)) if first.is_Number else (S.One, product.args)


def multiply(*factors: Expr) -> Expr:
    """The product of `factors`, powers of the same base as one; a constant stays outside a sum."""
    constant, others = 1.0, []
    for factor in factors:
        if factor.is_Number:
            constant *= float(factor)
        else:
            others.append(factor)
    if constant == 0.0 or not others:
        return number(constant)
    if len(others) == 1 and constant == 1.0:
        return others[0]
    inner, gathered = _gathered(others)
    constant *= inner
    if constant == 0.0 or not gathered:
        return number(constant)
    return _scaled(constant, gathered)


def _scaled(constant: float, factors: list[Expr]) -> Expr:
    if constant == 1.0:
        return factors[0] if len(factors) == 1 else _node(sympy.Mul, factors)
    coefficient = Integer(-1) if constant == -1.0 else number(constant)
    return _node(sympy.Mul, [coefficient, *factors])


def _gathered(factors: list[Expr]) -> tuple[float, list[Expr]]:
    """The constant and the other factors of a product, each base once, in SymPy's order."""
    constant = 1.0
    bases: dict[Expr, dict[Expr, Expr]] = {}  # base -> term of the exponent -> its coefficient
    rooted: set[Expr] = set()
    pending = list(factors)
    for factor in pending:  # grows while it is read
        if factor.is_Mul:
            pending.extend(factor.args)
        elif factor.is_Number:
            constant *= float(factor)
        else:
            base, index = _base_and_exponent(factor)
            coefficient, term = index.as_coeff_Mul()
            terms = bases.setdefault(base, {})
            terms[term] = terms.get(term, S.Zero) + coefficient
            if term is S.One and index.is_Rational and index.q == 2:
                rooted.add(base)
    parts: list[Expr] = []
    for base, terms in bases.items():
        for term, coefficient in terms.items():
            if coefficient == 0:
                continue
            if coefficient.is_Integer and base in rooted and term is S.One:
                # sqrt(u)*sqrt(u) has no value where u is negative.
                base, coefficient = Pow(base, Rational(1, 2), evaluate=False), 2 * coefficient
            parts.append(_raised(base, coefficient, term))
    if any(part.is_Mul or part.is_Number for part in parts):
        inner, parts = _gathered(parts)
        return constant * inner, parts
    return constant, sorted(parts, key=_args_sortkey)


def _base_and_exponent(factor: Expr) -> tuple[Expr, Expr]:
    if factor.is_Pow:
        return factor.args
    if isinstance(factor, sympy.exp):
        return S.Exp1, factor.args[0]
    return factor, S.One


def _raised(base: Expr, coefficient: Expr, term: Expr) -> Expr:
    if term is S.One:
        return base if coefficient == 1 else power(base, coefficient)
    factor = number(float(coefficient))
    if base is not S.Exp1:
        return power(base, multiply(factor, term))
    if term.is_Add and abs(float(coefficient) * _constant_of(term)) <= LARGEST_LIFT:
        return exponential(add(*[multiply(factor, each) for each in term.args]))
    return exponential(multiply(factor, term))


def exponential(index: Expr) -> Expr:
    """exp(index), a constant in a sum as a factor before it."""
    constant = _constant_of(index)
    if constant == 0.0 or abs(constant) > LARGEST_EXP:
        return sympy.exp(index, evaluate=False)
    rest = add(*index.args[1:])
    return multiply(number(float(sympy.exp(index.args[0]))), sympy.exp(rest, evaluate=False))


def _constant_of(expr: Expr) -> float:
    return float(expr.args[0]) if expr.is_Add and expr.args[0].is_Number else 0.0


def add(*terms: Expr) -> Expr:
    """The sum of `terms`, with like terms and the constants among them made one."""
    constant, others = 0.0, []
    for term in terms:
        if term.is_Number:
            constant += float(term)
        else:
            others.append(term)
    coefficients: dict[Expr, float] = {}
    pending = others  # grows while it is read
    for term in pending:
        if term.is_Add:
            pending.extend(term.args)
        elif term.is_Number:
            constant += float(term)
        else:
            coefficient, core = term.as_coeff_Mul()
            coefficients[core] = coefficients.get(core, 0.0) + float(coefficient)
    parts = [_times(factor, core) for core, factor in coefficients.items() if factor != 0.0]
    if any(part.is_Add for part in parts):
        return add(*parts, number(constant))
    parts.sort(key=_args_sortkey)
    if constant != 0.0 or not parts:
        parts.insert(0, number(constant))
    return parts[0] if len(parts) == 1 else _node(sympy.Add, parts)


def _times(constant: float, core: Expr) -> Expr:
    if constant == 1.0:
        return core
    return _scaled(constant, list(core.args) if core.is_Mul else [core])


def negate(expr: Expr) -> Expr:
    """-expr, a sum term by term."""
    if expr.is_Add:
        return add(*[multiply(Integer(-1), term) for term in expr.args])
    return multiply(Integer(-1), expr)


def _node(cls: type[Expr], arguments: Iterable[Expr]) -> Expr:
    return cls._from_args(list(arguments), is_commutative=True)
