"""Operon: genetic programming in C++ with local search for constants, through `pyoperon`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from sympy import Expr, Symbol

from smoothray.errors import StudentError
from smoothray.formulas import VOCABULARY, variables
from smoothray.formulas.algebra import multiply, number
from smoothray.students.base import OPERATORS, Array, RawFormula, Student

# pyoperon 0.6.2 exchanges fmin and fmax where operators are chosen; a node's own name is right.
_SYMBOLS = {**{name: name for name in OPERATORS}, "max": "fmin", "min": "fmax"}
_INFIX = {"+": "add", "-": "sub", "*": "mul", "/": "div", "^": "pow", "fmax": "max", "fmin": "min"}


class OperonStudent(Student):
    """NSGA-II on (mean squared error, length), constants by Levenberg-Marquardt.

    Budgets take about `TARGET_SECONDS`. Time grows with rows.
    """

    name = "operon"
    source = (
        "Burlacu, Kronberger and Kommenda, Operon C++: an efficient genetic programming framework "
        "for symbolic regression, GECCO companion, 2020"
    )
    packages = ("pyoperon",)
    vocabulary = _SYMBOLS
    least = {"population_size": 5, "optimizer_iterations": 0}  # so many compete in a tournament
    budgets = {
        "quick": {"population_size": 300, "generations": 60, "optimizer_iterations": 1},
        "standard": {"population_size": 600, "generations": 170, "optimizer_iterations": 1},
        "thorough": {"population_size": 1200, "generations": 500, "optimizer_iterations": 1},
    }

    def warm_up(self) -> None:
        import pyoperon.sklearn  # noqa: F401  (seconds, where scikit-learn is to be loaded too)

    def _search(self, X: Array, y: Array, seed: int) -> Iterable[RawFormula]:
        from pyoperon.sklearn import SymbolicRegressor

        symbols = [self.vocabulary[operator] for operator in self.operators]
        model = SymbolicRegressor(
            allowed_symbols=",".join([*symbols, "constant", "variable"]),
            objectives=["mse", "length"],
            max_length=operon_length(self.max_size),
            max_evaluations=2**62,  # the generations are the limit
            n_threads=1,
            random_state=seed,
            **self.settings,
        )
        try:
            model.fit(X, y)
        except ValueError as error:
            if "NaN" not in str(error) and "infinity" not in str(error):
                raise
            raise StudentError(
                "operon's last generation has a formula without a value on some row, which it does not bear; "
                "give it a larger population_size or more generations"
            ) from None
        # Operon names its variables by hashes, in the order of the columns.
        symbol_of = dict(zip(model.variables_, variables(X.shape[1]), strict=True))
        for member in model.pareto_front_:
            tree = member["tree"]
            yield RawFormula(
                build=partial(from_tree, tree, symbol_of),
                own=model.evaluate_model(tree, X).astype(np.float64),
                preferred=tree is model.model_,
            )


def operon_length(max_size: int) -> int:
    """Operon's length limit for formulas of `max_size` SymPy nodes.

    Operon counts a variable with its weight as one node and SymPy as three, so two thirds of the
    limit already reach it; more is time spent on formulas that are too long to keep.
    """
    return max(4, round(2 * max_size / 3))


def from_tree(tree: Any, symbols: Mapping[int, Symbol]) -> Expr:
    """The formula of a `pyoperon.Tree`; `symbols` gives the symbol of each variable's hash.

    The nodes come in postfix order, a node's first argument directly before it.

    Raises:
        StudentError: a node that smoothray has no function for.
    """
    stack: list[Expr] = []
    for node in tree.Nodes:
        if node.IsVariable:
            stack.append(multiply(number(node.Value), symbols[node.HashValue]))
        elif node.IsConstant:
            stack.append(number(node.Value))
        elif (name := _INFIX.get(node.Name, node.Name)) in OPERATORS:
            arguments = [stack.pop() for _ in range(node.Arity)]
            stack.append(VOCABULARY[name][1](*arguments))
        else:
            raise StudentError(f"Operon used {node.Name!r}, which has no SymPy function here")
    return stack[-1]
