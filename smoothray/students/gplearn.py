"""gplearn: classic genetic programming in Python, the third student of the ablation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sympy import Expr, Symbol

from smoothray.formulas import VOCABULARY, variables
from smoothray.formulas.algebra import add, multiply, number
from smoothray.students.base import NESTED, OPERATORS, Array, RawFormula, Student
from smoothray.students.numeric import FUNCTIONS


class GplearnStudent(Student):
    """Programs compete by correlation with the target, less a price per node; then they are scaled.

    Linear scaling (Keijzer, 2003) stands in for the constants that gplearn does not fit. The front
    is taken over every generation. gplearn's protected functions are replaced by the plain ones: a
    program without a value on some row has no correlation and dies out.

    Budgets take about `TARGET_SECONDS`.
    """

    name = "gplearn"
    source = "Stephens, gplearn: genetic programming in Python, version 0.4, 2016-2023"
    packages = ("gplearn",)
    vocabulary = FUNCTIONS
    budgets = {
        "quick": {"population_size": 150, "generations": 12},
        "standard": {"population_size": 400, "generations": 30},
        "thorough": {"population_size": 1500, "generations": 46},
    }
    tournament = 7
    least = {"population_size": tournament}
    parsimony = 0.001  # of correlation, per node

    def _search(self, X: Array, y: Array, seed: int) -> Iterable[RawFormula]:
        from gplearn.functions import _Function
        from gplearn.genetic import SymbolicRegressor

        settings = self.settings
        generations = settings.pop("generations")
        model = SymbolicRegressor(
            # make_function refuses what is not defined everywhere, so it is gone round.
            function_set=[
                _Function(self.vocabulary[name], name, OPERATORS[name]) for name in self.operators
            ],
            metric="pearson",
            stopping_criteria=1.0,
            parsimony_coefficient=self.parsimony,
            tournament_size=self.tournament,
            init_depth=(1, 4),
            p_crossover=0.7,
            p_subtree_mutation=0.1,
            p_hoist_mutation=0.05,
            p_point_mutation=0.1,
            warm_start=True,
            low_memory=True,
            n_jobs=1,
            random_state=seed,
            **settings,
        )
        best: dict[int, Any] = {}  # by length, the program that correlates most
        for generation in range(1, generations + 1):
            model.set_params(generations=generation).fit(X, y)
            for program in model._programs[-1]:
                length = program.length_
                if (
                    length <= self.max_size
                    and (length not in best or program.raw_fitness_ > best[length].raw_fitness_)
                    and (self.deepest is None or nesting(program.program) <= self.deepest)
                ):
                    best[length] = program
            if model.run_details_["best_fitness"][-1] >= 1.0:
                break
        reached = 0.0
        for _, program in sorted(best.items()):
            if program.raw_fitness_ > reached:
                reached = program.raw_fitness_
                yield _scaled(program, X, y, program is model._program)


def _scaled(program: Any, X: Array, y: Array, preferred: bool) -> RawFormula:
    """The program with the slope and offset that fit y best."""
    values = program.execute(X)
    centred = values - values.mean()
    slope = float(centred @ y / (centred @ centred))
    offset = float(y.mean() - slope * values.mean())

    def build() -> Expr:
        expr = from_program(program.program, variables(X.shape[1]))
        return add(number(offset), multiply(number(slope), expr))

    return RawFormula(build, offset + slope * values, preferred)


def nesting(program: Sequence[Any]) -> int:
    """How deep operators of `NESTED` stand within each other in a program."""
    stack: list[int] = []
    for node in reversed(program):
        if isinstance(node, int | float):
            stack.append(0)
        else:
            inner = max(stack.pop() for _ in range(node.arity))
            stack.append(inner + (node.name in NESTED))
    return stack[-1]


def from_program(program: Sequence[Any], symbols: Sequence[Symbol]) -> Expr:
    """The formula of a gplearn program: functions, columns and constants in prefix order."""
    stack: list[Expr] = []
    for node in reversed(program):
        if isinstance(node, int):
            stack.append(symbols[node])
        elif isinstance(node, float):
            stack.append(number(node))
        else:
            arguments = [stack.pop() for _ in range(node.arity)]
            stack.append(VOCABULARY[node.name][1](*arguments))
    return stack[-1]
