"""What names a data set: its source, its short name and, for a file, its path and target."""

from __future__ import annotations

import re
from dataclasses import dataclass

from smoothray.errors import DataError


@dataclass(frozen=True)
class DatasetSpec:
    """One data set, named but not read.

    Attributes:
        source: a key of `smoothray.datasets.SOURCES`: "pmlb", "sklearn", "file" or "load".
        name: the short name used in seeds, records and tables.
        path: where the file is, or the import path of the function; empty for other sources.
        target: the column to predict; empty for other sources, and where the function names it.
        sheet: of an Excel file the sheet's name or number, counted from 1; empty: the first one.
        decimal: "." or "," in a file's numbers; empty: "," where it is plain, else ".".
    """

    source: str
    name: str
    path: str = ""
    target: str = ""
    sheet: str = ""
    decimal: str = ""

    def __str__(self) -> str:
        """The canonical text, as a study file would say it.

        >>> str(DatasetSpec("pmlb", "230_machine_cpu"))
        'pmlb:230_machine_cpu'
        >>> str(DatasetSpec("file", "concrete", "concrete.csv", "strength"))
        '{file: concrete.csv, target: strength, name: concrete}'
        """
        if self.source in ("file", "load"):
            target = f", target: {self.target}" if self.target else ""
            sheet = f", sheet: {self.sheet}" if self.sheet else ""
            decimal = f", decimal: '{self.decimal}'" if self.decimal else ""
            return f"{{{self.source}: {self.path}{target}{sheet}{decimal}, name: {self.name}}}"
        return f"{self.source}:{self.name}"


def checked_name(name: str) -> str:
    """The same name. Raises DataError where tables, files and records could not hold it."""
    if not name or re.search(r"[^\w.\- ]", name):
        raise DataError(
            f"data set name '{name}': use letters, digits, spaces and the signs _ - . alone"
        )
    return name
