"""From standardised inputs and target back to the data's own units, shortened on the way.

Every sub-expression is held as factor * (core + shift). Scaling makes such pairs everywhere; kept
apart from the core they merge into the constants around them instead of piling up. All rules are
exact identities where both sides have a value, and the result is compared on rows of data before it is
accepted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import sympy
from numpy.typing import ArrayLike, NDArray
from sympy import Expr, Symbol

from smoothray.errors import StudentError
from smoothray.formulas.algebra import LARGEST_LIFT, add, exponent, multiply, number, power
from smoothray.formulas.functions import rebuild
from smoothray.formulas.program import evaluate
from smoothray.formulas.tree import complexity, replace_leaves, variables

AGREEMENT = 1e-9  # largest difference of predictions, in standard deviations of the prediction
FAR_FROM_ZERO = 100.0  # |mean| / scale from which a column stays centred, which keeps digits
SMALLEST_SUM = 1e-13  # a sum of coefficients below this share of its parts has cancelled
CHECK_ROWS = 64


class _Affine(NamedTuple):
    """factor * (core + shift); with no core, the constant `factor`."""

    factor: float
    core: Expr | None = None
    shift: float = 0.0

    def body(self) -> Expr:
        """core + shift."""
        return add(self.core, number(self.shift)) if self.shift else self.core

    def whole(self) -> Expr:
        """The shorter of factor * (core + shift) and the same multiplied out."""
        if self.core is None:
            return number(self.factor)
        closed = multiply(number(self.factor), self.body())
        if _centred(self.core):
            return closed
        terms = self.core.args if self.core.is_Add else (self.core,)
        spread = add(
            *[multiply(number(self.factor), term) for term in terms],
            number(self.factor * self.shift),
        )
        return spread if complexity(spread) <= complexity(closed) else closed


def unscale(
    expr: Expr,
    x_mean: ArrayLike,
    x_scale: ArrayLike,
    y_mean: float,
    y_scale: float,
    names: Sequence[str],
    X: ArrayLike | None = None,
) -> Expr:
    """The formula y_mean + y_scale * expr((x - x_mean) / x_scale), in the data's units and names.

    expr: in x0 .. x{d-1}, as `clean` leaves it.
    x_mean, x_scale: (d,); y_mean, y_scale: the target's.
    names: the d column names; each becomes the symbol of that very name.
    X: rows (n, d) in the data's units on which the result is checked; without them, normal
        rows of that mean and scale.

    Returns the shortened formula where it predicts the same on these rows, to 1e-9 of the
    predictions' spread, and is defined on the same ones; else the plain substitution.
    """
    mean = np.asarray(x_mean, dtype=float)
    scale = np.asarray(x_scale, dtype=float)
    if X is None:
        X = mean + scale * np.random.default_rng(0).normal(size=(CHECK_ROWS, len(mean)))
    rows = np.asarray(X, dtype=float)
    columns = {
        symbol: (Symbol(name), float(m), float(s))
        for symbol, name, m, s in zip(variables(len(names)), names, mean, scale, strict=True)
    }
    standardised = evaluate(expr, (rows - mean) / scale)
    with np.errstate(all="ignore"):
        wanted = y_mean + y_scale * standardised
    for rules in ({**_RULES, **_CANCELLING}, _RULES):
        try:
            inner = _visitor(columns, rules)(expr)
            short = _sum([_product([_Affine(y_scale), inner]), _Affine(y_mean)]).whole()
            if _agree(evaluate(short, rows, names), wanted):
                return short
        except (ArithmeticError, StudentError):
            pass
    return _substitute(expr, columns, y_mean, y_scale)


def tidy(expr: Expr, X: ArrayLike) -> Expr:
    """`expr` in its own symbols x0, x1, ..., shortened by the rules of `unscale`.

    Returns `expr` itself where the result is no shorter or does not predict the same on X.
    """
    d = np.shape(X)[1]
    names = [symbol.name for symbol in variables(d)]
    short = unscale(expr, np.zeros(d), np.ones(d), 0.0, 1.0, names, X)
    return short if complexity(short) < complexity(expr) else expr


def _substitute(
    expr: Expr, columns: dict[Symbol, tuple[Symbol, float, float]], y_mean: float, y_scale: float
) -> Expr:
    def leaf(node: Expr) -> Expr:
        if node not in columns:
            return node
        symbol, mean, scale = columns[node]
        return multiply(number(1.0 / scale), add(symbol, number(-mean)))

    return add(multiply(number(y_scale), replace_leaves(expr, leaf)), number(y_mean))


def _agree(values: NDArray[np.float64], wanted: NDArray[np.float64]) -> bool:
    finite = np.isfinite(wanted)
    if not np.array_equal(finite, np.isfinite(values)):
        return False
    if not finite.any():
        return True
    with np.errstate(all="ignore"):
        spread = np.std(wanted[finite])
        # A constant formula has no spread; only rounding may tell the two apart there.
        allowed = max(AGREEMENT * spread, 1e-14 * np.max(np.abs(wanted[finite])))
        return bool(np.max(np.abs(values[finite] - wanted[finite])) <= allowed)


def _visitor(
    columns: dict[Symbol, tuple[Symbol, float, float]], rules: Mapping[type[Expr], Rule]
) -> Callable[[Expr], _Affine]:
    done: dict[Expr, _Affine] = {}

    def leaf(node: Expr) -> _Affine:
        if node not in columns:
            return _Affine(float(node))
        symbol, mean, scale = columns[node]
        if abs(mean) > FAR_FROM_ZERO * scale:
            return _Affine(1.0 / scale, add(symbol, number(-mean)))
        return _Affine(1.0 / scale, symbol, -mean)

    def visit(node: Expr) -> _Affine:
        if not node.args:
            return leaf(node)
        if node not in done:
            parts = [visit(argument) for argument in node.args]
            done[node] = rules.get(node.func, _opaque(node.func))(parts)
        return done[node]

    return visit


def _of(expr: Expr) -> _Affine:
    if expr.is_Number:
        return _Affine(float(expr))
    factor, core = expr.as_coeff_Mul()
    return _Affine(float(factor), core)


def _opaque(function: type[Expr]) -> Callable[[list[_Affine]], _Affine]:
    return lambda parts: _of(rebuild(function, [part.whole() for part in parts]))


def _sum(parts: list[_Affine]) -> _Affine:
    """One linear combination: sums within it multiplied out, like terms and constants merged."""
    offset = 0.0
    coefficients: dict[Expr, list[float]] = {}
    for part in parts:
        if part.core is None:
            offset += part.factor
            continue
        offset += part.factor * part.shift
        terms = part.core.args if _spreads(part) else (part.core,)
        for term in terms:
            factor, core = term.as_coeff_Mul()
            coefficients.setdefault(core, []).append(part.factor * float(factor))
    sums = {core: math.fsum(values) for core, values in coefficients.items()}
    kept = {
        core: total
        for core, total in sums.items()
        if abs(total) > SMALLEST_SUM * sum(map(abs, coefficients[core]))
    }
    if not kept:
        return _Affine(offset)
    # Dividing by the commonest coefficient rids the most terms of theirs.
    # One that is centred keeps its own: at a coefficient of 1 SymPy would merge it into the sum.
    counts = Counter(abs(total) for core, total in kept.items() if not _centred(core))
    pivots = [total for total in kept.values() if abs(total) in counts]
    pivot = max(pivots, key=lambda total: (counts[abs(total)], abs(total)), default=1.0)
    if len(kept) == 1:
        (core, pivot), *_ = kept.items()
        return _Affine(pivot, core, offset / pivot)
    core = add(*[multiply(number(value / pivot), term) for term, value in kept.items()])
    return _Affine(pivot, core, offset / pivot)


def _spreads(part: _Affine) -> bool:
    """Whether factor * (a + b + ...) is no longer multiplied out than closed."""
    if part.core is None or not part.core.is_Add or _centred(part.core):
        return False
    plain = sum(not term.as_coeff_Mul()[0].is_Float for term in part.core.args)
    return plain <= 1 or abs(part.factor) == 1.0


def _centred(core: Expr) -> bool:
    """Whether this is a column less its mean, to be kept as it is."""
    return core.is_Add and any(term.is_Number for term in core.args)


def _product(parts: list[_Affine]) -> _Affine:
    factor = math.prod(part.factor for part in parts)
    bodies = [part for part in parts if part.core is not None]
    if not bodies or factor == 0.0:
        return _Affine(factor)
    if len(bodies) == 1:
        return bodies[0]._replace(factor=factor)
    product = _of(multiply(*[part.body() for part in bodies]))
    return product._replace(factor=factor * product.factor)


def _power(parts: list[_Affine]) -> _Affine:
    base, index = parts
    if base.core is None or index.core is not None:
        return _opaque(sympy.Pow)(parts)
    value = index.factor
    if value == int(value):
        factor, body = base.factor**value, base.body()
    else:
        factor, body = abs(base.factor) ** value, _oriented(base)
    if not _plain(factor):
        return _opaque(sympy.Pow)(parts)
    result = _of(power(body, number(value)))
    return result._replace(factor=factor * result.factor)


def _exp(parts: list[_Affine]) -> _Affine:
    (part,) = parts
    lift = part.factor * part.shift
    if part.core is None or not lift or abs(lift) > LARGEST_LIFT:
        return _opaque(sympy.exp)(parts)
    return _Affine(math.exp(lift), rebuild(sympy.exp, [_Affine(part.factor, part.core).whole()]))


def _exp_of_logarithms(parts: list[_Affine]) -> _Affine:
    """exp(a*log(u) + b) as u**a * exp(b)."""
    (part,) = parts
    terms = () if part.core is None else sympy.Add.make_args(part.core)
    logarithms = [term for term in terms if isinstance(term.as_coeff_Mul()[1], sympy.log)]
    if not logarithms:
        return _exp(parts)
    factors = []
    for term in logarithms:
        coefficient, logarithm = term.as_coeff_Mul()
        index = number(part.factor * float(coefficient))
        factors.append(_of(power(logarithm.args[0], index)))
    rest = add(*[term for term in terms if term not in logarithms])
    if rest.is_Number:
        factors.append(_Affine(math.exp(part.factor * (part.shift + float(rest)))))
    else:
        factors.append(_exp([_Affine(part.factor, rest, part.shift)]))
    return _product(factors)


def _power_of_root(parts: list[_Affine]) -> _Affine:
    """(u**a)**b as u**(a*b) for a whole a*b."""
    base, index = parts
    core, plain = base.core, base.factor == 1.0 and not base.shift and index.core is None
    if core is not None and plain and core.is_Pow and core.exp.is_Number:
        merged = exponent(float(core.exp) * index.factor)
        if merged.is_Integer:
            return _of(power(core.base, merged))
    return _power(parts)


def _undoing(function: type[Expr], inverse: type[Expr]) -> Rule:
    """Of function(inverse(u)), u."""

    def rule(parts: list[_Affine]) -> _Affine:
        (part,) = parts
        if isinstance(part.core, inverse) and abs(part.factor) == 1.0 and not part.shift:
            inner = _of(part.core.args[0])
            odd = function is not sympy.cos
            return inner._replace(factor=inner.factor * (part.factor if odd else 1.0))
        return _opaque(function)(parts)

    return rule


def _log(parts: list[_Affine]) -> _Affine:
    (part,) = parts
    if part.core is None:
        return _opaque(sympy.log)(parts)
    result = _of(rebuild(sympy.log, [_oriented(part)]))
    if result.core is None or result.factor != 1.0:
        return _opaque(sympy.log)(parts)
    return result._replace(shift=math.log(abs(part.factor)))


def _abs(parts: list[_Affine]) -> _Affine:
    (part,) = parts
    if part.core is None:
        return _Affine(abs(part.factor))
    return _Affine(abs(part.factor), rebuild(sympy.Abs, [part.body()]))


def _sign(parts: list[_Affine]) -> _Affine:
    (part,) = parts
    if part.core is None:
        return _opaque(sympy.sign)(parts)
    return _Affine(math.copysign(1.0, part.factor), rebuild(sympy.sign, [part.body()]))


def _oriented(part: _Affine) -> Expr:
    """core + shift with the sign of the factor."""
    return _Affine(math.copysign(1.0, part.factor), part.core, part.shift).whole()


def _plain(factor: float) -> bool:
    return 1e-100 < abs(factor) < 1e100


Rule = Callable[[list[_Affine]], _Affine]
_RULES: dict[type[Expr], Rule] = {
    sympy.Add: _sum,
    sympy.Mul: _product,
    sympy.Pow: _power,
    sympy.exp: _exp,
    sympy.log: _log,
    sympy.Abs: _abs,
    sympy.sign: _sign,
}
# The right side has values where the left has none: kept only where the rows tell no difference.
_CANCELLING: dict[type[Expr], Rule] = {
    sympy.Pow: _power_of_root,
    sympy.exp: _exp_of_logarithms,
    sympy.sin: _undoing(sympy.sin, sympy.asin),
    sympy.cos: _undoing(sympy.cos, sympy.acos),
    sympy.tan: _undoing(sympy.tan, sympy.atan),
}
