"""A formula as presentation MathML, which browsers show without any script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from sympy import Expr

from smoothray.formulas.functions import Elementary
from smoothray.formulas.layout import ATOM, POWER, PRODUCT, Call, Notation, layout

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FENCES = {"abs": ("|", "|"), "floor": ("⌊", "⌋"), "ceil": ("⌈", "⌉")}


def to_mathml(expr: Expr) -> str:
    """The formula as one <math> element. Column names stand as they are, upright and escaped."""
    body = MathmlNotation().write(layout(expr))
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{body}</math>'


def _row(*parts: str) -> str:
    return f"<mrow>{''.join(parts)}</mrow>"


def _operator(sign: str) -> str:
    return f"<mo>{sign}</mo>"


class MathmlNotation(Notation):
    """Every method returns exactly one element."""

    power_index = 0
    bare_fractions = True

    def number(self, text: str) -> tuple[str, int]:
        mantissa, _, index = text.partition("e")
        if not index:
            return f"<mn>{text}</mn>", ATOM
        sign = _operator("−") if index.startswith("-") else ""
        power = f"<msup><mn>10</mn>{_row(sign, f'<mn>{abs(int(index))}</mn>')}</msup>"
        if mantissa == "1":
            return power, POWER
        return self.product([f"<mn>{mantissa}</mn>", power]), PRODUCT

    def name(self, name: str) -> str:
        escaped = escape(_NOT_XML.sub("\ufffd", name))
        if name.isidentifier():
            return f'<mi mathvariant="normal">{escaped}</mi>'
        return f"<mtext>{escaped}</mtext>"

    def brackets(self, body: str) -> str:
        return _row(_operator("("), body, _operator(")"))

    def minus(self, body: str) -> str:
        return _row(_operator("−"), body)

    def sum(self, terms: Sequence[tuple[bool, str]]) -> str:
        (negative, first), *others = terms
        parts = [_operator("−"), first] if negative else [first]
        for minus, term in others:
            parts += [_operator("−" if minus else "+"), term]
        return _row(*parts)

    def product(self, factors: Sequence[str]) -> str:
        return _row(_operator("⋅").join(factors))

    def fraction(self, above: str, below: str) -> str:
        return f"<mfrac>{above}{below}</mfrac>"

    def power(self, base: str, index: str) -> str:
        return f"<msup>{base}{index}</msup>"

    def root(self, body: str) -> str:
        return f"<msqrt>{body}</msqrt>"

    def call(self, function: Elementary, argument: str) -> str:
        if function.name in _FENCES:
            left, right = _FENCES[function.name]
            return _row(_operator(left), argument, _operator(right))
        return self._applied(function.short, argument)

    def call_strength(self, node: Call) -> int:
        return ATOM if node.function.name in _FENCES else POWER

    def extreme(self, name: str, arguments: Sequence[str]) -> str:
        return self._applied(name, _row(_operator(",").join(arguments)))

    def _applied(self, name: str, argument: str) -> str:
        return _row(f"<mi>{name}</mi>", _operator("&#x2061;"), self.brackets(argument))
