"""Shorter formulas at the same accuracy: parts dropped one at a time, the constants that remain refitted.

From the longest formulas to the shortest: of each size the best few lose one part in every way that there is;
what predicts best by then is refitted, and goes on from its own, smaller size. Each size is met once, so the
number of refits bounds the work, and the same formulas and rows give the same result.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from smoothray.errors import StudentError
from smoothray.formulas.compiled import values_of
from smoothray.formulas.fitting import Array, Rows, loss_of, refit
from smoothray.formulas.skeleton import (
    Node,
    add_up,
    build,
    constant,
    key,
    product,
    raised,
    size,
    split_weight,
)

NEAR = 1.15
"""A formula is gone on from where its loss is at most so many times that of the front at its size."""
LEAST_WIDTH, REFITS_PER_WIDTH = 2, 100
"""How many formulas of one size are gone on from, at most: one for so many refits."""
STEPS = 8
"""Evaluations of a refit, at most."""
REFIT_ROWS, SCREEN_ROWS = 256, 128


class Shortened(NamedTuple):
    """A formula and its mean squared error on all rows."""

    node: Node
    loss: float


def shorten(
    nodes: Sequence[Node],
    X: Array,
    y: Array,
    *,
    refits: int,
    max_size: int | None = None,
) -> list[Shortened]:
    """The front of what comes of these formulas, by size, with constants fitted to y (n,) on X (n, d).

    refits: how many formulas are fitted at most, to some of the rows; the front's are then fitted to all.
    max_size: of the formulas that are returned.
    """
    search = _Search(Rows.of(X, y, REFIT_ROWS), Rows.of(X, y, SCREEN_ROWS), refits)
    for node in nodes[:refits]:
        search.refit(node)
    for length in range(max(map(size, nodes), default=0), 1, -1):
        search.shorten_those_of(length)
    every = Rows.of(X, y)
    fitted = [Shortened(*refit(node, every, STEPS)) for node, _ in search.front(max_size)]
    return front([*fitted, *(Shortened(node, loss_of(node, every)) for node in nodes)], max_size)


def front(formulas: Sequence[Shortened], max_size: int | None = None) -> list[Shortened]:
    """Those that no shorter or equally short one equals or beats, by size."""
    kept: list[Shortened] = []
    for formula in sorted(formulas, key=lambda each: (size(each.node), each.loss)):
        fits = max_size is None or size(formula.node) <= max_size
        if fits and formula.loss < (kept[-1].loss if kept else np.inf):
            kept.append(formula)
    return kept


@dataclass
class _Search:
    rows: Rows
    screen: Rows
    left: int
    found: dict[int, list[Shortened]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.width = max(LEAST_WIDTH, self.left // REFITS_PER_WIDTH)
        self._target = self.screen.y - self.screen.y.mean()
        self._power = float(self._target @ self._target)

    def refit(self, node: Node) -> None:
        """Fit a formula and keep it by its size."""
        self.seen.add(key(node))
        self.left -= 1
        formula = Shortened(*refit(node, self.rows, STEPS))
        if np.isfinite(formula.loss):
            self.found.setdefault(size(formula.node), []).append(formula)

    def shorten_those_of(self, length: int) -> None:
        """Drop one part of the best formulas of this size in every way; refit what promises most."""
        share = min(self.left, -(-2 * self.left // length))
        if share <= 0 or length not in self.found:
            return
        bound = NEAR * self.best(length)
        good = [each for each in self.found[length] if each.loss <= bound]
        good.sort(key=lambda each: each.loss)
        best = [self.best(each) for each in range(length + 1)]
        known: dict[Node, Array] = {}
        promising: list[tuple[float, int, Node]] = []
        for formula in good[: self.width]:
            for node in shorter(formula.node):
                structure = key(node)
                if structure not in self.seen:
                    self.seen.add(structure)
                    promise = self.promise(node, known)
                    if np.isfinite(promise):
                        promising.append((promise / best[size(node)], len(promising), node))
        for _, _, node in sorted(promising)[:share]:
            self.refit(node)

    def promise(self, node: Node, known: dict[Node, Array]) -> float:
        """The loss that the formula has, at best scaled and moved. known: values of parts of formulas."""
        with np.errstate(all="ignore"):
            values = values_of(node, self.screen.X, known)
            if not np.ndim(values):
                return np.inf
            values = values - values.mean()
            power = values @ values
            if not power > 0.0:
                return np.inf
            explained = (values @ self._target) ** 2 / power  # NumPy's: what overflows is inf
            return float((self._power - explained) / len(values))

    def best(self, length: int) -> float:
        """The least loss of those of at most this size; that of a constant where there is none."""
        spread = self._power / len(self._target)
        losses = (
            each.loss for size, found in self.found.items() if size <= length for each in found
        )
        return min(losses, default=spread) or 1e-300

    def front(self, max_size: int | None) -> list[Shortened]:
        return front(list(itertools.chain.from_iterable(self.found.values())), max_size)


def shorter(node: Node) -> Iterator[Node]:
    """Every formula that has one part less."""
    length = size(node)
    for other in _dropped(node):
        if size(other) < length:
            yield other


def _dropped(node: Node) -> Iterator[Node]:
    head = node[0]
    if head in ("x", "c"):
        return
    with suppress(StudentError):
        yield from _HERE.get(head, _function)(node)
    children = node[1:2] if head == "^" else node[1:]
    for place, child in enumerate(children):
        for other in _dropped(child):
            parts = list(node[1:])
            parts[place] = other
            try:
                yield build(head, parts)
            except StudentError:  # a constant that overflows, or a root of a negative one
                continue


def _function(node: Node) -> Iterator[Node]:
    yield node[1]


def _sum(node: Node) -> Iterator[Node]:
    terms = node[1:]
    moved = terms[-1][0] == "c"
    for place, term in enumerate(terms):
        rest = [*terms[:place], *terms[place + 1 :]]
        yield add_up(rest)
        if not moved and size(term) > 1:
            yield add_up([*rest, constant(1.0)])
    # Two terms that share a weight.
    weights = [split_weight(term)[0] for term in terms]
    cores = [split_weight(term)[1] for term in terms]
    for i, j in itertools.combinations(range(len(terms) - moved), 2):
        if weights[i] * weights[j] > 0 and 1.0 not in (weights[i], weights[j]):
            rest = [
                product([constant(1.0 / weights[i]), term])
                for place, term in enumerate(terms)
                if place not in (i, j)
            ]
            yield product([constant(weights[i]), add_up([cores[i], cores[j], *rest])])


def _product(node: Node) -> Iterator[Node]:
    factors = node[1:]
    for place, factor in enumerate(factors):
        rest = [*factors[:place], *factors[place + 1 :]]
        yield product(rest)
        if factors[0][0] != "c" and size(factor) > 1:
            yield product([*rest, constant(1.0 + 1e-3)])


def _power(node: Node) -> Iterator[Node]:
    yield node[1]
    if node[2] < 0 and node[2] != -1.0:
        yield raised(node[1], -1.0)


def _parts(node: Node) -> Iterator[Node]:
    for place in range(1, len(node)):
        yield build(node[0], [*node[1:place], *node[place + 1 :]])


def _base_or_exponent(node: Node) -> Iterator[Node]:
    yield node[1]
    yield node[2]


_HERE = {
    "+": _sum,
    "*": _product,
    "^": _power,
    "max": _parts,
    "min": _parts,
    "pow": _base_or_exponent,
}
