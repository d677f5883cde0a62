"""What names a data set: its source, its short name and, for a file, its path and target."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetSpec:
    """One data set, named but not read.

    Attributes:
        source: a key of `smoothray.datasets.SOURCES`: "pmlb", "sklearn" or "file".
        name: the short name used in seeds, records and tables.
        path: where the file is; empty for other sources.
        target: the column to predict; empty for other sources.
    """

    source: str
    name: str
    path: str = ""
    target: str = ""

    def __str__(self) -> str:
        """The canonical text, as a study file would say it.

        >>> str(DatasetSpec("pmlb", "230_machine_cpu"))
        'pmlb:230_machine_cpu'
        >>> str(DatasetSpec("file", "concrete", "concrete.csv", "strength"))
        '{file: concrete.csv, target: strength, name: concrete}'
        """
        if self.source == "file":
            return f"{{file: {self.path}, target: {self.target}, name: {self.name}}}"
        return f"{self.source}:{self.name}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error message that offers the known name nearest to `word`, or nothing.

    >>> did_you_mean("machine_cpu", ["230_machine_cpu", "560_bodyfat"])
    "; did you mean '230_machine_cpu'?"
    >>> did_you_mean("???", ["230_machine_cpu"])
    ''
    """
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""
