"""A formula as LaTeX mathematics (amsmath, MathJax, KaTeX)."""

from __future__ import annotations

from collections.abc import Sequence

from sympy import Expr

from smoothray.formulas.functions import Elementary
from smoothray.formulas.layout import ATOM, POWER, PRODUCT, Call, Notation, layout

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "`": r"\textasciigrave{}",
    **{sign: "\\" + sign for sign in "{}%#$&_"},
}
_FENCES = {
    "abs": (r"\left|", r"\right|"),
    "floor": (r"\left\lfloor ", r"\right\rfloor"),
    "ceil": (r"\left\lceil ", r"\right\rceil"),
}


def to_latex(expr: Expr) -> str:
    r"""The formula in LaTeX, without dollar signs.

    Column names stand as they are, upright: \mathrm{lambda} is no Greek letter, and names that
    are no identifiers are in \text{...}. log is written \ln.
    """
    return LatexNotation().write(layout(expr))


class LatexNotation(Notation):
    power_index = 0
    bare_fractions = True

    def number(self, text: str) -> tuple[str, int]:
        mantissa, _, index = text.partition("e")
        if not index:
            return text, ATOM
        power = f"10^{{{int(index)}}}"
        return (power, POWER) if mantissa == "1" else (rf"{mantissa} \cdot {power}", PRODUCT)

    def name(self, name: str) -> str:
        escaped = "".join(_ESCAPES.get(sign, sign) for sign in name)
        return (r"\mathrm{%s}" if name.isidentifier() else r"\text{%s}") % " ".join(
            escaped.splitlines()
        )

    def brackets(self, body: str) -> str:
        return rf"\left({body}\right)"

    def minus(self, body: str) -> str:
        return f"-{body}"

    def sum(self, terms: Sequence[tuple[bool, str]]) -> str:
        (negative, first), *others = terms
        start = self.minus(first) if negative else first
        return start + "".join(f" {'-' if minus else '+'} {term}" for minus, term in others)

    def product(self, factors: Sequence[str]) -> str:
        return r" \cdot ".join(factors)

    def fraction(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, index: str) -> str:
        return f"{base}^{{{index}}}"

    def root(self, body: str) -> str:
        return rf"\sqrt{{{body}}}"

    def call(self, function: Elementary, argument: str) -> str:
        if function.name in _FENCES:
            left, right = _FENCES[function.name]
            return f"{left}{argument}{right}"
        return function.latex + self.brackets(argument)

    def call_strength(self, node: Call) -> int:
        return ATOM if node.function.name in _FENCES else POWER

    def extreme(self, name: str, arguments: Sequence[str]) -> str:
        return rf"\{name}" + self.brackets(", ".join(arguments))
