"""Tables in the sheets of Excel workbooks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smoothray.datasets.cells import plain_commas
from smoothray.errors import DataError, did_you_mean

_GAPS = {"", "#N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
"""Texts that mean "no value", as pandas takes them in CSV files."""


@dataclass(frozen=True)
class Sheet:
    """A sheet as a table; as `TextTable`."""

    cells: list[list[Any]]
    header_row: int
    notices: list[str]

    @property
    def names(self) -> list[str]:
        return ["" if cell is None else str(cell) for cell in self.cells[self.header_row - 1]]

    def top_rows(self) -> list[list[str]]:
        return [["" if cell is None else str(cell) for cell in row] for row in self.cells[:20]]

    def frame(self, *, as_text: bool = False) -> pd.DataFrame:
        """The rows under the header. as_text changes nothing: a cell of a workbook has its own type."""
        body = self.cells[self.header_row :]
        columns = [_column([row[place] for row in body]) for place in range(len(self.names))]
        frame = pd.DataFrame(dict(enumerate(columns)))
        return frame.set_axis(pd.Index(self.names, dtype=object), axis=1)

    def has_plain_commas(self, units: bool) -> bool:
        return plain_commas(self.frame().iloc[int(units) :])


def read_sheet(path: Path, sheet: str) -> Sheet:
    """A workbook's sheet, by name or number counted from 1; without either the first that is not hidden.

    Raises:
        DataError: no workbook, no such sheet, an empty one, a title above the header, or formulas whose
            values were never stored.
    """
    book = _workbook(path, values=True)
    chosen = _choose(book, sheet)
    notices = []
    if not sheet and len(book.worksheets) > 1:
        names = ", ".join(each.title for each in book.worksheets)
        notices.append(f"the sheet '{chosen.title}' was read, of {names}; --sheet takes another")
    cells = _trimmed([list(row) for row in chosen.iter_rows(values_only=True)])
    if not cells:
        raise DataError(f"the sheet '{chosen.title}' is empty")
    header = next(
        number for number, row in enumerate(cells, start=1) if any(_filled(c) for c in row)
    )
    wide = [each for each in chosen.merged_cells.ranges if each.min_col < each.max_col]
    title = next((each for each in wide if each.min_row <= header), None)
    if title:
        raise DataError(
            f"the cells {title} are merged, as in a title; the first row must name the columns, "
            "a name in each cell: take the rows above it out"
        )
    if any(cell is None for row in cells[header:] for cell in row):
        _refuse_formulas(path, chosen)
        merged = next(iter(chosen.merged_cells.ranges), None)
        if merged:
            notices.append(
                f"merged cells ({merged}) hold one value, in the first: the rest are gaps"
            )
    return Sheet(cells, header, notices)


def _workbook(path: Path, *, values: bool) -> Any:
    import openpyxl

    start = path.read_bytes()[:4]
    if start == b"\xd0\xcf\x11\xe0":
        raise DataError("an old .xls file, or one with a password; save it as .xlsx without one")
    if not start.startswith(b"PK"):
        raise DataError("no Excel workbook; if it is text, end its name in .csv or .txt")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and validations, which do not matter here
            return openpyxl.load_workbook(path, data_only=values)
    except Exception as error:  # zipfile's, KeyError, those of three XML readers
        raise DataError("a damaged Excel workbook; open it in Excel and save it again") from error


def _choose(book: Any, sheet: str) -> Any:
    sheets = book.worksheets
    by_name = {each.title: each for each in sheets}
    if not sheets:
        raise DataError("the workbook has no sheet with cells")
    if not sheet:
        return next((each for each in sheets if each.sheet_state == "visible"), sheets[0])
    if sheet in by_name:
        return by_name[sheet]
    if sheet.isdecimal() and 1 <= int(sheet) <= len(sheets):
        return sheets[int(sheet) - 1]
    hint = did_you_mean(sheet, list(by_name))
    raise DataError(f"there is no sheet '{sheet}'; the sheets are {', '.join(by_name)}{hint}")


def _filled(cell: Any) -> bool:
    return cell is not None and str(cell).strip() != ""


def _trimmed(cells: list[list[Any]]) -> list[list[Any]]:
    """The cells without empty rows and columns at the end."""
    places = [(r, c) for r, row in enumerate(cells) for c, cell in enumerate(row) if _filled(cell)]
    height = max((r for r, _ in places), default=-1) + 1
    width = max((c for _, c in places), default=-1) + 1
    return [row[:width] for row in cells[:height]]


def _refuse_formulas(path: Path, stored: Any) -> None:
    """Raise DataError where a cell of a sheet, as its values are stored, lacks its formula's value."""
    for row in _workbook(path, values=False)[stored.title].iter_rows():
        for cell in row:
            if cell.data_type == "f" and stored[cell.coordinate].value is None:
                raise DataError(
                    f"the cell {cell.coordinate} holds a formula without a value; "
                    "open the file in Excel or LibreOffice and save it"
                )


def _column(cells: list[Any]) -> pd.Series:
    values = [None if isinstance(c, str) and c.strip() in _GAPS else c for c in cells]
    given = [value for value in values if value is not None]
    if given and all(isinstance(v, int | float) and not isinstance(v, bool) for v in given):
        return pd.Series(np.array([np.nan if v is None else v for v in values], dtype=np.float64))
    if given and len(given) == len(values) and all(isinstance(value, bool) for value in given):
        return pd.Series(values, dtype=bool)
    return pd.Series(values, dtype=object)
