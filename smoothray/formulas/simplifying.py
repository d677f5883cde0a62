"""Simple constants: 0, 1, -1, 2, 1/2 or fewer digits, where the formula may lose what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from smoothray.errors import StudentError
from smoothray.formulas.fitting import Rows, refit
from smoothray.formulas.skeleton import Node, build, constants, with_constants

SIMPLE = (1.0, -1.0, 2.0, 0.5)
DIGITS = (1, 2)
STEPS = 6


def simplify_constants(node: Node, rows: Rows, allowed: Callable[[Node], bool]) -> Node:
    """The formula with each constant made as simple as is allowed, the others refitted to the rows each time.

    allowed: whether a formula predicts well enough. One constant after the other is tried as 0, then as a
    number of `SIMPLE` that is within a factor of two, then with as few `DIGITS` as will do.
    """
    kept: set[float] = set()
    while True:
        values = constants(node)
        place = next((i for i, value in enumerate(values) if value not in kept), None)
        if place is None:
            return node
        for simple in _simpler(values[place]):
            changed = _with(node, values, place, simple)
            if changed is None:
                continue
            fixed = kept | {simple}
            free = np.array([value not in fixed for value in constants(changed)], dtype=bool)
            changed, loss = refit(changed, rows, STEPS, free=free)
            if np.isfinite(loss) and allowed(changed):
                node, kept = changed, fixed
                break
        else:
            kept.add(values[place])


def _simpler(value: float) -> Iterator[float]:
    yield 0.0
    near = [simple for simple in SIMPLE if 0.5 <= value / simple <= 2.0]
    yield from sorted(near, key=lambda simple: abs(simple - value))
    for digits in DIGITS:
        yield float(f"{value:.{digits - 1}e}")


def _with(node: Node, values: list[float], place: int, value: float) -> Node | None:
    """The formula with one constant replaced, as its builders make it."""
    changed = [*values[:place], value, *values[place + 1 :]]
    try:
        return _rebuilt(with_constants(node, iter(changed)))
    except StudentError:
        return None


def _rebuilt(node: Node) -> Node:
    if node[0] in ("x", "c"):
        return node
    if node[0] == "^":
        return build("^", [_rebuilt(node[1]), node[2]])
    return build(node[0], [_rebuilt(child) for child in node[1:]])
