"""What turned a raw table into columns of numbers, kept so that new rows are turned the same way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smoothray.datasets.columns import MAX_LEVELS, as_numbers, is_date, tidy_names
from smoothray.errors import DataError, did_you_mean

Array = NDArray[np.float64]
TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class RawColumn:
    """One column of a raw table.

    kind: "number", "true/false" or "category". levels: a category's values as text, sorted; of two the first
    is the 0 of its one column. low, high: the range of a number in the rows that were learned from, None
    where it is not known. dropped: why the column was left out, "" where it was not.
    """

    name: str
    kind: str = "number"
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    dropped: str = ""

    @classmethod
    def of(cls, column: pd.Series) -> RawColumn:
        """What a column of a table, which has no gaps, holds.

        Raises DataError: dates, infinite numbers, or a category with too many levels to be one.
        """
        name = str(column.name)
        numbers = as_numbers(column)
        if numbers is not None:
            if column.dtype.kind == "b":
                return cls(name, "true/false")
            return cls(name, low=float(numbers.min()), high=float(numbers.max()))
        text = column.astype(str)
        levels = sorted(text.unique())
        if len(levels) > MAX_LEVELS or len(levels) > max(10, len(text) / 2):
            raise DataError(
                f"column '{name}' holds text with {len(levels)} different values in {len(text)} rows, "
                f"such as '{text.iloc[0]}': too many for categories (at most {MAX_LEVELS}); "
                "turn it into numbers, merge its values, or leave the column out"
            )
        for before, level in zip(levels, levels[1:], strict=False):
            if before.strip() == level.strip():
                raise DataError(
                    f"column '{name}' holds '{before}' and '{level}', which differ in spaces alone; "
                    "write them the same"
                )
        return cls(name, "category", tuple(levels))

    @property
    def coded(self) -> dict[str, str]:
        """The level that each of a category's columns of 0 and 1 is for, "colour=red": "red"."""
        levels = self.levels[1:] if len(self.levels) == 2 else self.levels
        return {f"{self.name}={level}".strip(): level for level in levels}

    @property
    def features(self) -> list[str]:
        """The names of the columns of numbers that it becomes."""
        return list(self.coded) if self.kind == "category" else [self.name]

    def encode(self, column: pd.Series) -> dict[str, Array]:
        """The columns of numbers, each (n,); nan where a cell is empty or holds what cannot stand there."""
        if self.kind != "category":
            return {self.name: _numbers(column, self.kind == "true/false")}
        levels = self._levels(column)
        unknown = np.array([level is None for level in levels], dtype=bool)
        return {
            feature: np.where(unknown, np.nan, [float(each == level) for each in levels])
            for feature, level in self.coded.items()
        }

    def _levels(self, column: pd.Series) -> list[str | None]:
        """Each cell's level; None for an empty cell or another value. 1.0 is the level "1"."""
        by_text = {level: level for level in self.levels}
        gaps = column.isna()
        texts = (None if gap else v for v, gap in zip(column.astype(str), gaps, strict=True))
        return [
            None if text is None else by_text.get(text, by_text.get(text.removesuffix(".0")))
            for text in texts
        ]


@dataclass(frozen=True)
class Applied:
    """New rows as numbers, and what was odd about them.

    X: (n, features); nan where a cell has no value that can be used. missing: raw columns that the table has
    not and that were not asked for. extra: columns that are of no use. gaps, unknown, outside: for each row
    the columns whose cells are empty; those that hold what the training rows did not (a new category, text
    among numbers), with the value; those that lie outside the training range.
    """

    X: pd.DataFrame
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    gaps: list[list[str]]
    unknown: list[dict[str, str]]
    outside: list[list[str]]


@dataclass(frozen=True)
class Encoding:
    """All columns of a raw table but the target, in its order; plain JSON by `to_json`."""

    columns: tuple[RawColumn, ...]
    target: str = ""

    @classmethod
    def of_numbers(cls, names: Iterable[str], target: str = "") -> Encoding:
        """Of columns that are numbers already, with ranges that nobody knows."""
        return cls(tuple(RawColumn(name) for name in names), target)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Encoding:
        columns = [
            RawColumn(**{**each, "levels": tuple(each["levels"])}) for each in fields["columns"]
        ]
        return cls(tuple(columns), fields["target"])

    def to_json(self) -> dict[str, Any]:
        columns = [{**asdict(each), "levels": list(each.levels)} for each in self.columns]
        return {"target": self.target, "columns": columns}

    @property
    def kept(self) -> tuple[RawColumn, ...]:
        return tuple(each for each in self.columns if not each.dropped)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns of numbers, in order."""
        return tuple(name for each in self.kept for name in each.features)

    @property
    def categories(self) -> dict[str, tuple[str, str, tuple[str, ...]]]:
        """Of each column of 0 and 1: the raw column, its level, and all levels."""
        return {
            feature: (each.name, level, each.levels)
            for each in self.kept
            for feature, level in each.coded.items()
        }

    def needed(self, features: Collection[str]) -> tuple[RawColumn, ...]:
        """The raw columns that these columns of numbers are made of."""
        return tuple(each for each in self.kept if set(each.features) & set(features))

    def on(self, X: Array) -> Encoding:
        """The same with the ranges of some rows X (n, features) alone: those that were learned from."""
        ranges = dict(zip(self.features, zip(X.min(0), X.max(0), strict=True), strict=True))
        return replace(self, columns=tuple(_narrowed(each, ranges) for each in self.columns))

    def apply(self, frame: pd.DataFrame, features: Sequence[str] | None = None) -> Applied:
        """Turn new rows into the columns of numbers named by `features`; None: into all.

        Raises DataError: two columns share a name, or one that is needed is not there.
        """
        names = tidy_names(list(frame.columns))
        frame = frame.set_axis(pd.Index(names, dtype=object), axis=1).reset_index(drop=True)
        wanted = self.features if features is None else tuple(features)
        needed = self.needed(wanted)
        gone = [each.name for each in needed if each.name not in names]
        if gone:
            several = "columns" if len(gone) > 1 else "column"
            raise DataError(
                f"the formula needs the {several} {', '.join(map(repr, gone))}, which the table has not"
                + did_you_mean(gone[0], [name for name in names if name not in self._names()])
            )
        encoded: dict[str, Array] = {}
        rows = range(len(frame))
        gaps: list[list[str]] = [[] for _ in rows]
        unknown: list[dict[str, str]] = [{} for _ in rows]
        outside: list[list[str]] = [[] for _ in rows]
        for each in needed:
            column = frame[each.name]
            values = each.encode(column)
            encoded |= values
            empty, first = column.isna().to_numpy(), next(iter(values.values()))
            for row in np.flatnonzero(empty):
                gaps[row].append(each.name)
            for row in np.flatnonzero(np.isnan(first) & ~empty):
                unknown[row][each.name] = str(column.iloc[row])
            if each.low is not None and each.high is not None:
                for row in np.flatnonzero((first < each.low) | (first > each.high)):
                    outside[row].append(each.name)
        used = {each.name for each in needed}
        return Applied(
            pd.DataFrame({name: encoded[name] for name in wanted}, index=frame.index),
            tuple(each.name for each in self.kept if each.name not in names),
            tuple(each for each in names if each not in self._names() and each not in used),
            gaps,
            unknown,
            outside,
        )

    def _names(self) -> set[str]:
        return {self.target, *(each.name for each in self.columns)}


def _narrowed(column: RawColumn, ranges: Mapping[str, tuple[float, float]]) -> RawColumn:
    if column.kind != "number" or column.dropped or column.name not in ranges:
        return column
    low, high = ranges[column.name]
    return replace(column, low=float(low), high=float(high))


def _numbers(column: pd.Series, truth: bool) -> Array:
    """A column's finite numbers (n,); nan for every other cell."""
    if is_date(column):
        return np.full(len(column), np.nan)
    if column.dtype.kind in "biuf":
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        text = column.dropna().astype(str)
        parsed = pd.to_numeric(text, errors="coerce")
        if truth:
            parsed = parsed.fillna(text.str.strip().str.lower().map(TRUTH))
        numbers = parsed.reindex(column.index).to_numpy(dtype=np.float64)
    return np.where(np.isfinite(numbers), numbers, np.nan)
