"""The user's own tables: CSV, TSV and Parquet files."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from smoothray.datasets.specs import DatasetSpec
from smoothray.datasets.table import column_names
from smoothray.errors import DataError

TEXT_KINDS = (".csv", ".tsv")
KINDS = (*TEXT_KINDS, ".parquet")


def check(spec: DatasetSpec) -> None:
    """Raise DataError unless the file is there, of a known kind, and has the target column."""
    path = _existing(spec)
    with _readable(path):
        if path.suffix.lower() in TEXT_KINDS:
            names = _header(path)[1]
        else:
            from pyarrow import parquet

            names = parquet.read_schema(path).names
        column_names(names, spec.target)


def read(spec: DatasetSpec) -> tuple[pd.DataFrame, str]:
    """The table and its target column.

    Raises:
        DataError: the file is missing, empty, of an unknown kind or cannot be read.
    """
    path = _existing(spec)
    with _readable(path):
        if path.suffix.lower() not in TEXT_KINDS:
            return pd.read_parquet(path), spec.target
        delimiter, names = _header(path)
        frame = pd.read_csv(
            path,
            sep=delimiter,
            encoding="utf-8-sig",
            index_col=False,  # else a row longer than the header would shift every column
            skipinitialspace=True,
            low_memory=False,
        )
        frame.columns = pd.Index(names)  # as they stand: pandas renames doubled and empty ones
        return frame, spec.target


def _existing(spec: DatasetSpec) -> Path:
    path = Path(spec.path).expanduser()
    if path.suffix.lower() not in KINDS:
        raise DataError(f"file {path}: cannot read this kind; use one of {', '.join(KINDS)}")
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
    except UnicodeDecodeError as error:
        raise DataError(f"file {path}: not UTF-8 text; save it as CSV in UTF-8") from error
    except ImportError as error:
        raise DataError(f"file {path}: Parquet needs pyarrow: pip install pyarrow") from error
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"file {path}: cannot be read ({error})") from error


def _header(path: Path) -> tuple[str, list[str]]:
    """A text table's delimiter and its column names, as they stand in the file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
        if not first:
            raise DataError("the file is empty")
        # The delimiter is the sign that cuts the header into the most columns.
        delimiter = max(",;\t", key=lambda sign: len(next(csv.reader([first], delimiter=sign))))
        file.seek(0)
        rows = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        return delimiter, next(row for row in rows if row not in ([], [""]))
