"""What made the records: smoothray and the programs that it rests on, by their versions."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd


def made_with(records: pd.DataFrame) -> list[tuple[str, int]]:
    """Each set of versions that records were made with, and of how many records; the most first.

    records: a row a trial, with `version` (smoothray's own) and `versions` (of everything else, as "python
    3.11.7, torch 2.13.0"); older records lack one or both.
    """
    texts = _texts(records).value_counts(sort=False)
    return sorted(
        ((str(text), int(n)) for text, n in texts.items()), key=lambda row: (-row[1], row)
    )


def differing(texts: Iterable[str]) -> list[str]:
    """The parts of version texts that are not everywhere the same, each with all its versions.

    A part that a text does not name, as another student's, does not differ.

    >>> differing(["python 3.11.7, torch 2.12.0", "python 3.11.7, torch 2.13.0, pysr 2.7.0"])
    ['torch 2.12.0 / 2.13.0']
    """
    by_part: dict[str, set[str]] = {}
    for text in texts:
        for part in filter(None, text.split(", ")):
            name, _, version = part.rpartition(" ")
            by_part.setdefault(name, set()).add(version)
    return [f"{name} {' / '.join(sorted(v))}" for name, v in by_part.items() if len(v) > 1]


def differences(records: pd.DataFrame) -> str:
    """A sentence that names what differs in the versions of the records; empty where nothing does."""
    parts = differing(_texts(records).unique())
    if not parts:
        return ""
    return (
        f"the records were made with different versions of {', '.join(parts)}; "
        "differences between arms may be differences between versions"
    )


def _texts(records: pd.DataFrame) -> pd.Series:
    """All versions of each record in one text; empty where it names none."""
    text = pd.Series("", index=records.index, dtype=object)
    for column, start in (("version", "smoothray "), ("versions", ", ")):
        if column in records:
            text += (start + records[column].astype(object)).fillna("")
    return text.str.removeprefix(", ")
