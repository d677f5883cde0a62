"""A formula as plain text, which `parse` and `pandas.DataFrame.eval` read.

Our own writer: SymPy's asks so much about signs that it takes five times as long, too long for every
member of every front.
"""

from __future__ import annotations

import keyword
from collections.abc import Sequence

from sympy import Expr, Max, Min, Mul, S

from smoothray.errors import StudentError
from smoothray.formulas.functions import ELEMENTARY, VOCABULARY

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4  # how tightly what is written binds


def to_text(expr: Expr) -> str:
    """The formula in infix.

    `parse` reads it back as the same function. So does `DataFrame.eval(text, engine="python")` of
    pandas, but for sign, max and min and for names with a backtick or a line break, which it lacks.
    A name that is no plain identifier, is a Python keyword or the name of a function stands in
    backticks; a backtick within it is doubled.

    Raises:
        StudentError: the formula holds a function that has no notation here, or no real value.
    """
    return TextWriter().write(expr)


class TextWriter:
    """Where signs, fractions, roots and brackets go; what they look like, a subclass may change.

    bare: whether fractions and exponents stand without brackets.
    """

    bare = False

    def write(self, expr: Expr, least: int = 0) -> str:
        """`expr`, in brackets where it binds less tightly than `least`."""
        written = self._written(expr)
        return written if self.strength(expr) >= least else self.brackets(written)

    def strength(self, expr: Expr) -> int:
        if expr.is_Add or is_minus(expr):
            return SUM
        if expr.is_Mul:
            return PRODUCT
        if not expr.is_Pow or expr.exp is S.Half:
            return ATOM
        return PRODUCT if is_minus(expr.exp) and expr.exp.is_Number else POWER

    def _written(self, expr: Expr) -> str:
        if expr.is_Symbol:
            return self.name(expr.name)
        if expr.is_Add:
            return self._sum(expr)
        if expr.func in ELEMENTARY:
            return self.call(ELEMENTARY[expr.func].name, [self.write(expr.args[0])])
        if expr.func in (Max, Min):
            return self.call(expr.func.__name__.lower(), list(map(self.write, expr.args)))
        if is_minus(expr):
            return self.row(self.sign("-"), self._product(expr))
        if expr.is_Mul or expr.is_Pow:
            return self._product(expr)
        if expr.is_Float or (not expr.args and expr.is_real):
            return self.number(digits(expr))
        raise StudentError(f"the formula holds {expr.func.__name__}, which cannot be printed")

    def _sum(self, expr: Expr) -> str:
        first, *others = ordered_terms(expr)
        parts = [self.write(first)]
        for term in others:
            if is_minus(term):
                parts += [self.sign(" - "), self._product(term)]
            else:
                parts += [self.sign(" + "), self.write(term)]
        return self.row(*parts)

    def _product(self, expr: Expr) -> str:
        """A product, power or number, without the sign before it."""
        coefficient, rest = expr.as_coeff_Mul()
        size = -coefficient if is_minus(coefficient) else coefficient
        above, below = [], []
        for factor in Mul.make_args(rest):
            base, index = (factor.base, factor.exp) if factor.is_Pow else (factor, S.One)
            if index.is_Number and is_minus(index):
                below.append((base, -index))
            elif factor is not S.One:
                above.append((base, index))
        if size != 1 or not above:
            above.insert(0, (size, S.One))
        if not below:
            return self._joined(above, PRODUCT)
        under = self._joined(below, 0 if self.bare else POWER)
        if len(below) > 1 and not self.bare:
            under = self.brackets(under)
        return self.fraction(self._joined(above, 0 if self.bare else PRODUCT), under)

    def _joined(self, factors: Sequence[tuple[Expr, Expr]], least_alone: int) -> str:
        if len(factors) == 1:
            return self._power(*factors[0], least_alone)
        written = [self._power(base, index, PRODUCT) for base, index in factors]
        return self.row(self.sign("*").join(written))

    def _power(self, base: Expr, index: Expr, least: int) -> str:
        if index is S.One:
            return self.write(base, least)
        if index is S.Half:
            return self.root(self.write(base))
        return self.power(self.write(base, ATOM), self.write(index, 0 if self.bare else ATOM))

    def name(self, name: str) -> str:
        # Python reads identifiers beyond ASCII in a normal form that may differ from the name.
        plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
        return name if plain and name not in VOCABULARY else "`" + name.replace("`", "``") + "`"

    def number(self, text: str) -> str:
        return text

    def sign(self, sign: str) -> str:
        return sign

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def brackets(self, body: str) -> str:
        return self.row(self.sign("("), body, self.sign(")"))

    def fraction(self, above: str, below: str) -> str:
        return f"{above}/{below}"

    def power(self, base: str, index: str) -> str:
        return f"{base}**{index}"

    def root(self, body: str) -> str:
        return self.call("sqrt", [body])

    def call(self, name: str, arguments: Sequence[str]) -> str:
        return f"{name}({', '.join(arguments)})"


def is_minus(expr: Expr) -> bool:
    """Whether a minus stands before it."""
    return float(expr.as_coeff_Mul()[0]) < 0.0  # as SymPy would compare, but fast


def ordered_terms(expr: Expr) -> list[Expr]:
    """The terms of a sum: constants last, and something that is added first if there is any."""
    terms = sorted(expr.args, key=lambda term: term.is_Number)
    first = next((i for i, term in enumerate(terms) if not is_minus(term)), 0)
    return [terms[first], *terms[:first], *terms[first + 1 :]]


def digits(number: Expr) -> str:
    """The shortest decimal that reads back as the same double: 2, -0.5, 1.2e-05."""
    value = float(number)
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(value)
