"""Whether a formula's units are consistent, and which units its constants must have for that.

A fitted constant may carry any unit, as in PySR's dimensional constraint; what has none to make up for it
must match: x + y of metres and seconds, log(x) of metres.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import sympy
from sympy import Expr

from smoothray.errors import StudyError
from smoothray.formulas.text import to_text

_POWER = re.compile(r"(?<=[^\W\d_])(?:\^|\*\*)?([-−]?\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class UnitCheck:
    """What came of a check.

    problem: what does not match, one sentence; empty where all does. constants: each constant whose unit the
    others decide, as it stands in the formula, with that unit ("1" for none).
    """

    problem: str
    constants: tuple[tuple[float, str], ...] = ()

    @property
    def is_consistent(self) -> bool:
        return not self.problem


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


def parse_unit(text: str) -> Any:
    """A unit as people write it: "kg/m3", "m s-2", "MPa", "%", "1" or nothing for none.

    Raises StudyError for what is no unit.
    """
    written = _POWER.sub(lambda match: f"^({match[1].replace('−', '-')})", text.strip())
    try:
        return _registry().parse_units(written if written not in ("-", "–") else "")
    except Exception:  # pint's parser raises whatever it meets
        raise StudyError(
            f"'{text}' is no unit that is understood; write it like m, kg/m^3, mol/L, degC or % (1 for none)"
        ) from None


def check_units(expr: Expr, units: Mapping[str, Any], target: Any) -> UnitCheck:
    """Whether the formula can give the target's unit from its columns'.

    units: by column, as `parse_unit` gives them; a column without one has none. target: the target's.
    """
    try:
        dimensions = _Dimensions(units)
        whole = dimensions.of(expr)
        if whole is not None and not _alike(whole, target):
            return UnitCheck(
                f"the formula comes to {_text(whole)}, and the target is in {_text(target)}"
            )
        dimensions.settle(expr, target)
    except _Mismatch as mismatch:
        return UnitCheck(str(mismatch))
    return UnitCheck("", tuple(dimensions.constants))


_BASE = {
    "meter": "m", "kilogram": "kg", "second": "s", "ampere": "A", "kelvin": "K", "mole": "mol",
    "candela": "cd",
}  # fmt: skip


def in_base_units(unit: Any) -> str:
    """A unit's dimension as a product of powers of SI's base units, "1" for none.

    unit: as `parse_unit` gives it. What has no such unit, such as a currency or an angle, counts as none.

    >>> in_base_units(parse_unit("kPa")), in_base_units(parse_unit("V/Hz^0.5")), in_base_units(parse_unit(""))
    ('kg*m^-1*s^-2', 'A^-1*kg*m^2*s^(-5//2)', '1')
    """
    _, based = _registry().get_base_units(unit)
    powers = sorted(
        (_BASE[name], Fraction(float(power)).limit_denominator(12))
        for name, power in based._units.items()
        if name in _BASE
    )
    return "*".join(name + _raised(power) for name, power in powers if power) or "1"


def _raised(power: Fraction) -> str:
    if power.denominator > 1:
        return f"^({power.numerator}//{power.denominator})"
    return "" if power == 1 else f"^{power.numerator}"


class _Mismatch(Exception):
    pass


class _Dimensions:
    """Units of a formula's parts; None where a constant may make any of them."""

    def __init__(self, units: Mapping[str, Any]) -> None:
        self.units = units
        self.none = _registry().parse_units("")
        self.constants: list[tuple[float, str]] = []

    def of(self, node: Expr) -> Any:
        if node.is_Symbol:
            return self.units.get(node.name, self.none)
        if node.is_Number:
            return self.none if node.is_Integer else None
        parts = [self.of(argument) for argument in node.args]
        if node.is_Mul:
            unit = self.none
            for part in parts:
                unit = None if unit is None or part is None else unit * part
            return unit
        if node.is_Add or isinstance(node, sympy.Max | sympy.Min):
            return self._same(node, parts)
        if node.is_Pow:
            return self._power(node, *parts)
        if isinstance(node, sympy.Abs):
            return parts[0]
        if parts[0] is not None and not isinstance(node, sympy.sign):
            self._unitless(node, node.args[0], parts[0])
        return self.none

    def _same(self, node: Expr, parts: list[Any]) -> Any:
        fixed = [(a, part) for a, part in zip(node.args, parts, strict=True) if part is not None]
        for argument, part in fixed[1:]:
            if not _alike(part, fixed[0][1]):
                what = "added" if node.is_Add else "compared"
                raise _Mismatch(
                    f"{to_text(fixed[0][0])} in {_text(fixed[0][1])} and {to_text(argument)} in "
                    f"{_text(part)} are {what} without a constant between them"
                )
        return fixed[0][1] if fixed else None

    def _power(self, node: Expr, base: Any, index: Any) -> Any:
        if node.exp.is_Number:
            return None if base is None else base ** float(node.exp)
        for part, unit in ((node.base, base), (node.exp, index)):
            if unit is not None:
                self._unitless(node, part, unit)
        return self.none

    def _unitless(self, node: Expr, argument: Expr, unit: Any) -> None:
        if not _alike(unit, self.none):
            name = "an exponent" if node.is_Pow else f"{type(node).__name__.lower()}"
            raise _Mismatch(
                f"{to_text(argument)} in {_text(unit)} stands within {name}, which needs a plain number"
            )

    def settle(self, node: Expr, wanted: Any) -> None:
        """Give the constants of a part the units that make it come to `wanted`, where that decides them."""
        if node.is_Float:
            self.constants.append((float(node), _text(wanted)))
        elif node.is_Add or isinstance(node, sympy.Max | sympy.Min):
            for argument in node.args:
                self.settle(argument, wanted)
        elif node.is_Mul:
            free = [argument for argument in node.args if self.of(argument) is None]
            if len(free) == 1:
                for argument in node.args:
                    if argument is not free[0]:
                        wanted = wanted / self.of(argument)
                        self.settle(argument, self.of(argument))
                self.settle(free[0], wanted)
        elif node.is_Pow and node.exp.is_Number:
            self.settle(node.base, wanted ** (1.0 / float(node.exp)))
        elif node.is_Pow:
            self.settle(node.base, self.none)
            self.settle(node.exp, self.none)
        elif isinstance(node, sympy.Abs):
            self.settle(node.args[0], wanted)
        elif node.args and not isinstance(node, sympy.sign):
            self.settle(node.args[0], self.none)


def _alike(one: Any, other: Any) -> bool:
    differences = (one / other).dimensionality
    return all(abs(power) < 1e-9 for power in differences.values())


def _text(unit: Any) -> str:
    return f"{unit:~P}" or "1"
