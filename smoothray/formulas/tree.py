"""The raw formula: a SymPy expression in x0, x1, ... of standardised inputs and target."""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Expr, Symbol

from smoothray.errors import StudentError
from smoothray.formulas.algebra import exponent, number, power
from smoothray.formulas.functions import ELEMENTARY, rebuild

PASSES = 6
MOST_NODES = 2000
"""The largest formula that is worked with. Every symbolic step takes time that grows with the size, so this
bounds them all. A cube root names its argument twice, twenty within each other a million times."""
_TRANSCENDENTAL = frozenset(ELEMENTARY) - {sympy.Abs, sympy.sign, sympy.floor, sympy.ceiling}
_COMPOSITE = frozenset({sympy.Add, sympy.Mul, sympy.Pow, sympy.Max, sympy.Min, *ELEMENTARY})


def variables(d: int) -> tuple[Symbol, ...]:
    """The symbols x0 .. x{d-1} of a raw formula, without assumptions."""
    return tuple(Symbol(f"x{i}") for i in range(d))


def complexity(expr: Expr) -> int:
    """The number of nodes of the SymPy tree, SRBench's model size (La Cava et al., 2021)."""
    sizes: dict[Expr, int] = {}  # a part that stands in many places is counted through once

    def size(node: Expr) -> int:
        if not node.args:
            return 1
        if node not in sizes:
            sizes[node] = 1 + sum(map(size, node.args))
        return sizes[node]

    return size(expr)


def nesting_of(expr: Expr) -> int:
    """How deep functions such as sin, exp, log or tanh stand within each other's arguments.

    0 without any, 1 for sin(x) + log(y), 2 for sin(x + log(y)). Powers, roots, abs, max and min do not count.
    """
    depths: dict[Expr, int] = {}

    def depth(node: Expr) -> int:
        if not node.args:
            return 0
        if node not in depths:
            depths[node] = max(map(depth, node.args)) + (node.func in _TRANSCENDENTAL)
        return depths[node]

    return depth(expr)


def replace_leaves(expr: Expr, leaf: Callable[[Expr], Expr]) -> Expr:
    """The tree built anew with leaf(node) in place of every symbol and constant, all at once."""
    done: dict[Expr, Expr] = {}

    def visit(node: Expr) -> Expr:
        if not node.args:
            return leaf(node)
        if node not in done:
            done[node] = rebuild(node.func, [visit(argument) for argument in node.args])
        return done[node]

    return visit(expr)


def clean(expr: Expr) -> Expr:
    """The same function with every constant a plain double, and nothing in it that cannot be used.

    E, pi, fractions and integers become Floats; small integers and 1/2 stay exact as exponents, and
    so does a factor of -1. What SymPy adds for complex numbers (re, conjugate) is taken for real.

    Raises:
        StudentError: a constant is not finite and real (nan, zoo, oo, I), a function is unknown, or the
            formula has more than `MOST_NODES` nodes.
    """
    expr = sympy.sympify(expr)
    _check_size(expr)
    for _ in range(PASSES):
        # A pass may meet new exact constants: SymPy makes 2*x of x + x.
        cleaned = _clean(expr, {})
        _check_size(cleaned)
        if cleaned == expr:
            return cleaned
        expr = cleaned
    return expr


def _check_size(expr: Expr) -> None:
    nodes = complexity(expr)
    if nodes > MOST_NODES:
        raise StudentError(
            f"the formula has {nodes:,} nodes; the most that is worked with is {MOST_NODES:,}"
        )


def _clean(node: Expr, done: dict[Expr, Expr]) -> Expr:
    if node in done:
        return done[node]
    if node.is_Symbol:
        cleaned = node
    elif not node.args:
        cleaned = number(_value(node))
    elif node.func in (sympy.re, sympy.conjugate):
        cleaned = _clean(node.args[0], done)
    elif node.func is sympy.im:
        cleaned = number(0.0)
    elif node.is_Pow and node.exp.is_number:
        cleaned = power(_clean(node.base, done), exponent(_value(node.exp)))
    elif node.func in _COMPOSITE:
        cleaned = rebuild(node.func, [_clean(argument, done) for argument in node.args])
    else:
        raise StudentError(
            f"the formula uses {node.func.__name__}, which is not among the functions that can be "
            "evaluated and printed; choose other operators"
        )
    done[node] = cleaned
    return cleaned


def _value(constant: Expr) -> float:
    try:
        return float(constant)
    except (TypeError, ValueError, OverflowError):
        raise StudentError(
            f"the formula holds the constant {constant}, which is no real number; "
            "use another formula"
        ) from None
