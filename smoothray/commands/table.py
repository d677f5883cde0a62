"""The user's table for `smoothray distill`: the columns that may be used, and their units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from smoothray.datasets import Dataset, DatasetSpec, load_dataset
from smoothray.datasets.cells import units_of
from smoothray.datasets.table import column_names
from smoothray.errors import DataError, StudyError, did_you_mean
from smoothray.formulas.dimensions import parse_unit

UNITS_ROW = "row"


@dataclass(frozen=True, eq=False)
class Table:
    """A data set, and units by column, the target among them; None where nothing was said of units."""

    dataset: Dataset
    units: Mapping[str, str] | None = None


def load_table(
    spec: DatasetSpec,
    *,
    only: Sequence[str] = (),
    exclude: Sequence[str] = (),
    units: str | None = None,
) -> Table:
    """Read a file's table.

    only, exclude: the columns that may, or may not, be used. units: "length=m,time=s", or "row" where the row
    under the header holds them.

    Raises DataError or StudyError for what cannot be read or used, or names no column.
    """
    given: dict[str, str] = {}

    def prepare(frame: pd.DataFrame) -> pd.DataFrame:
        names = column_names(list(frame.columns), spec.target)
        frame = frame.set_axis(pd.Index(names, dtype=object), axis=1)
        if units == UNITS_ROW:
            frame = _without_units(frame, given)
        elif units is not None:
            given.update(_pairs(units))
        for option, columns in (("--only", only), ("--exclude", exclude), ("--units", given)):
            _check_names(option, columns, names)
        if spec.target in exclude:
            raise StudyError(f"--exclude names the target '{spec.target}'")
        kept = [
            name
            for name in names
            if name == spec.target or ((not only or name in only) and name not in exclude)
        ]
        return frame[kept]

    dataset = load_dataset(spec, prepare=prepare)
    for text in given.values():
        parse_unit(text)
    return Table(dataset, None if units is None else given)


def _without_units(frame: pd.DataFrame, units: dict[str, str]) -> pd.DataFrame:
    """The table without its row of units, which are written down in `units`."""
    if "units" in frame.attrs:
        units.update(frame.attrs["units"])
        return frame
    if frame.empty:
        raise DataError("the table has no rows, so none with units")
    units.update(units_of(frame))
    return frame.iloc[1:]


def _pairs(text: str) -> dict[str, str]:
    pairs = {}
    for part in text.split(","):
        name, equals, unit = part.rpartition("=")
        if not equals or not name.strip():
            raise StudyError(
                f"--units: '{part.strip()}' is no COLUMN=UNIT; write length=m,time=s, or row where the row "
                "under the header holds them"
            )
        pairs[name.strip()] = unit.strip()
    return pairs


def _check_names(option: str, columns: Iterable[str], names: Sequence[str]) -> None:
    for column in columns:
        if column not in names:
            raise StudyError(
                f"{option} names the column '{column}', which the table does not have"
                f"{did_you_mean(column, names)}"
            )


def monotone_signs(texts: Sequence[str]) -> dict[str, int] | None:
    """What --monotone says: "age:+" and "water:-" as signs by column; None of nothing.

    >>> monotone_signs(["age:+", "w:c:-"])
    {'age': 1, 'w:c': -1}
    """
    signs = {}
    for text in texts:
        column, colon, sign = text.rpartition(":")
        if not colon or not column or sign not in ("+", "-"):
            raise StudyError(
                f"--monotone '{text}': write COLUMN:+ where the formula may not fall with it, COLUMN:- where "
                "it may not rise"
            )
        signs[column.strip()] = 1 if sign == "+" else -1
    return signs or None
