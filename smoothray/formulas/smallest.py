"""The best formulas of one and two columns, found at once by least squares: what no search should miss."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from smoothray.formulas.fitting import Array, Rows
from smoothray.formulas.skeleton import ONE, Node, add_up, apply, constant, product, raised, size

FEATURES = 48
"""Columns and functions of one column that are looked at; of more, those that correlate most."""
OF_EACH_SIZE, OF_ONE, OF_TWO = 2, 60, 60
MOST_ALIKE = 0.9999
"""Terms that correlate more are one and the same."""

SHAPES: dict[str, tuple[tuple[str, ...], Callable[[Node], Node], Callable[[Array], Array]]] = {
    "square": (("square", "mul", "pow"), lambda u: raised(u, 2.0), np.square),
    "inverse": (("div",), lambda u: raised(u, -1.0), np.reciprocal),
    "root": (("sqrt",), lambda u: raised(u, 0.5), np.sqrt),
    "log": (("log",), lambda u: apply("log", u), np.log),
}
"""Functions of a column: the operators of which one allows it, how it is built, and its values."""


def small_formulas(rows: Rows, operators: Sequence[str]) -> list[Node]:
    """The best a + b*u, a + b*u*v, a + b*u + c*v and a + b*u + c*v*w of each size, for columns and functions
    of one column u, v and w that the operators allow.
    """
    if not {"add", "mul"} <= set(operators):
        return []
    nodes, values = _features(rows.X, operators)
    single = _standardised(np.column_stack(values))
    y = _standardised(rows.y[:, None])[:, 0]
    order = np.argsort(-np.abs(y @ single), kind="stable")[:FEATURES]
    nodes, values, single = [nodes[i] for i in order], [values[i] for i in order], single[:, order]
    first, second = np.triu_indices(len(nodes))
    stacked = np.column_stack(values)
    with np.errstate(all="ignore"):
        products = _standardised(stacked[:, first] * stacked[:, second])
    every = np.column_stack([single, products])
    terms = [*nodes, *(product([nodes[i], nodes[j]]) for i, j in zip(first, second, strict=True))]
    by_one = (y @ every) ** 2
    found = [(float(by_one[i]), _sum_of(terms[i])) for i in _largest(by_one, OF_ONE)]
    # The part of y's variance that two columns explain, in closed form.
    alike = every.T @ single
    a, b = (y @ every)[:, None], (y @ single)[None, :]
    apart = np.abs(alike) < MOST_ALIKE
    by_two = (a * a + b * b - 2.0 * a * b * alike) / np.where(apart, 1.0 - alike * alike, np.inf)
    for place in _largest(by_two.ravel(), OF_TWO):
        i, j = divmod(place, len(nodes))
        found.append((float(by_two[i, j]), _sum_of(terms[i], nodes[j])))
    return list(_best_by_size(found))


def _largest(gains: Array, count: int) -> list[int]:
    return [int(i) for i in np.argsort(-gains, kind="stable")[:count]]


def _sum_of(*terms: Node) -> Node:
    """Each term with a weight of its own, and an offset; refitted later."""
    return add_up([*(product([constant(0.5 + i), t]) for i, t in enumerate(terms)), ONE])


def _best_by_size(found: list[tuple[float, Node]]) -> Iterator[Node]:
    """The best few of each size that are better than all shorter ones."""
    reached = 0.0
    for _, alike in itertools.groupby(sorted(found, key=_size_of), _size_of):
        best = sorted(alike, key=lambda each: -each[0])[:OF_EACH_SIZE]
        yield from (node for gain, node in best if gain > reached)
        reached = max(reached, best[0][0])


def _size_of(found: tuple[float, Node]) -> int:
    return size(found[1])


def _features(X: Array, operators: Sequence[str]) -> tuple[list[Node], list[Array]]:
    nodes: list[Node] = []
    values: list[Array] = []
    for place, column in enumerate(X.T):
        nodes.append(("x", place))
        values.append(column)
        for needed, make, function in SHAPES.values():
            with np.errstate(all="ignore"):
                found = function(column)
            if set(needed) & set(operators) and np.isfinite(found).all():
                nodes.append(make(("x", place)))
                values.append(found)
    return nodes, values


def _standardised(values: Array) -> Array:
    """Columns (n, m) less their means, of length 1; those that do not vary or have no value are 0."""
    with np.errstate(all="ignore"):
        centred = values - values.mean(0)
        lengths = np.sqrt((centred * centred).sum(0))
        largest = np.abs(values).max(0) * np.sqrt(len(values))
        good = np.isfinite(lengths) & (lengths > 1e-9 * largest)
        return np.where(good, centred / np.where(good, lengths, 1.0), 0.0)
