"""Tables in text files: their encoding, their delimiter, their cells."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
from pathlib import Path

import pandas as pd

from smoothray.datasets.cells import plain_commas
from smoothray.errors import DataError

SPACES = r"\s+"
_TOP = 20  # lines that are looked at to find the delimiter and the header


class TextTable:
    """A text file as a table.

    Attributes:
        names: the columns' names as they stand in the file.
        header_row: the number of the row that they stand in, counted from 1.
        notices: what was found out about the file.
    """

    def __init__(self, path: Path, *, spaces: bool = False) -> None:
        """Find the encoding, the delimiter and the header. spaces: cells may be parted by spaces alone.

        Raises:
            DataError: the file holds no text, or nothing.
        """
        self.text, self.notices = _decode(path)
        lines = self.text.splitlines(keepends=True)
        said = re.fullmatch(r"sep=(.)\s*", lines[0]) if lines else None  # as Excel writes it
        start = 1 if said else 0
        blank = sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), lines[start:]))
        self.header_row = start + blank + 1
        top = lines[self.header_row - 1 :][:_TOP]
        if not top:
            raise DataError("the file is empty")
        self.delimiter = said[1] if said else find_delimiter(top, spaces)
        self.rows = _cut(top, self.delimiter)
        self.names = self.rows[0]

    def top_rows(self) -> list[list[str]]:
        """The cells of the file's first rows."""
        return [[]] * (self.header_row - 1) + self.rows

    def frame(self, *, as_text: bool = False) -> pd.DataFrame:
        """The rows under the header, empty ones among them. as_text: no cell turned into a number."""
        try:
            frame = pd.read_csv(
                io.StringIO(self.text),
                sep=self.delimiter,
                skiprows=self.header_row - 1,
                index_col=False,  # else a row longer than the header would shift every column
                skipinitialspace=True,
                skip_blank_lines=False,
                low_memory=False,
                dtype=str if as_text else None,
            )
        except pd.errors.ParserError as error:
            # "Expected 2 fields in line 3, saw 3"
            said = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
            if not said:
                raise
            raise DataError(
                f"cannot be read: line {said[2]} has {said[3]} cells, more than the {said[1]} above it; "
                "put text that holds the delimiter in quotes"
            ) from error
        if len(frame.columns) != len(self.names):
            raise DataError("the header cannot be cut into columns")
        frame.columns = pd.Index(self.names)  # as they stand: pandas renames doubled and empty ones
        return _without_empty_end(frame)

    def has_plain_commas(self, units: bool) -> bool:
        """Whether numbers have decimal commas. units: leave the first row out."""
        if self.delimiter == ",":
            return False
        return plain_commas(self.frame(as_text=True).iloc[int(units) :])


def find_delimiter(lines: list[str], spaces: bool = False) -> str:
    r"""The sign that cuts a table's first lines into rows of one length, and the header into the most cells.

    >>> find_delimiter(["a;b, c\n", "1,5;2\n"]), find_delimiter(["a  b\n", "1  2\n"], spaces=True)
    (';', '\\s+')
    """

    def fits(sign: str) -> tuple[bool, int, int]:
        widths = [len(row) for row in _cut(lines, sign) if row]
        return len(set(widths)) == 1 < widths[0], widths[0], max(widths)

    best = max("\t;,", key=fits)  # of equals the one that text holds least often
    return SPACES if spaces and fits(best)[1] == 1 < fits(SPACES)[1] else best


def _cut(lines: list[str], delimiter: str) -> list[list[str]]:
    if delimiter == SPACES:
        return [line.split() for line in lines]
    return list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))


def _decode(path: Path) -> tuple[str, list[str]]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    notices = []
    try:
        wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = raw.decode("cp1252")
        except UnicodeDecodeError as error:
            raise DataError("not UTF-8 text; save it as CSV in UTF-8") from error
        notices.append("the file is not in UTF-8: it was read as Windows-1252 (Western European)")
    if "\0" in text or raw.startswith(b"PK\x03\x04"):
        raise DataError("this is no text, whatever its name says; save it as CSV in UTF-8")
    if "\r" in text and "\n" not in text:
        text = text.replace("\r", "\n")
    return text, notices


def _without_empty_end(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame without the nameless columns at its end that hold nothing."""
    width = len(frame.columns)
    while (
        width > 1
        and not str(frame.columns[width - 1]).strip()
        and frame.iloc[:, width - 1].isna().all()
    ):
        width -= 1
    return frame.iloc[:, :width]
