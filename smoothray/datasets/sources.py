"""From a line of a study file to a data set: read the line, check it cheaply, load it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from smoothray.datasets import from_file, from_function, from_pmlb, from_sklearn
from smoothray.datasets.specs import DatasetSpec, checked_name
from smoothray.datasets.table import Dataset, from_frame
from smoothray.errors import DataError, did_you_mean
from smoothray.plugins import is_module


class Source(NamedTuple):
    """A kind of data set: a check that downloads and makes nothing, and a reader."""

    check: Callable[[DatasetSpec], None]
    read: Callable[[DatasetSpec], tuple[Any, ...]]  # the parts of a `Read`, the first two at least


class Read(NamedTuple):
    """What a source gives: a table, its target column, and how its file was read."""

    frame: pd.DataFrame
    target: str
    notices: tuple[str, ...] = ()
    first_row: int = 2


SOURCES: dict[str, Source] = {
    "pmlb": Source(from_pmlb.check, from_pmlb.read),
    "sklearn": Source(from_sklearn.check, from_sklearn.read),
    "file": Source(from_file.check, from_file.read),
    "load": Source(from_function.check, from_function.read),
}

FORMS = {
    "file": "{file: PATH, target: COLUMN}",
    "load": "{load: my_module:my_function, target: COLUMN}",
}
"""How to write what stands as a mapping, with `name: NAME` if one likes."""
_FILE_FORM = FORMS["file"]


def parse_spec(value: str | Mapping[str, object] | DatasetSpec) -> DatasetSpec:
    """Read one data set as a study file names it.

    Args:
        value: "pmlb:NAME", "sklearn:NAME", or a mapping {file: PATH, target: COLUMN, name: NAME},
            where the name may be left out: it is then the file's name without its ending; `sheet` and
            `decimal` may stand there, too (see `DatasetSpec`). Or a function
            of one's own: "my_module:my_function", or {load: my_module:my_function, target: COLUMN,
            name: NAME}, where the function may say the target itself (see `from_function.read`).

    Raises:
        DataError: the text or mapping names no data set; the message says what to write.

    >>> parse_spec("pmlb:230_machine_cpu").name
    '230_machine_cpu'
    >>> parse_spec({"file": "data/concrete.csv", "target": "strength"}).name
    'concrete'
    """
    if isinstance(value, DatasetSpec):
        return value
    if isinstance(value, Mapping):
        return _parse_mapping(value)
    if not isinstance(value, str):
        raise DataError(f"data set {value!r}: write pmlb:NAME, sklearn:NAME or {_FILE_FORM}")
    text = value.strip()
    source, colon, name = (part.strip() for part in text.partition(":"))
    if from_file.kind(text) in from_file.KINDS:
        raise DataError(
            f"data set '{text}': a file needs a target column; "
            f"write {{file: {text.removeprefix('file:').strip()}, target: COLUMN}}"
        )
    named = [key for key in SOURCES if key not in FORMS]
    if not colon:
        raise DataError(
            f"data set '{text}': say where it is from: pmlb:{text}, sklearn:{text} "
            f"or {_FILE_FORM} for a file of your own"
        )
    if source not in SOURCES and is_module(source):
        return _parse_mapping({"load": text})
    if source not in named:
        hint = did_you_mean(source, named)
        raise DataError(
            f"data set '{text}': unknown source '{source}'; "
            f"use one of {', '.join(named)}, {_FILE_FORM} for a file, or my_module:my_function{hint}"
        )
    if not name:
        raise DataError(f"data set '{text}': the name after '{source}:' is missing")
    return DatasetSpec(source, name)


def _parse_mapping(value: Mapping[str, object]) -> DatasetSpec:
    source = "load" if "load" in value else "file"
    of_a_file = ("sheet", "decimal") if source == "file" else ()
    keys = (source, "target", "name", *of_a_file)
    for key in value:
        if key not in keys:
            raise DataError(
                f"data set {dict(value)}: unknown key '{key}'; use {FORMS[source]}, "
                f"and name: NAME if you like{did_you_mean(str(key), keys)}"
            )
    path, target = str(value.get(source) or "").strip(), str(value.get("target") or "").strip()
    for key, text in ((source, path), ("target", target or source == "load")):
        if not text:
            raise DataError(f"data set {dict(value)}: '{key}' is missing; write {FORMS[source]}")
    sheet, decimal = (
        str(value[key] if value.get(key) is not None else "").strip()
        for key in ("sheet", "decimal")
    )
    if decimal not in ("", ".", ","):
        raise DataError(f"data set {dict(value)}: 'decimal' is '.' or ',', not '{decimal}'")
    last = path.rpartition(":")[2] if source == "load" else from_file.stem(path)
    name = str(value.get("name") or re.sub(r"[^\w.\- ]+", "_", last)).strip()
    return DatasetSpec(source, checked_name(name), path, target, sheet, decimal)


def check_spec(spec: DatasetSpec | Dataset) -> None:
    """Check that a data set is there and has its target, without downloading or making it.

    Of one that is at hand already, the name alone: the rest was checked when it was made.

    Raises:
        DataError: an unknown name (the nearest is offered), a missing file or target column.
    """
    if isinstance(spec, Dataset):
        checked_name(spec.name)
    else:
        SOURCES[spec.source].check(spec)


def load_dataset(
    spec: DatasetSpec | Dataset,
    *,
    min_rows: int = 30,
    max_gap_fraction: float = 0.2,
    prepare: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame,
) -> Dataset:
    """Load a data set, download it if need be, and check it as `from_frame` does; a Dataset is as it is.

    prepare: what to do with the table before it is checked.

    Raises:
        DataError: it cannot be had, read or used; the message says why and what to do.
    """
    if isinstance(spec, Dataset):
        return spec
    if spec.source != "file":  # whose reader finds all that itself
        check_spec(spec)
    read = Read(*SOURCES[spec.source].read(spec))
    dataset = from_frame(
        prepare(read.frame),
        read.target,
        name=spec.name,
        min_rows=min_rows,
        max_gap_fraction=max_gap_fraction,
    )
    notices = (*read.notices, *dataset.notices)
    return replace(dataset, notices=notices, first_row=read.first_row)
