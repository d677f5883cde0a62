"""A formula as presentation MathML, which browsers show without any script.

SymPy's own printer leaves out the brackets of -(a + b) and builds a document for every formula.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from sympy import Expr

from smoothray.formulas.functions import ELEMENTARY
from smoothray.formulas.text import POWER, PRODUCT, TextWriter, digits

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FENCES = {"abs": "||", "floor": "⌊⌋", "ceil": "⌈⌉"}
_SIGNS = {"-": "−", "*": "⋅"}


def to_mathml(expr: Expr) -> str:
    """The formula as one <math> element. Column names stand as they are, upright and escaped."""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{_MathmlWriter().write(expr)}</math>'


class _MathmlWriter(TextWriter):
    """Every method returns exactly one element."""

    bare = True

    def strength(self, expr: Expr) -> int:
        if expr.is_Float and "e" in digits(expr):
            return min(PRODUCT, super().strength(expr))
        named = expr.func in ELEMENTARY and ELEMENTARY[expr.func].name not in _FENCES
        return POWER if named else super().strength(expr)

    def name(self, name: str) -> str:
        escaped = escape(_NOT_XML.sub("\ufffd", name))
        if name.isidentifier():
            return f'<mi mathvariant="normal">{escaped}</mi>'
        return f"<mtext>{escaped}</mtext>"

    def number(self, text: str) -> str:
        mantissa, _, index = text.partition("e")
        if not index:
            return f"<mn>{text}</mn>"
        sign = self.sign("-") if index.startswith("-") else ""
        power = self.power("<mn>10</mn>", self.row(sign, f"<mn>{abs(int(index))}</mn>"))
        return power if mantissa == "1" else self.row(f"<mn>{mantissa}</mn>", self.sign("*"), power)

    def sign(self, sign: str) -> str:
        return f"<mo>{_SIGNS.get(sign.strip(), sign.strip())}</mo>"

    def row(self, *parts: str) -> str:
        return f"<mrow>{''.join(parts)}</mrow>"

    def fraction(self, above: str, below: str) -> str:
        return f"<mfrac>{above}{below}</mfrac>"

    def power(self, base: str, index: str) -> str:
        return f"<msup>{base}{index}</msup>"

    def root(self, body: str) -> str:
        return f"<msqrt>{body}</msqrt>"

    def call(self, name: str, arguments: Sequence[str]) -> str:
        body = self.sign(",").join(arguments)
        if name in _FENCES:
            left, right = map(self.sign, _FENCES[name])
            return self.row(left, body, right)
        body = body if len(arguments) == 1 else self.row(body)
        called = "ln" if name == "log" else name
        return self.row(f"<mi>{called}</mi>", self.sign("&#x2061;"), self.brackets(body))
