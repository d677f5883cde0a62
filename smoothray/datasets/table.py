"""A table to numbers ready to learn from: the checks that every data set must pass."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smoothray.datasets.columns import as_numbers, count, tidy, tidy_names, unreadable
from smoothray.datasets.encoding import Encoding, RawColumn
from smoothray.datasets.specs import checked_name
from smoothray.errors import DataError, did_you_mean


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A checked data set; made of a table by `Dataset.from_frame`.

    Attributes:
        name: the short name used in seeds, records and tables.
        X: the inputs, (n, d), finite, no constant column, in the data's own units.
        y: the target, (n,), finite, not constant, in the data's own units.
        feature_names: d names, all different.
        target: the target's name.
        notices: what was changed on the way, one plain sentence each.
        rows: where each row stood in the given table, (n,), counted from 0; None: not known.
        first_row: the number that a file gives to the table's first row; its header stands above.
        encoding: how the table's columns became those of X; None where there was no table.
        units: of each column of X and of the target, as products of SI's base units; None: not known.
    """

    name: str
    X: NDArray[np.float64]
    y: NDArray[np.float64]
    feature_names: tuple[str, ...]
    target: str
    notices: tuple[str, ...] = ()
    rows: NDArray[np.int64] | None = None
    first_row: int = 2
    encoding: Encoding | None = None
    units: tuple[tuple[str, ...], str] | None = None

    def __repr__(self) -> str:
        n, d = self.X.shape
        return f"<data set '{self.name}': {n} rows, {d} inputs, target '{self.target}'>"

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        target: str,
        *,
        name: str = "data",
        min_rows: int = 30,
        max_gap_fraction: float = 0.2,
    ) -> Dataset:
        """Check a table and turn it into numbers. The frame itself is left as it is.

        Rows with gaps, empty and constant columns and a column that counts the rows are dropped;
        categories are one-hot encoded. Each of these leaves a notice.

        Args:
            frame: n rows, one column per input and one for the target.
            target: the column to predict.
            name: what to call the data set; trials' splits and seeds hang on it.
            min_rows: the fewest rows, after those with gaps are dropped.
            max_gap_fraction: the largest share of rows with gaps, between 0 and 1.

        Raises:
            DataError: the table cannot be used; the message names the column and what to do.
        """
        checked_name(name)
        try:
            return _from_frame(frame, target, name, min_rows, max_gap_fraction)
        except DataError as error:
            raise DataError(f"data set '{name}': {error}") from error

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with any value, row order or name of the data."""
        names = "\x1f".join((*self.feature_names, self.target))
        digest = hashlib.sha256(f"{self.X.shape}\x1f{names}\x1f".encode())
        for values in (self.X, self.y):
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()[:16]


from_frame = Dataset.from_frame


def _from_frame(
    frame: pd.DataFrame, target: str, name: str, min_rows: int, max_gap_fraction: float
) -> Dataset:
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"a pandas frame is needed, not a {type(frame).__name__}")
    target = tidy(target)
    names = column_names(list(frame.columns), target)
    frame = frame.set_axis(pd.Index(names, dtype=object), axis=1).reset_index(drop=True)
    if frame.empty:
        raise DataError("the table has no rows")
    notices: list[str] = []
    frame = _drop_empty_rows(frame, notices)
    frame, dropped = _drop_empty(frame, target, notices)
    frame = _drop_gaps(frame, max_gap_fraction, notices)
    least = max(min_rows, 1)
    if len(frame) < least:
        raise DataError(f"{count(len(frame), 'usable row')}, but at least {least} are needed")
    y = _target(frame[target])
    columns, values = _encode(frame.drop(columns=target), notices)
    if not values:
        raise DataError(f"no column is left to predict '{target}' from")
    feature_names = tuple(column_names([*(each for each, _ in values), target], target)[:-1])
    # In the table's own order, with what was dropped.
    by_name = {column.name: column for column in (*dropped, *columns)}
    encoding = Encoding(tuple(by_name[each] for each in names if each != target), target)
    return Dataset(
        name,
        np.column_stack([each for _, each in values]),
        y,
        feature_names,
        target,
        tuple(notices),
        frame.index.to_numpy(dtype=np.int64),
        encoding=encoding,
    )


def column_names(columns: Sequence[object], target: str) -> list[str]:
    """The columns' names as stripped text, one of them the target.

    Raises:
        DataError: two columns share a name, or none is the target (the nearest is offered).
    """
    target = tidy(target)
    names = tidy_names(columns)
    if target not in names:
        hint = did_you_mean(target, names)
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        raise DataError(f"there is no column '{target}'; the columns are {shown}{hint}")
    return names


def _drop_empty_rows(frame: pd.DataFrame, notices: list[str]) -> pd.DataFrame:
    empty = frame.isna().all(axis=1)
    if empty.all():
        raise DataError("the table has no values")
    between = int(empty[: empty[~empty].index[-1]].sum())  # those at a file's end go unmentioned
    if between:
        notices.append(f"{count(between, 'empty row')} dropped")
    return frame[~empty]


def _drop_empty(
    frame: pd.DataFrame, target: str, notices: list[str]
) -> tuple[pd.DataFrame, list[RawColumn]]:
    """Drop columns without a value, and a nameless first column that only counts the rows."""
    dropped: list[RawColumn] = []
    first = str(frame.columns[0])
    if first == "unnamed column 1" and first != target:
        values = frame[first].to_numpy()
        if any(np.array_equal(values, np.arange(len(frame)) + start) for start in (0, 1)):
            notices.append("the first column has no name and counts the rows: it was dropped")
            frame = frame.drop(columns=first)
            dropped.append(RawColumn(first, dropped="counts the rows"))
    empty = [str(each) for each in frame.columns[frame.isna().all()] if each != target]
    notices += [f"column '{each}' is empty and was dropped" for each in empty]
    dropped += [RawColumn(each, dropped="empty") for each in empty]
    return frame.drop(columns=empty), dropped


def _drop_gaps(frame: pd.DataFrame, max_gap_fraction: float, notices: list[str]) -> pd.DataFrame:
    gaps = frame.isna()
    incomplete = gaps.any(axis=1)
    dropped = int(incomplete.sum())
    if dropped > max_gap_fraction * len(frame):
        worst = gaps.sum().idxmax()
        raise DataError(
            f"{dropped} of {count(len(frame), 'row')} have gaps, more than the limit of "
            f"{max_gap_fraction:.0%}; most are in column '{worst}' ({int(gaps[worst].sum())}): "
            "fill them or leave such columns out"
        )
    if dropped:
        were = "was" if dropped == 1 else "were"
        notices.append(f"{count(dropped, 'row')} with gaps {were} dropped")
    return frame[~incomplete]


def _target(column: pd.Series) -> NDArray[np.float64]:
    y = None if column.dtype.kind == "b" else as_numbers(column)
    if y is None:
        shown = [*unreadable(column), *column][0]
        raise DataError(
            f"the target '{column.name}' does not hold numbers, but values such as "
            f"'{shown}'; smoothray predicts numbers, so choose a column of them"
        )
    if y.min() == y.max():
        raise DataError(f"the target '{column.name}' is the same in every row ({y[0]:g})")
    return y


def _encode(
    frame: pd.DataFrame, notices: list[str]
) -> tuple[list[RawColumn], list[tuple[str, NDArray[np.float64]]]]:
    """What each column is, and the columns of numbers that they become; constant ones are dropped."""
    columns: list[RawColumn] = []
    values: list[tuple[str, NDArray[np.float64]]] = []
    constant: list[str] = []
    for name in frame.columns:
        column = RawColumn.of(frame[name])
        encoded = column.encode(frame[name])
        if column.kind == "category":
            notices.append(
                f"column '{name}' was one-hot encoded into {count(len(encoded), 'column')}: "
                + ", ".join(list(encoded)[:5])
                + (", ..." if len(encoded) > 5 else "")
            )
        same = [each for each, numbers in encoded.items() if numbers.min() == numbers.max()]
        constant += same
        columns.append(replace(column, dropped="constant") if same else column)
        values += [] if same else encoded.items()
    notices += [f"column '{name}' is constant and was dropped" for name in constant]
    return columns, values
