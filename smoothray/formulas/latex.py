"""A formula as LaTeX mathematics (amsmath, MathJax, KaTeX)."""

from __future__ import annotations

from sympy import Expr
from sympy.printing.latex import LatexPrinter

from smoothray.formulas.text import digits, ordered_terms

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "`": r"\textasciigrave{}",
    **{sign: "\\" + sign for sign in "{}%#$&_"},
}


def to_latex(expr: Expr) -> str:
    r"""The formula in LaTeX, without dollar signs.

    Column names stand as they are, upright: \mathrm{lambda} is no Greek letter, and names that
    are no identifiers are in \text{...}. log is written \ln.
    """
    return _FormulaPrinter().doprint(expr)


class _FormulaPrinter(LatexPrinter):
    def __init__(self) -> None:
        super().__init__(
            {"order": "none", "mul_symbol": "dot", "ln_notation": True, "inv_trig_style": "full"}
        )

    def _print_Symbol(self, expr: Expr, style: str = "plain") -> str:
        escaped = "".join(_ESCAPES.get(sign, sign) for sign in expr.name)
        kind = r"\mathrm{%s}" if expr.name.isidentifier() else r"\text{%s}"
        return kind % " ".join(escaped.splitlines())

    def _print_Float(self, expr: Expr) -> str:
        mantissa, _, index = digits(expr).partition("e")
        if not index:
            return mantissa
        power = f"10^{{{int(index)}}}"
        return {"1": power, "-1": f"-{power}"}.get(mantissa, rf"{mantissa} \cdot {power}")

    def _as_ordered_terms(self, expr: Expr, order: str | None = None) -> list[Expr]:
        return ordered_terms(expr)

    def parenthesize(
        self, item: Expr, level: int, is_neg: bool = False, strict: bool = False
    ) -> str:
        text: str = super().parenthesize(item, level, is_neg, strict)
        return self._add_parens(text) if item.is_Float and text.endswith("}") else text
