"""A formula as LaTeX mathematics (amsmath, MathJax, KaTeX).

Our own writer: SymPy's asks for the signs of exponents, which takes minutes on nested functions. It writes
as SymPy does.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy
from sympy import Expr, Max, Min, S

from smoothray.formulas.functions import ELEMENTARY
from smoothray.formulas.text import ATOM, POWER, PRODUCT, TextWriter, digits

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "`": r"\textasciigrave{}",
    **{sign: "\\" + sign for sign in "{}%#$&_"},
}
_FENCES = {
    "abs": (r"\left|", r"\right|"),
    "floor": (r"\left\lfloor", r"\right\rfloor"),
    "ceil": (r"\left\lceil", r"\right\rceil"),
}
_NAMES = {
    "log": r"\ln",
    "arcsinh": r"\operatorname{arsinh}",
    "arccosh": r"\operatorname{arcosh}",
    "arctanh": r"\operatorname{artanh}",
    "sign": r"\operatorname{sign}",
}
_SIGNS = {"*": r" \cdot ", "-": "- "}


def to_latex(expr: Expr) -> str:
    r"""The formula in LaTeX, without dollar signs.

    Column names stand as they are, upright: \mathrm{lambda} is no Greek letter, and names that
    are no identifiers are in \text{...}. log is written \ln.
    """
    return _LatexWriter().write(expr)


class _LatexWriter(TextWriter):
    bare = True

    def strength(self, expr: Expr) -> int:
        if expr.is_Float and "e" in digits(expr):
            return min(PRODUCT, super().strength(expr))
        return POWER if expr.func is sympy.exp else super().strength(expr)

    def _written(self, expr: Expr) -> str:
        if expr.is_Float:
            return self.number(digits(expr))
        if expr.is_Mul and len(expr.args) == 2 and expr.args[0] == -1 and expr.args[1].is_Add:
            return f"- ({self.write(expr.args[1])})"
        return super()._written(expr)

    def _power(self, base: Expr, index: Expr, least: int) -> str:
        if index is S.One or index is S.Half:
            return super()._power(base, index, least)
        upper = self.write(index)
        if base.is_Float:
            return self.power(f"{{{self.write(base, ATOM)}}}", upper)
        if base.func in ELEMENTARY and base.func not in (sympy.exp, sympy.log):
            name = ELEMENTARY[base.func].name
            if name not in _FENCES:
                return self._called(f"{_command(name)}^{{{upper}}}", self.write(base.args[0]))
        if base.func in (Max, Min) or (base.func in ELEMENTARY and base.func is not sympy.exp):
            return self.power(self.write(base), upper)
        return super()._power(base, index, least)

    def name(self, name: str) -> str:
        escaped = "".join(_ESCAPES.get(sign, sign) for sign in name)
        kind = r"\mathrm{%s}" if name.isidentifier() else r"\text{%s}"
        return kind % " ".join(escaped.splitlines())

    def number(self, text: str) -> str:
        mantissa, _, index = text.partition("e")
        if not index:
            return mantissa
        power = f"10^{{{int(index)}}}"
        return {"1": power, "-1": f"-{power}"}.get(mantissa, rf"{mantissa} \cdot {power}")

    def sign(self, sign: str) -> str:
        return _SIGNS.get(sign, sign)

    def brackets(self, body: str) -> str:
        return rf"\left({body}\right)"

    def fraction(self, above: str, below: str) -> str:
        return rf"\frac{{{above}}}{{{below}}}"

    def power(self, base: str, index: str) -> str:
        return f"{base}^{{{index}}}"

    def root(self, body: str) -> str:
        return rf"\sqrt{{{body}}}"

    def call(self, name: str, arguments: Sequence[str]) -> str:
        if name in ("max", "min"):
            return rf"\{name}\left({', '.join(arguments)}\right)"
        (body,) = arguments
        if name == "exp":
            return f"e^{{{body}}}"
        if name in _FENCES:
            left, right = _FENCES[name]
            return f"{left}{{{body}}}{right}"
        return self._called(_command(name), body)

    def _called(self, command: str, body: str) -> str:
        return rf"{command}{{\left({body} \right)}}"


def _command(name: str) -> str:
    return _NAMES.get(name, f"\\{name}")
