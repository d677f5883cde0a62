"""How a formula is written down in any notation: signs, fractions, roots, order of terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import sympy
from sympy import Expr

from smoothray.errors import StudentError
from smoothray.formulas.functions import ELEMENTARY, Elementary


@dataclass(frozen=True)
class Number:
    """A constant >= 0."""

    value: float


@dataclass(frozen=True)
class Name:
    name: str


@dataclass(frozen=True)
class Minus:
    body: Node


@dataclass(frozen=True)
class Sum:
    """terms: (whether it is subtracted, the term); the first is not, unless all are."""

    terms: tuple[tuple[bool, Node], ...]


@dataclass(frozen=True)
class Product:
    """The product of `numerator` (never empty) over that of `denominator` (often empty)."""

    numerator: tuple[Node, ...]
    denominator: tuple[Node, ...]


@dataclass(frozen=True)
class Power:
    base: Node
    index: Node


@dataclass(frozen=True)
class Root:
    body: Node


@dataclass(frozen=True)
class Call:
    function: Elementary
    argument: Node


@dataclass(frozen=True)
class Extreme:
    """name: "max" or "min"."""

    name: str
    arguments: tuple[Node, ...]


Node: TypeAlias = Number | Name | Minus | Sum | Product | Power | Root | Call | Extreme

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4  # how tightly a notation binds


def layout(expr: Expr) -> Node:
    """What is to be written for `expr`.

    Raises:
        StudentError: the formula holds a function that has no notation here, or no real value.
    """
    if expr.is_Symbol:
        return Name(expr.name)
    if expr.is_Add:
        return _sum(expr)
    if expr.is_Mul or expr.is_Pow:
        return _product(expr)
    if expr.func in ELEMENTARY:
        return Call(ELEMENTARY[expr.func], layout(expr.args[0]))
    if expr.func in (sympy.Max, sympy.Min):
        name = "max" if expr.func is sympy.Max else "min"
        return Extreme(name, tuple(layout(argument) for argument in expr.args))
    if not expr.args and expr.is_real:
        value = float(expr)
        return Minus(Number(-value)) if value < 0 else Number(value)
    raise StudentError(f"the formula holds {expr.func.__name__}, which cannot be printed")


def _sum(expr: Expr) -> Node:
    """Constants last, and something that is added first if there is any."""
    ordered = sorted(expr.args, key=lambda term: term.is_Number)
    terms = [
        (True, term.body) if isinstance(term, Minus) else (False, term)
        for term in map(layout, ordered)
    ]
    first = next((i for i, (negative, _) in enumerate(terms) if not negative), 0)
    return Sum((terms[first], *terms[:first], *terms[first + 1 :]))


def _product(expr: Expr) -> Node:
    coefficient, rest = expr.as_coeff_Mul()
    numerator: list[Node] = []
    denominator: list[Node] = []
    for factor in rest.args if rest.is_Mul else (rest,):
        if factor.is_Pow and factor.exp.is_Number and factor.exp.is_negative:
            denominator.append(_power(factor.base, -factor.exp))
        else:
            numerator.append(_power(factor.base, factor.exp) if factor.is_Pow else layout(factor))
    size = abs(float(coefficient))
    if size != 1.0 or not numerator:
        numerator.insert(0, Number(size))
    alone = len(numerator) == 1 and not denominator
    body = numerator[0] if alone else Product(tuple(numerator), tuple(denominator))
    return Minus(body) if coefficient.is_negative else body


def _power(base: Expr, index: Expr) -> Node:
    if index == 1:
        return layout(base)
    if index == sympy.Rational(1, 2):
        return Root(layout(base))
    return Power(layout(base), layout(index))


def digits(value: float) -> str:
    """The shortest decimal that reads back as the same double: 2, 0.5, 1.2e-05."""
    return str(int(value)) if value == int(value) and value < 1e15 else repr(value)


class Notation(ABC):
    """Writes a layout; each notation says how its parts look, this class where brackets go.

    power_base: how tightly the base of a power must bind to stand without brackets.
    power_index: the same for its exponent.
    bare_fractions: whether numerator and denominator stand without brackets.
    """

    power_base = ATOM
    power_index = ATOM
    bare_fractions = False

    def write(self, node: Node, least: int = 0) -> str:
        """The notation of `node`, in brackets where it binds less tightly than `least`."""
        written, strength = self._write(node)
        return written if strength >= least else self.brackets(written)

    def _write(self, node: Node) -> tuple[str, int]:
        if isinstance(node, Number):
            return self.number(digits(node.value))
        if isinstance(node, Name):
            return self.name(node.name), ATOM
        if isinstance(node, Minus):
            return self.minus(self.write(node.body, PRODUCT)), SUM
        if isinstance(node, Sum):
            terms = [(negative, self.write(term, PRODUCT)) for negative, term in node.terms]
            return self.sum(terms), SUM
        if isinstance(node, Product):
            return self._product(node), PRODUCT
        if isinstance(node, Power):
            base = self.write(node.base, self.power_base)
            return self.power(base, self.write(node.index, self.power_index)), POWER
        if isinstance(node, Root):
            return self.root(self.write(node.body)), ATOM
        if isinstance(node, Call):
            return self.call(node.function, self.write(node.argument)), self.call_strength(node)
        arguments = [self.write(argument) for argument in node.arguments]
        return self.extreme(node.name, arguments), ATOM

    def _product(self, node: Product) -> str:
        least = PRODUCT
        if not node.denominator:
            return self.product([self.write(factor, least) for factor in node.numerator])
        above, below = [
            self.write(part[0], 0 if self.bare_fractions else strength)
            if len(part) == 1
            else self.product([self.write(factor, least) for factor in part])
            for part, strength in ((node.numerator, least), (node.denominator, POWER))
        ]
        if len(node.denominator) > 1 and not self.bare_fractions:
            below = self.brackets(below)
        return self.fraction(above, below)

    def call_strength(self, node: Call) -> int:
        return ATOM

    @abstractmethod
    def number(self, text: str) -> tuple[str, int]:
        """A number, and how tightly its notation binds."""

    @abstractmethod
    def name(self, name: str) -> str: ...

    @abstractmethod
    def brackets(self, body: str) -> str: ...

    @abstractmethod
    def minus(self, body: str) -> str: ...

    @abstractmethod
    def sum(self, terms: Sequence[tuple[bool, str]]) -> str: ...

    @abstractmethod
    def product(self, factors: Sequence[str]) -> str: ...

    @abstractmethod
    def fraction(self, above: str, below: str) -> str: ...

    @abstractmethod
    def power(self, base: str, index: str) -> str: ...

    @abstractmethod
    def root(self, body: str) -> str: ...

    @abstractmethod
    def call(self, function: Elementary, argument: str) -> str: ...

    @abstractmethod
    def extreme(self, name: str, arguments: Sequence[str]) -> str: ...
