"""What each symbolic step takes on random formulas over all operators, three deep: worst and median.

python benchmarks/symbolic.py [--trees 500] [--depth 3] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from sympy import Symbol

from smoothray.errors import StudentError
from smoothray.formulas import (
    Program,
    parse,
    round_constants,
    structure_of,
    tidy,
    to_latex,
    to_mathml,
    to_python,
    to_text,
    unscale,
)
from smoothray.formulas.shortening import shorter
from smoothray.formulas.skeleton import from_sympy, to_sympy
from smoothray.students import OPERATORS

COLUMNS = 8
NAMES = [f"c{i}" for i in range(COLUMNS)]
HARD = "tanh(cos(x6)*tanh(x4)/tanh(x0**2/((x6 + tanh(x4))**2 + cos(exp(x0)))**2))"


def random_tree(rng: random.Random, depth: int) -> str:
    """A formula's text, every branch `depth` operators deep but for a few that end early."""
    if depth == 0 or rng.random() < 0.1:
        column = f"x{rng.randrange(COLUMNS)}"
        return rng.choice(
            [column, f"({rng.uniform(-3, 3):.4g}*{column})", f"{rng.uniform(-3, 3):.4g}"]
        )
    name = rng.choice(list(OPERATORS))
    arguments = [random_tree(rng, depth - 1) for _ in range(OPERATORS[name])]
    return f"{name}({', '.join(arguments)})"


def steps_of(text: str) -> dict[str, float]:
    """CPU seconds of every symbolic step on a formula. Raises StudentError where it has no value."""
    rng = np.random.default_rng(0)
    mean, scale = rng.normal(size=COLUMNS), rng.uniform(0.5, 2.0, size=COLUMNS)
    X = mean + scale * rng.normal(size=(256, COLUMNS))
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = step()
        seconds[name] = time.process_time() - start
        return result

    expr = timed("parse", lambda: parse(text, COLUMNS))
    expr = timed("tidy", lambda: tidy(expr, (X - mean) / scale))
    expr = timed("unscale", lambda: unscale(expr, mean, scale, 3.0, 2.0, NAMES, X))
    expr = timed("round_constants", lambda: round_constants(expr, X, NAMES))
    program = timed("Program", lambda: Program(expr, NAMES))
    timed("value_and_gradient", lambda: program.value_and_gradient(X))
    for step in (to_text, to_latex, to_mathml, structure_of):
        timed(step.__name__, lambda step=step: step(expr))
    timed("to_python", lambda: to_python(expr, NAMES))
    node = timed("from_sympy", lambda: from_sympy(expr, {name: i for i, name in enumerate(NAMES)}))
    timed("to_sympy", lambda: to_sympy(node, [Symbol(name) for name in NAMES]))
    timed("shorter", lambda: [*shorter(node)])
    return seconds


def measured(trees: int, depth: int, seed: int) -> tuple[dict[str, list[tuple[float, str]]], int]:
    """Seconds and text by step, and how many formulas have a constant without a value."""
    rng = random.Random(seed)
    taken: dict[str, list[tuple[float, str]]] = defaultdict(list)
    without = 0
    for text in [HARD, *(random_tree(rng, depth) for _ in range(trees))]:
        try:
            for step, seconds in steps_of(text).items():
                taken[step].append((seconds, text))
        except StudentError:
            without += 1
    return taken, without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trees", type=int, default=500)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    taken, without = measured(given.trees, given.depth, given.seed)
    count = len(taken["parse"])
    print(f"{count} formulas, {without} more have a constant without a value")
    print(f"{'step':<20}{'median, ms':>12}{'worst, ms':>12}   worst formula")
    for step, values in taken.items():
        worst, text = max(values)
        median = statistics.median(seconds for seconds, _ in values)
        print(f"{step:<20}{1000 * median:>12.2f}{1000 * worst:>12.2f}   {text[:90]}")


if __name__ == "__main__":
    main()
