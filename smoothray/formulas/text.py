"""A formula as plain text, which `parse` and `pandas.DataFrame.eval` read."""

from __future__ import annotations

import keyword
from collections.abc import Sequence

from sympy import Expr

from smoothray.formulas.functions import VOCABULARY, Elementary
from smoothray.formulas.layout import ATOM, Notation, layout


def to_text(expr: Expr) -> str:
    """The formula in infix.

    `parse` reads it back as the same function. So does `DataFrame.eval(text, engine="python")` of
    pandas, but for sign, max and min and for names with a backtick or a line break, which it lacks.
    A name that is no plain identifier, is a Python keyword or the name of a function stands in
    backticks; a backtick within it is doubled.
    """
    return InfixNotation().write(layout(expr))


class InfixNotation(Notation):
    def number(self, text: str) -> tuple[str, int]:
        return text, ATOM

    def name(self, name: str) -> str:
        # Python reads identifiers beyond ASCII in a normal form that may differ from the name.
        plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
        return name if plain and name not in VOCABULARY else "`" + name.replace("`", "``") + "`"

    def brackets(self, body: str) -> str:
        return f"({body})"

    def minus(self, body: str) -> str:
        return f"-{body}"

    def sum(self, terms: Sequence[tuple[bool, str]]) -> str:
        (negative, first), *others = terms
        start = self.minus(first) if negative else first
        return start + "".join(f" {'-' if minus else '+'} {term}" for minus, term in others)

    def product(self, factors: Sequence[str]) -> str:
        return "*".join(factors)

    def fraction(self, above: str, below: str) -> str:
        return f"{above}/{below}"

    def power(self, base: str, index: str) -> str:
        return f"{base}**{index}"

    def root(self, body: str) -> str:
        return f"sqrt({body})"

    def call(self, function: Elementary, argument: str) -> str:
        return f"{function.name}({argument})"

    def extreme(self, name: str, arguments: Sequence[str]) -> str:
        return f"{name}({', '.join(arguments)})"
