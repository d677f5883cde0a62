"""A formula's structure: what is left of it when every constant is only called a constant."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sympy import Abs, Expr, Integer, Rational

from smoothray.formulas.functions import ELEMENTARY

_SLOT = "\x00"  # where a constant stands; no column's name has it


@dataclass(frozen=True)
class Structure:
    """What formulas that differ in their constants alone have in common, and one formula's constants.

    text: the formula with c1, c2, ... for its constants. constants: their values, in that order.
    """

    text: str
    constants: tuple[float, ...]


class _Part(NamedTuple):
    """scale * key, where the key's slots take the constants in their order."""

    scale: float
    key: str
    constants: tuple[float, ...] = ()

    def whole(self) -> tuple[str, tuple[float, ...]]:
        """The same with the scale as a constant of its own."""
        if self.key == "1":
            return _SLOT, (self.scale,)
        return _product([_SLOT, self.key]), (self.scale, *self.constants)


def structure_of(expr: Expr) -> Structure:
    """The structure of a formula, as `clean` leaves it.

    Exponents that are whole numbers or 1/2 belong to it, and so do the functions; coefficients of 1 count as
    constants like any other, and 2*(x + 3) is 2*x + 6.

    >>> from sympy import Symbol
    >>> x, y = Symbol("x"), Symbol("y")
    >>> structure_of(2.5 * x * y + 3.0)
    Structure(text='c1*x*y + c2', constants=(2.5, 3.0))
    >>> structure_of(2.0 * (x + 3.0)).text == structure_of(x - 7.0).text
    True
    """
    key, constants = _whole(expr)
    numbers = itertools.count(1)
    return Structure(re.sub(_SLOT, lambda _: f"c{next(numbers)}", key), constants)


def _whole(node: Expr) -> tuple[str, tuple[float, ...]]:
    """A sum, or anything else, with all its constants as they are."""
    terms = _terms(node)
    keys: list[str] = []
    constants: list[float] = []
    for term in terms:
        key, values = term.whole()
        keys.append(key)
        constants += values
    return " + ".join(keys), tuple(constants)


def _terms(node: Expr) -> list[_Part]:
    """What a node is the sum of, in an order that constants do not change."""
    parts = list(_addends(node, 1.0))
    merged: dict[tuple[str, tuple[float, ...]], float] = {}
    for part in parts:
        place = part.key, part.constants
        merged[place] = merged.get(place, 0.0) + part.scale
    summed = [_Part(scale, *place) for place, scale in merged.items()]
    return sorted(summed, key=lambda part: (part.key == "1", part.key, part.scale))


def _addends(node: Expr, factor: float) -> Iterable[_Part]:
    coefficient, core = node.as_coeff_Mul()
    factor *= float(coefficient)
    if core.is_Add:
        for argument in core.args:
            yield from _addends(argument, factor)
    else:
        part = _part(core)
        yield part._replace(scale=factor * part.scale)


def _part(node: Expr) -> _Part:
    if node.is_Symbol:
        return _Part(1.0, node.name)
    if node.is_Number:
        return _Part(float(node), "1")
    if node.is_Mul:
        parts = [_part(argument) for argument in node.args]
        kept = sorted((part for part in parts if part.key != "1"), key=lambda part: part.key)
        key = _product([part.key for part in kept]) or "1"
        constants = tuple(c for part in kept for c in part.constants)
        return _Part(math.prod(part.scale for part in parts), key, constants)
    if node.is_Add:
        return _sum(node)
    if node.is_Pow and node.exp.is_Number:
        return _power(node)
    if node.is_Pow:
        exponent, index = _whole(node.exp)
        key, constants = _whole(node.base)
        return _Part(1.0, f"({key})**({exponent})", (*constants, *index))
    if isinstance(node, Abs):
        part = _part(node.args[0])
        return _Part(abs(part.scale), f"abs({part.key})", part.constants)
    elementary = ELEMENTARY.get(node.func)
    name = elementary.name if elementary else node.func.__name__.lower()
    inner = sorted(_whole(argument) for argument in node.args)
    keys = ", ".join(key for key, _ in inner)
    return _Part(1.0, f"{name}({keys})", tuple(c for _, values in inner for c in values))


def _product(keys: list[str]) -> str:
    """Factors in their order, those that divide last."""
    above = "*".join(key for key in keys if not key.startswith("1/"))
    below = "".join(key[1:] for key in keys if key.startswith("1/"))
    return (above or "1" * bool(below)) + below


def _sum(node: Expr) -> _Part:
    """A sum within a product: the coefficient of its first term is taken out."""
    first, *others = _terms(node)
    pivot = first.scale or 1.0
    keys, constants = [first.key], [*first.constants]
    for other in others:
        key, values = other._replace(scale=other.scale / pivot).whole()
        keys.append(key)
        constants += values
    return _Part(pivot, f"({' + '.join(keys)})", tuple(constants))


def _power(node: Expr) -> _Part:
    part, index = _part(node.base), node.exp
    key = part.key if node.base.is_Symbol or node.base.is_Add else f"({part.key})"
    if isinstance(index, Integer):
        power = f"1/{key}" if index == -1 else f"{key}**{index}"
        return _Part(part.scale ** int(index), power, part.constants)
    # A root of a negative factor has no value of its own: its sign stays under the root.
    scale = abs(part.scale) ** float(index)
    inside = "-" * (part.scale < 0) + part.key
    if index == Rational(1, 2):
        return _Part(scale, f"sqrt({inside})", part.constants)
    if isinstance(index, Rational):
        return _Part(scale, f"({inside})**({index})", part.constants)
    return _Part(scale, f"({inside})**{_SLOT}", (*part.constants, float(index)))
