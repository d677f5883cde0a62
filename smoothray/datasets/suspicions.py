"""What looks odd in a data set: said, never mended, for its owner knows better."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from smoothray.datasets.columns import count
from smoothray.datasets.table import Dataset

FAR = 10
"""Quartile ranges from the median beyond which a target may be an outlier: of a lognormal target with
σ = 1, which is natural, one row in 300 lies there; so a gap to the other rows is asked for as well."""
GAP = 3
"""An outlier lies so many times as far from the median as the farthest of the other rows: a slipped
decimal point gives 10, the largest of a few hundred lognormal values (σ = 1) seldom more than 2."""
FEW = 0.02
"""Outliers are at most this share of the rows, or three; more are a group of their own."""
LEAK = 0.95
"""The R² of a single column, by value or by rank, from which it is hardly a cause but the target again:
y1 and y2 of the UCI energy file have .952; strength and age of concrete .11."""
ROWS_A_COLUMN = 5
"""Training rows a column: with fewer, the validation rows (a fifth) are fewer than the columns."""
FINE = 50
"""Different values of a column that make two equal rows no coincidence: marks have fewer."""

_ID = re.compile(r"(id|idx|index|nr|no|num|number|row|run|sample|record|unnamed)\.?", re.IGNORECASE)


def suspicions(dataset: Dataset, train: NDArray[np.int64], test: NDArray[np.int64]) -> list[str]:
    """What is odd, a line each.

    Args:
        dataset: n rows.
        train, test: which of them are learnt from and which are kept for testing.

    Rows are called by their numbers in the file, where the data set knows them.
    """
    found = [_outliers(dataset), _twins(dataset, train, test), *_row_numbers(dataset)]
    found += [*_leaks(dataset, train), _few_rows(dataset, train)]
    return [line for line in found if line]


def row_numbers(dataset: Dataset, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers that the file gives to rows of a data set, as a spreadsheet shows them."""
    rows = np.arange(len(dataset.y)) if dataset.rows is None else dataset.rows
    return rows[places] + dataset.first_row


def _outliers(dataset: Dataset) -> str:
    y = dataset.y
    distance = np.abs(y - np.median(y))
    order = np.argsort(-distance, kind="stable")
    low, high = np.quantile(y, [0.25, 0.75])
    for number in range(min(max(3, int(FEW * len(y))), len(y) - 1), 0, -1):
        least, rest = distance[order[number - 1]], distance[order[number]]
        if rest > 0 and least > GAP * rest and least > FAR * (high - low):
            places = np.sort(order[:number])
            several = number > 1
            return (
                f"{count(number, 'value')} of '{dataset.target}' {'lie' if several else 'lies'} far from "
                f"all others: {_listed(dataset, places, y[places])}; mend or leave out "
                f"{'these rows' if several else 'this row'}, or the formula will follow "
                f"{'them' if several else 'it'}"
            )
    return ""


def _listed(dataset: Dataset, places: NDArray[np.int64], values: NDArray[np.float64]) -> str:
    shown = [
        f"{value:g} in row {row}"
        for row, value in zip(row_numbers(dataset, places[:5]), values[:5], strict=True)
    ]
    return ", ".join(shown) + (", ..." if len(places) > 5 else "")


def _twins(dataset: Dataset, train: NDArray[np.int64], test: NDArray[np.int64]) -> str:
    table = np.column_stack([dataset.X, dataset.y])
    if max(len(np.unique(values)) for values in table.T) <= FINE:
        return ""
    places = {tuple(table[place]): place for place in train}
    twins = [(place, places[row]) for place in test if (row := tuple(table[place])) in places]
    if not twins:
        return ""
    pair = row_numbers(dataset, np.array(twins[0]))
    stand = "row stands" if len(twins) == 1 else "rows stand"
    return (
        f"{len(twins)} of {len(test)} test {stand} among the training rows, too, such as row {pair[0]} "
        f"(as row {pair[1]}): the test is too kind; leave doubled rows out"
    )


def _row_numbers(dataset: Dataset) -> list[str]:
    said = []
    for name, values in zip(dataset.feature_names, dataset.X.T, strict=True):
        if (values != np.round(values)).any() or len(np.unique(values)) < len(values):
            continue
        steps = np.diff(np.sort(values))
        # With rows left out, or in another order, numbers still lie close.
        if (steps <= 2).all() and steps.mean() < 1.25 and values.min() in (0, 1):
            said.append(f"column '{name}' looks like a row number; leave it out if it is one")
        elif _ID.fullmatch(re.split(r"[\s_\-]", name)[-1]):
            said.append(f"column '{name}' looks like an identifier; leave it out if it is one")
    return said


def _leaks(dataset: Dataset, train: NDArray[np.int64]) -> list[str]:
    if dataset.X.shape[1] < 2:
        return []  # then the column is all there is
    y = dataset.y[train]
    said = []
    for name, values in zip(dataset.feature_names, dataset.X[train].T, strict=True):
        best = max(_correlation(values, y), _correlation(_ranks(values), _ranks(y))) ** 2
        if best >= LEAK:
            said.append(
                f"column '{name}' alone gives nearly all of '{dataset.target}' (R² {best:.3f}): leave it "
                "out if it is made from the target, or is a second target"
            )
    return said


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if a.min() == a.max() or b.min() == b.max():
        return 0.0
    a, b = a / np.abs(a).max(), b / np.abs(b).max()
    return abs(float(np.corrcoef(a, b)[0, 1]))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks with ties at their mean."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(times) - (times - 1) / 2)[place]


def _few_rows(dataset: Dataset, train: NDArray[np.int64]) -> str:
    columns = dataset.X.shape[1]
    if len(train) >= ROWS_A_COLUMN * columns:
        return ""
    return (
        f"{count(len(train), 'row')} to learn {count(columns, 'column')} from are few (fewer than "
        f"{ROWS_A_COLUMN} a column): leave columns out that cannot matter"
    )
