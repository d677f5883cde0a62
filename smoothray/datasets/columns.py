"""What a column of a table holds, and what the columns are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smoothray.datasets.cells import like_numbers, mending
from smoothray.errors import DataError

MAX_LEVELS = 50
_DATE = re.compile(r"\d{4}-\d{2}(-\d{2}|$)|\d{1,4}([-/.])\d{1,2}\2\d{1,4}")

_UNNAMED = re.compile(r"^Unnamed: \d+$")  # what pandas calls a column without a name


def count(number: int, thing: str) -> str:
    """A number with its noun.

    >>> count(1, "row"), count(3, "row")
    ('1 row', '3 rows')
    """
    return f"{number} {thing}" + ("" if number == 1 else "s")


def is_date(column: pd.Series) -> bool:
    """True for dates, times and durations, and for text that looks like dates.

    >>> is_date(pd.Series(["2024-01-31", "2024-02-01"])), is_date(pd.Series(["1-2", "3-5"]))
    (True, False)
    """
    if column.dtype.kind in "mM" or isinstance(column.dtype, pd.PeriodDtype):
        return True
    if column.dtype.kind in "biufc":
        return False
    values = column.dropna().astype(str)
    return len(values) > 0 and all(_DATE.match(value) for value in values.iloc[:20])


def as_numbers(column: pd.Series) -> NDArray[np.float64] | None:
    """The column as finite numbers, gaps as NaN: (n,), or None where it holds categories.

    Raises:
        DataError: dates, complex or infinite numbers, or numbers with some text among them.
    """
    if is_date(column):
        raise DataError(
            f"column '{column.name}' holds dates or times; turn them into numbers "
            "(days since the first one, say) or leave the column out"
        )
    if column.dtype.kind == "c":
        raise DataError(f"column '{column.name}' holds complex numbers; use real ones")
    if column.dtype.kind in "biuf":
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    elif isinstance(column.dtype, pd.CategoricalDtype):
        return None  # its maker has said that they are labels, even where they look like numbers
    else:
        text = column.dropna().astype(str)
        parsed = pd.to_numeric(text, errors="coerce")
        wrong = unreadable(column)
        some = 0 < len(wrong) < len(text) / 2 and text.nunique() > 10
        if some or like_numbers(wrong):
            advice = mending(wrong.iloc[0]) or "mend them or leave their cells empty"
            raise DataError(
                f"column '{column.name}' should hold numbers, but {count(len(wrong), 'value')} "
                f"did not read as one, such as '{wrong.iloc[0]}'; {advice}"
            )
        if len(wrong):
            return None
        numbers = parsed.reindex(column.index).to_numpy(dtype=np.float64)
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        raise DataError(
            f"column '{column.name}' has {count(infinite, 'infinite value')}; "
            "put numbers there or leave the cells empty"
        )
    return numbers


def unreadable(column: pd.Series) -> pd.Series:
    """The values, as text, that do not read as numbers; none of a column of numbers or labels."""
    if column.dtype.kind in "biuf" or isinstance(column.dtype, pd.CategoricalDtype):
        return pd.Series(dtype=object)
    text = column.dropna().astype(str)
    return text[pd.to_numeric(text, errors="coerce").isna()]


def tidy(name: object) -> str:
    """A name without spaces around it, and without line breaks.

    >>> tidy(" Fly Ash\\n(kg) ")
    'Fly Ash (kg)'
    """
    return re.sub(r"\s*[\r\n\t]+\s*", " ", str(name).strip())


def tidy_names(columns: Sequence[object]) -> list[str]:
    """The columns' names as stripped text.

    Raises:
        DataError: two columns share a name.
    """
    names = [
        _UNNAMED.sub("", tidy(column)) or f"unnamed column {position}"
        for position, column in enumerate(columns, start=1)
    ]
    doubled = [each for each, times in Counter(names).items() if times > 1]
    if doubled:
        raise DataError(f"more than one column is named '{doubled[0]}'; rename all but one")
    return names
