"""Reads a formula from text, without eval: Python's parser, then only what `VOCABULARY` knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from sympy import Expr, Symbol

from smoothray.errors import StudentError, did_you_mean
from smoothray.formulas.algebra import number
from smoothray.formulas.functions import VOCABULARY
from smoothray.formulas.tree import clean, variables

_QUOTED = re.compile(r"`((?:[^`]|``)*)`")

_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.Pow: "pow",
}


def parse(text: str, names: Mapping[str, Symbol] | int) -> Expr:
    """The formula that `text` writes in infix.

    text: `+ - * / ** ^`, numbers, brackets, functions of `VOCABULARY`, and names. A name may stand
        in backticks, and must where it is not an identifier; a backtick within it is doubled.
    names: the symbol of each name, or the number of variables, which are then x0, x1, ...

    Returns the expression as `clean` leaves it.

    Raises:
        StudentError: the text is no formula, or holds an unknown name or function.
    """
    symbols = {s.name: s for s in variables(names)} if isinstance(names, int) else dict(names)
    plain, quoted = _unquote(text)
    try:
        tree = ast.parse(plain.replace("^", "**").strip(), mode="eval")
        return clean(_Reader(symbols, quoted).read(tree.body))
    except (SyntaxError, ValueError):
        raise StudentError(
            f"cannot read the formula {_short(text)}: it is not valid infix"
        ) from None
    except (RecursionError, MemoryError):
        raise StudentError(
            f"cannot read the formula {_short(text)}: it is nested too deep"
        ) from None


def names_in(text: str) -> list[str]:
    """The names in a formula's text but those of functions, in the order of their first place.

    >>> names_in("2*x1 + exp(`a b`) + x1")
    ['x1', 'a b']
    """
    plain, quoted = _unquote(text)
    tree = ast.parse(plain.replace("^", "**").strip(), mode="eval")
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called]
    names.sort(key=lambda node: node.col_offset)
    return list(dict.fromkeys(quoted.get(node.id, node.id) for node in names))


def _unquote(text: str) -> tuple[str, dict[str, str]]:
    """The text with every name in backticks replaced by a stand-in, and the stand-ins' names."""
    stem = "_q"
    while stem in text:
        stem += "q"
    quoted: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        key = f"{stem}{len(quoted)}"
        quoted[key] = match.group(1).replace("``", "`")
        return key

    return _QUOTED.sub(stand_in, text), quoted


class _Reader:
    def __init__(self, symbols: Mapping[str, Symbol], quoted: Mapping[str, str]) -> None:
        self.symbols = symbols
        self.quoted = quoted

    def read(self, node: ast.expr) -> Expr:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            # Through str, an integer beyond the doubles is inf rather than an OverflowError.
            return number(float(str(node.value)))
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
            return self.read(node.operand)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return self._call("neg", [node.operand])
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return self._call(_OPERATORS[type(node.op)], [node.left, node.right])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, node.args)
        raise StudentError(
            f"cannot read {_short(self._source(node))} in a formula: "
            "only numbers, names, + - * / ** and function calls may stand there"
        )

    def _name(self, identifier: str) -> Expr:
        name = self.quoted.get(identifier, identifier)
        if name in self.symbols:
            return self.symbols[name]
        raise StudentError(
            f"the formula has an unknown name {name!r}" + did_you_mean(name, self.symbols)
        )

    def _call(self, name: str, arguments: list[ast.expr]) -> Expr:
        if name not in VOCABULARY:
            name = self.quoted.get(name, name)
            raise StudentError(
                f"the formula has an unknown function {name!r}" + did_you_mean(name, VOCABULARY)
            )
        arity, build = VOCABULARY[name]
        if len(arguments) != arity and not (arity < 0 < len(arguments)):
            raise StudentError(
                f"the function {name!r} takes {arity if arity > 0 else 'one or more'} argument(s), "
                f"not {len(arguments)}"
            )
        return build(*[self.read(argument) for argument in arguments])

    def _source(self, node: ast.expr) -> str:
        source = ast.unparse(node)
        for key, name in self.quoted.items():
            source = source.replace(key, f"`{name}`")
        return source


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
