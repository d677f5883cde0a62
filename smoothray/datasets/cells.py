"""What the cells of a table look like: numbers with decimal commas, units, a header further down."""

from __future__ import annotations

import re

import pandas as pd

from smoothray.errors import DataError

_EXPONENT = r"(?:[eE][-+]?\d+)?"
_COMMA = re.compile(rf"[-+]?\d*,\d+{_EXPONENT}")
_POINT = re.compile(rf"[-+]?\d*\.\d+{_EXPONENT}|[-+]?\d{{1,3}}(?:\.\d{{3}})+(?:,\d+)?")
_WHOLE = re.compile(rf"[-+]?\d+{_EXPONENT}")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")  # 1,197 may be either
_NUMERIC = re.compile(rf"[-+<>]?\s*[\d.,]*\d[\d.,]*{_EXPONENT}\s*%?")
_ODD = re.compile(r"[-+]?\d{1,3}(?:[,'  ]\d{3})+(?:[.,]\d+)?|[-+]?\d*,\d+|[-+]?[\d.,]+\s*%")


def _texts(column: pd.Series) -> pd.Series:
    """The cells that are text, stripped."""
    if column.dtype.kind in "biufcmM":
        return pd.Series(dtype=object)
    cells = column.dropna()
    return cells[[isinstance(cell, str) for cell in cells]].astype(object).str.strip()


def _matching(texts: pd.Series, pattern: re.Pattern[str]) -> pd.Series:
    return texts[[bool(pattern.fullmatch(text)) for text in texts]]


def like_numbers(texts: pd.Series) -> bool:
    """True where every text is a number in a dress that nothing reads: 1,197.1 or 3,14 or 12 %."""
    return len(texts) > 0 and len(_matching(texts, _ODD)) == len(texts)


def mending(text: str) -> str:
    """What to do about a cell that did not read as a number, or nothing.

    >>> mending("1,197.1"), mending("<0.01")
    ('take thousands separators out', 'put a number there, such as half the limit')
    """
    text = text.strip()
    if text.endswith("%"):
        return "take percent signs out"
    if text[:1] in "<>≤≥" and text[1:].strip()[:1].isdigit():
        return "put a number there, such as half the limit"
    if _COMMA.fullmatch(text) and not _THOUSANDS.fullmatch(text):
        return "if it is a decimal comma, say --decimal , (in a study file: decimal: ',')"
    if _THOUSANDS.fullmatch(text):
        return "take thousands separators out, or say --decimal , if it is a decimal comma"
    if _ODD.fullmatch(text) or _POINT.fullmatch(text):
        return "take thousands separators out"
    return ""


def any_commas(frame: pd.DataFrame) -> bool:
    """Whether any text of the table has a comma."""
    return any(
        "," in text for place in range(frame.shape[1]) for text in _texts(frame.iloc[:, place])
    )


def plain_commas(frame: pd.DataFrame) -> bool:
    """Whether the numbers of a table of texts have decimal commas, beyond doubt.

    So if a column holds nothing but whole numbers and such as 3,14, not all of them could have a comma for
    the thousands, and no cell of the table has a decimal point.
    """
    commas = False
    for place in range(frame.shape[1]):
        texts = _texts(frame.iloc[:, place])
        with_comma = _matching(texts, _COMMA)
        if len(_matching(texts, _POINT)):
            return False
        whole = len(with_comma) + len(_matching(texts, _WHOLE)) == len(texts)
        commas |= whole and len(_matching(with_comma, _THOUSANDS)) < len(with_comma)
    return commas


def with_commas(frame: pd.DataFrame, first_row: int) -> pd.DataFrame:
    """The table with texts such as 3,14 as numbers.

    Raises:
        DataError: a number with a decimal point or thousands separators; the message says where.
    """
    columns = []
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        texts = _texts(column)
        points = _matching(texts, _POINT)
        if len(points):
            row = first_row + int(points.index[0])
            raise DataError(
                f"column '{name}', row {row}: '{points.iloc[0]}' has a point where decimals have "
                "commas; take thousands separators out, and write all decimals one way"
            )
        numbers = _matching(texts, _COMMA)
        if len(numbers):
            column = column.astype(object)
            column[numbers.index] = [float(text.replace(",", ".")) for text in numbers]
        columns.append(column)
    return pd.concat(columns, axis=1) if columns else frame


def units_row(frame: pd.DataFrame) -> str:
    """The first row's texts, where all columns of numbers have something else there; else nothing.

    >>> units_row(pd.DataFrame({"T": ["K", "300", "310"], "y": ["m/s", "1.5", "2"]}))
    'K, m/s'
    """
    if len(frame) < 3:
        return ""
    units = []
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        rest = _texts(column.iloc[1:])
        first = column.iloc[0]
        numeric = column.dtype.kind in "biuf" or (
            column.iloc[1:].notna().any() and len(rest) == len(_matching(rest, _NUMERIC))
        )
        if not numeric or pd.isna(first):
            continue
        if not isinstance(first, str) or _NUMERIC.fullmatch(first.strip()):
            return ""
        units.append(first.strip())
    return ", ".join(units[:6]) + (", ..." if len(units) > 6 else "")


def units_of(frame: pd.DataFrame) -> dict[str, str]:
    """What the first row, which holds units, says of each column; "" where it says nothing.

    >>> units_of(pd.DataFrame([["[K]", None], ["300", "a"]], columns=["T", "kind"]))
    {'T': 'K', 'kind': ''}
    """
    return {
        str(name): "" if pd.isna(value) else str(value).strip(" []()")
        for name, value in frame.iloc[0].items()
    }


def header_below(rows: list[list[str]], target: str) -> int | None:
    """The number of the row, counted from 1, that has the target among its cells."""
    for number, row in enumerate(rows, start=1):
        if len(row) > 1 and target in [" ".join(str(cell).split()) for cell in row]:
            return number
    return None
