"""The user's own tables: text, Excel, Parquet and Feather files."""

from __future__ import annotations

import csv
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from smoothray.datasets.cells import any_commas, header_below, units_of, units_row, with_commas
from smoothray.datasets.columns import tidy
from smoothray.datasets.excel import Sheet, read_sheet
from smoothray.datasets.specs import DatasetSpec
from smoothray.datasets.table import column_names
from smoothray.datasets.text import TextTable
from smoothray.errors import DataError

TEXT_KINDS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
EXCEL_KINDS = (".xlsx", ".xlsm")
KINDS = (*TEXT_KINDS, *EXCEL_KINDS, ".parquet", ".feather")


def kind(path: str | Path) -> str:
    """A file's ending in small letters.

    >>> kind("data/a.b.CSV.gz"), kind("a.b.csv")
    ('.csv.gz', '.csv')
    """
    endings = [ending.lower() for ending in Path(path).suffixes[-2:]]
    return "".join(endings) if endings[-1:] == [".gz"] else "".join(endings[-1:])


def stem(path: str | Path) -> str:
    """A file's name without its ending.

    >>> stem("data/a.b.csv.gz")
    'a.b'
    """
    name = Path(path).name
    return name[: len(name) - len(kind(path))] or name


def check(spec: DatasetSpec) -> None:
    """Raise DataError unless the file is there, of a known kind, and has the target column."""
    path = _existing(spec)
    with _readable(path):
        if kind(path) == ".parquet":
            from pyarrow import parquet

            column_names(parquet.read_schema(path).names, spec.target)
        elif kind(path) == ".feather":
            from pyarrow import feather

            column_names(feather.read_table(path).column_names, spec.target)
        else:
            table = _open(path, spec)
            _check_header(table.names, spec.target, table.top_rows())


def read(spec: DatasetSpec) -> tuple[pd.DataFrame, str, tuple[str, ...], int]:
    """The table, its target column, what was found out about the file, and its first row's number.

    A row of units under the header is left out. Decimal commas are read where the spec says so, or where
    they are plain.

    Raises:
        DataError: the file is missing, empty, of an unknown kind or cannot be read.
    """
    path = _existing(spec)
    with _readable(path):
        if kind(path) == ".parquet":
            return pd.read_parquet(path), spec.target, (), 2
        if kind(path) == ".feather":
            return pd.read_feather(path), spec.target, (), 2
        table = _open(path, spec)
        _check_header(table.names, spec.target, table.top_rows())
        frame, first_row, notices = table.frame(), table.header_row + 1, list(table.notices)
        units = units_row(frame)
        if units:
            notices.append(f"row {first_row} looks like units ({units}): it was left out")
        guess = not spec.decimal and any_commas(frame)
        if spec.decimal == "," or (guess and table.has_plain_commas(bool(units))):
            frame = with_commas(table.frame(as_text=True), first_row)
            if not spec.decimal:
                notices.append("numbers such as 3,14 were read with a decimal comma")
        if units:
            written = units_of(table.frame(as_text=True))
            frame, first_row = frame.iloc[1:].reset_index(drop=True), first_row + 1
            frame.attrs["units"] = {tidy(name): unit for name, unit in written.items()}
        return frame, spec.target, tuple(notices), first_row


def _open(path: Path, spec: DatasetSpec) -> TextTable | Sheet:
    if kind(path) in EXCEL_KINDS:
        return read_sheet(path, spec.sheet)
    return TextTable(path, spaces=kind(path).startswith(".txt"))


def _check_header(names: list[str], target: str, top: list[list[str]]) -> None:
    """Raises DataError where the target, if there is one, is no column; if it stands further down, where."""
    if not target:
        return
    if tidy(target) not in map(tidy, names):
        row = header_below(top, tidy(target))
        if row:
            raise DataError(
                f"the columns' names seem to stand in row {row}; take the rows above it out"
            )
    column_names(names, target)


def _existing(spec: DatasetSpec) -> Path:
    path = Path(spec.path).expanduser()
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file in it")
    if kind(path) not in KINDS:
        old = "; save it as .xlsx or .csv" if kind(path) in (".xls", ".xlsb", ".ods") else ""
        raise DataError(f"file {path}: cannot read this kind; use one of {', '.join(KINDS)}{old}")
    if spec.sheet and kind(path) not in EXCEL_KINDS:
        raise DataError(f"file {path}: only an Excel file has sheets; leave 'sheet' out")
    if not path.is_file():
        raise DataError(f"file {path}: there is no such file (looked from {Path.cwd()})")
    if path.stat().st_size == 0:
        raise DataError(f"file {path}: the file is empty")
    return path


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn whatever a reader throws at a bad file into one DataError that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells would be lost
            yield
    except DataError as error:
        raise DataError(f"file {path}: {error}") from error
    except pd.errors.ParserWarning as error:
        raise DataError(f"file {path}: some rows have more cells than the header") from error
    except ImportError as error:
        raise DataError(f"file {path}: its reader is not installed ({error})") from error
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        raise DataError(f"file {path}: cannot be read ({' '.join(str(error).split())})") from error
