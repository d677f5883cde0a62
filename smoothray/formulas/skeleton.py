"""A formula as nested tuples, for what takes it apart thousands of times: SymPy is too slow for that.

A node is ("x", column), ("c", value), ("+", term, ...), ("*", factor, ...), ("^", base, exponent),
("pow", base, exponent as a node), ("max", ...), ("min", ...), or the name of an `ELEMENTARY` function and its
argument. The builders keep one form for what is the same but for its constants: one constant a sum and a
product at most, no constant that a neighbour could take over, parts in a fixed order. `size` counts as
SymPy's tree does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from sympy import Expr, Symbol

from smoothray.errors import StudentError
from smoothray.formulas.algebra import (
    LARGEST_EXACT_EXPONENT,
    LARGEST_LIFT,
    add,
    exponent,
    multiply,
    number,
    power,
)
from smoothray.formulas.functions import ELEMENTARY, rebuild

Node = tuple[Any, ...]
FUNCTIONS = {each.name: cls for cls, each in ELEMENTARY.items()}
NAMES = {cls: name for name, cls in FUNCTIONS.items()}
ODD = frozenset({"sin", "tan", "sinh", "tanh", "arcsin", "arctan", "arcsinh", "arctanh", "sign"})
EVEN = frozenset({"cos", "cosh", "abs"})
ZERO, ONE = ("c", 0.0), ("c", 1.0)


def constant(value: float) -> Node:
    """Raises StudentError where the value is not finite."""
    if not np.isfinite(value):
        raise StudentError(f"a constant of the formula comes to {value}")
    return "c", float(value)


@lru_cache(maxsize=1 << 13)
def size(node: Node) -> int:
    """The nodes of SymPy's tree of the same form."""
    head = node[0]
    if head in ("x", "c"):
        return 1
    if head == "^":
        return 2 + size(node[1])
    return 1 + sum(map(size, node[1:]))


@lru_cache(maxsize=1 << 13)
def key(node: Node) -> str:
    """The node's structure: equal for formulas that differ in their constants alone."""
    head = node[0]
    if head == "c":
        return "c"
    if head == "x":
        return f"x{node[1]}"
    if head == "^":
        return f"({key(node[1])}^{node[2]:g})"
    return f"({head} {' '.join(map(key, node[1:]))})"


def constants(node: Node) -> list[float]:
    """The constants, in the order in which `with_constants` takes them; exponents of "^" are none."""
    if node[0] == "c":
        return [node[1]]
    if node[0] == "x":
        return []
    return [value for child in children(node) for value in constants(child)]


def with_constants(node: Node, values: Iterator[float]) -> Node:
    """The same structure with other constants."""
    if node[0] == "c":
        return "c", float(next(values))
    if node[0] == "x":
        return node
    if node[0] == "^":
        return "^", with_constants(node[1], values), node[2]
    return (node[0], *[with_constants(child, values) for child in node[1:]])


def children(node: Node) -> tuple[Node, ...]:
    """The nodes that it is made of; an exponent of "^" is none."""
    if node[0] in ("x", "c"):
        return ()
    return node[1:2] if node[0] == "^" else node[1:]


# Builders


def add_up(terms: Sequence[Node]) -> Node:
    """The sum: sums within it spread where that is no longer, like terms and constants merged."""
    weights, offset = _collected(terms, 1.0)
    closed = [core for core in weights if core[0] == "+"]
    if closed and (len(weights) > 1 or offset):
        # What shares one weight stays together, and all else goes in with it: one sum less.
        pivot = weights.pop(max(closed, key=lambda core: (len(core), key(core))))
        inner = max(closed, key=lambda core: (len(core), key(core)))
        rest = [_weighted(core, weight / pivot) for core, weight in weights.items()]
        rest.append(constant(offset / pivot))
        return product([constant(pivot), add_up([*inner[1:], *rest])])
    return _sum_of(weights, offset)


def _sum_of(weights: Mapping[Node, float], offset: float) -> Node:
    parts = sorted((key(core), weight, core) for core, weight in weights.items())
    kept = [_weighted(core, weight) for _, weight, core in parts]
    if offset or not kept:
        kept.append(constant(offset))
    return kept[0] if len(kept) == 1 else ("+", *kept)


def _collected(terms: Sequence[Node], factor: float) -> tuple[dict[Node, float], float]:
    """What the terms come to: each part with its weight, and the sum of the constants."""
    weights: dict[Node, float] = {}
    offset = 0.0

    def put(term: Node, weight: float) -> None:
        nonlocal offset
        weight_here, core = split_weight(term)
        weight *= weight_here
        if core == ONE:
            offset += weight
        elif core[0] == "+" and (weight == 1.0 or _units(core) <= 1):
            for part in core[1:]:
                put(part, weight)
        else:
            weights[core] = weights.get(core, 0.0) + weight

    for term in terms:
        put(term, factor)
    return {core: weight for core, weight in weights.items() if weight}, offset


def split_weight(term: Node) -> tuple[float, Node]:
    """A term's constant factor, and what is left of it: 1 of a constant."""
    if term[0] == "c":
        return term[1], ONE
    if term[0] == "*" and term[1][0] == "c":
        return term[1][1], term[2] if len(term) == 3 else ("*", *term[2:])
    return 1.0, term


def _weighted(core: Node, weight: float) -> Node:
    if weight == 1.0:
        return core
    return ("*", constant(weight), *(core[1:] if core[0] == "*" else (core,)))


def _units(total: Node) -> int:
    """How many of a sum's terms have no weight."""
    return sum(not _is_weighted(term) for term in total[1:])


def _is_weighted(term: Node) -> bool:
    """Whether it is a constant, or has a constant factor that is not 1."""
    return term[0] == "c" or (term[0] == "*" and term[1][0] == "c" and term[1][1] != 1.0)


def product(factors: Sequence[Node]) -> Node:
    """The product: constants merged, powers of the same base, and exponentials."""
    coefficient = 1.0
    powers: dict[Node, float] = {}
    exponents: list[Node] = []
    pending = list(factors)
    while pending:
        factor = pending.pop(0)
        head = factor[0]
        if head == "c":
            coefficient *= factor[1]
        elif head == "*":
            pending[:0] = factor[1:]
        elif head == "exp":
            exponents.append(factor[1])
        elif head == "+":
            scale, body = _pulled(factor)
            coefficient *= scale
            powers[body] = powers.get(body, 0.0) + 1.0
        else:
            base, index = factor[1:] if head == "^" else (factor, 1.0)
            powers[base] = powers.get(base, 0.0) + index
    if coefficient == 0.0:
        return ZERO
    parts = [
        base if index == 1.0 else ("^", base, index) for base, index in powers.items() if index
    ]
    if exponents:
        grown = apply("exp", add_up(exponents))
        scale, core = split_weight(grown)
        coefficient *= scale
        parts += [] if core == ONE else [core]
    if any(part[0] == "*" for part in parts):
        return product([constant(coefficient), *parts])
    if not parts:
        return constant(coefficient)
    if len(parts) == 1:
        (part,) = parts
        if part[0] == "+" and coefficient != 1.0 and _units(part) <= 1:
            return _sum_of(*_collected(part[1:], coefficient))
        return _weighted(part, coefficient)
    parts.sort(key=key)
    return ("*", *([] if coefficient == 1.0 else [constant(coefficient)]), *parts)


def _pulled(total: Node) -> tuple[float, Node]:
    """A sum as a factor times a sum of which one term has no weight."""
    if _units(total):
        return 1.0, total
    weights = [split_weight(term)[0] for term in total[1:] if term[0] != "c"]
    pivot = next((weight for weight in weights if weight > 0), weights[0])
    return pivot, _sum_of(*_collected(total[1:], 1.0 / pivot))


def raised(base: Node, index: float) -> Node:
    """A fixed power: a whole number or half of one."""
    head = base[0]
    whole = index == int(index)
    if index == 1.0:
        return base
    if head == "c":
        return _power_of(base[1], index)
    if head == "exp":
        return apply("exp", product([constant(index), base[1]]))
    if head == "^" and (whole or base[2] % 2):
        return raised(base[1], base[2] * index)
    if head == "*" and whole:
        return product([raised(factor, index) for factor in base[1:]])
    if head in ("*", "+"):
        scale, body = split_weight(base) if head == "*" else _pulled(base)
        if scale != 1.0 and (whole or scale > 0):
            return product([_power_of(scale, index), ("^", body, index)])
        if scale < 0 and scale != -1.0:
            return product([_power_of(-scale, index), ("^", _weighted(body, -1.0), index)])
    return "^", base, index


def _power_of(value: float, index: float) -> Node:
    with np.errstate(all="ignore"):
        return constant(float(np.power(np.float64(value), index)))


def apply(name: str, argument: Node) -> Node:
    """A function of one argument; constants that can stand outside do."""
    if argument[0] == "c":
        with np.errstate(all="ignore"):
            ufunc = ELEMENTARY[FUNCTIONS[name]].ufunc
            return constant(float(ufunc(np.float64(argument[1]))))
    if name == "exp" and argument[0] == "+" and argument[-1][0] == "c":
        shift = argument[-1][1]
        if abs(shift) <= LARGEST_LIFT:
            return product([constant(float(np.exp(shift))), (name, add_up(argument[1:-1]))])
    if name == "exp" and argument[0] == "log":
        return argument[1]
    if name == "log" and argument[0] == "exp":
        return argument[1]
    scale, core = _pulled(argument) if argument[0] == "+" else split_weight(argument)
    if scale == 1.0:
        return name, argument
    if name == "log":
        inner = core if scale > 0 else _weighted(core, -1.0)
        return add_up([("log", inner), constant(float(np.log(abs(scale))))])
    if name == "abs":
        return product([constant(abs(scale)), (name, core)])
    if name == "sign":
        return product([constant(float(np.sign(scale))), (name, core)])
    if scale < 0 and argument[0] != "+":
        if name in ODD:
            return product([("c", -1.0), (name, _weighted(core, -scale))])
        if name in EVEN:
            return name, _weighted(core, -scale)
    return name, argument


def build(head: str, children: Sequence[Node]) -> Node:
    """A node from its parts. Of "^" the exponent is the last."""
    if head == "+":
        return add_up(children)
    if head == "*":
        return product(children)
    if head == "^":
        return raised(children[0], float(children[1]))  # type: ignore[arg-type]
    if head == "pow":
        base, index = children
        if index[0] == "c" and _fixed(index[1]):
            return raised(base, index[1])
        if base[0] == "c" and index[0] == "c":
            return _power_of(base[1], index[1])
        return head, base, index
    if head in ("max", "min"):
        if len(children) == 1:
            return children[0]
        return (head, *sorted(children, key=key))
    return apply(head, children[0])


def _fixed(index: float) -> bool:
    """Whether an exponent belongs to the structure."""
    return abs(index) == 0.5 or (index == int(index) and abs(index) <= LARGEST_EXACT_EXPONENT)


# From and to SymPy


def from_sympy(expr: Expr, positions: Mapping[str, int]) -> Node:
    """A formula whose symbols stand at these columns.

    Raises StudentError for what has no form here.
    """
    if expr.is_Symbol:
        if expr.name not in positions:
            raise StudentError(f"the formula has the variable {expr.name!r}, which is no column")
        return "x", positions[expr.name]
    if not expr.args:
        try:
            return constant(float(expr))
        except (TypeError, ValueError, OverflowError):
            raise StudentError(f"the formula holds {expr}, which is no real number") from None
    if expr.is_Pow and expr.exp.is_Number and _fixed(float(expr.exp)):
        return raised(from_sympy(expr.base, positions), float(expr.exp))
    head = HEADS.get(expr.func) or NAMES.get(expr.func)
    if head is None:
        raise StudentError(f"the formula uses {expr.func.__name__}, which has no form here")
    return build(head, [from_sympy(argument, positions) for argument in expr.args])


HEADS: dict[type[Expr], str] = {
    sympy.Add: "+", sympy.Mul: "*", sympy.Pow: "pow", sympy.Max: "max", sympy.Min: "min",
}  # fmt: skip


def to_sympy(node: Node, symbols: Sequence[Symbol]) -> Expr:
    """The formula in the columns' symbols."""
    head = node[0]
    if head == "x":
        return symbols[node[1]]
    if head == "c":
        return number(node[1])
    parts = [to_sympy(child, symbols) for child in children(node)]
    if head == "^":
        return power(parts[0], exponent(node[2]))
    if head in ("+", "*"):
        return add(*parts) if head == "+" else multiply(*parts)
    if head == "pow":
        return power(*parts)
    if head in ("max", "min"):
        return rebuild(sympy.Max if head == "max" else sympy.Min, parts)
    return rebuild(FUNCTIONS[head], parts)


def substituted(node: Node, values: Mapping[int, Node]) -> Node:
    """The formula with other nodes for its columns."""
    if node[0] == "x":
        return values[node[1]]
    if node[0] == "c":
        return node
    if node[0] == "^":
        return raised(substituted(node[1], values), node[2])
    return build(node[0], [substituted(child, values) for child in node[1:]])
