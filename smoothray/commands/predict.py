"""`smoothray predict`: a saved formula on the rows of a new table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.markup import escape

from smoothray.commands.console import number, out, rows_table, show
from smoothray.datasets import DatasetSpec, Encoding
from smoothray.datasets.from_file import read
from smoothray.distillation.distiller import SymbolicDistiller
from smoothray.errors import DataError, StudyError, plural
from smoothray.formulas import Program

SHOWN = 10
HEADER = 1


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a saved formula says of a table.

    table: a row for each of the table's: `row`, its number in the file, whose header is row 1; `prediction`
    (one for each target of several), empty where there is none; `outside`, the columns that lie outside the
    training range; `note`, why there is no value. told: what the person should know, a line each.
    """

    table: pd.DataFrame
    told: list[str]

    @property
    def values(self) -> list[str]:
        return [name for name in self.table.columns if name.startswith("prediction")]


def predict(model: SymbolicDistiller, frame: pd.DataFrame) -> Predictions:
    """Predict the rows of a raw table: categories encoded as in training, what is odd marked.

    Raises DataError where a column that the formula needs is not there.
    """
    expressions = _each(model.sympy())
    names = [str(symbol) for expr in expressions for symbol in expr.free_symbols]
    encoding = model.encoding_ or _of_numbers(model)
    wanted = [name for name in encoding.features if name in names]
    named = hasattr(model, "feature_names_in_")
    rows = encoding.apply(frame if named else _by_position(frame, encoding.features), wanted)
    X = rows.X.to_numpy(dtype=np.float64).reshape(len(frame), len(wanted))
    usable = np.isfinite(X).all(1)
    table = pd.DataFrame({"row": np.arange(len(frame)) + frame.attrs.get("first_row", HEADER + 1)})
    defined = np.ones(len(frame), dtype=bool)
    for place, expr in enumerate(expressions, start=1):
        values = np.full(len(frame), np.nan)
        values[usable] = Program(expr, wanted).values(X[usable]) if wanted else float(expr)
        defined &= np.isfinite(values) | ~usable
        title = "prediction" if len(expressions) == 1 else f"prediction {place}"
        table[title] = np.where(np.isfinite(values), values, np.nan)
    table["outside"] = ["; ".join(names) for names in rows.outside]
    table["note"] = [
        _note(gaps, unknown, has_value, encoding)
        for gaps, unknown, has_value in zip(rows.gaps, rows.unknown, defined, strict=True)
    ]
    told = []
    if rows.missing:
        told.append(f"not in the table, and not needed: {', '.join(rows.missing)}")
    if rows.extra:
        told.append(f"not used, since the formula was made without: {', '.join(rows.extra)}")
    return Predictions(table, told)


def read_table(path: Path, sheet: str = "", decimal: str = "") -> pd.DataFrame:
    """The table in a file, as `smoothray distill` reads it. Raises DataError."""
    spec = DatasetSpec("file", path.stem, str(path), sheet=sheet, decimal=decimal)
    frame, _, _, first_row = read(spec)
    frame.attrs["first_row"] = first_row
    if frame.empty:
        raise DataError(f"file {path}: the table has no rows")
    return frame


def print_predictions(predictions: Predictions) -> None:
    """The first rows, for a person."""
    table, values = predictions.table, predictions.values
    rows = [
        (str(row["row"]), *(number(row[name], 5) for name in values), row["outside"], row["note"])
        for row in table.head(SHOWN).to_dict("records")
    ]
    title = "Predictions" if len(table) <= SHOWN else f"The first {SHOWN} of {len(table)} rows"
    show(rows_table(title, ("row", *values, "outside", "note"), rows))


def print_summary(predictions: Predictions) -> None:
    out.print(escape(summary(predictions)), soft_wrap=True)


def summary(predictions: Predictions) -> str:
    """How many rows have a value, and how many lie outside the training range, by column."""
    table = predictions.table
    without = int(table[predictions.values].isna().any(axis=1).sum())
    parts = [plural(len(table), "row")]
    parts += [f"{without} without a value (see their note)" if without else "all have a value"]
    counts = Counter(name for names in table["outside"] for name in names.split("; ") if name)
    if counts:
        marked = int((table["outside"] != "").sum())
        each = ", ".join(f"{name}: {count}" for name, count in counts.most_common())
        parts.append(
            f"{marked} outside the training range ({each}), where the formula extrapolates"
        )
    return "; ".join(parts)


def write(predictions: Predictions, path: Path) -> None:
    """Write all rows as CSV. Raises StudyError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        predictions.table.to_csv(path, index=False)
    except OSError as error:
        raise StudyError(f"cannot write {path}: {error.strerror}") from None


def _note(gaps: Sequence[str], unknown: dict[str, str], has_value: bool, encoding: Encoding) -> str:
    kinds = {column.name: column.kind for column in encoding.columns}
    parts = [f"{name} is empty" for name in gaps]
    for name, value in unknown.items():
        if kinds[name] == "category":
            parts.append(f"{name} is '{value}', a category that the formula was not made with")
        else:
            parts.append(f"{name} is '{value}', which is no {kinds[name]}")
    if not parts and not has_value:
        parts.append("the formula has no value here")
    return "; ".join(parts)


def _of_numbers(model: SymbolicDistiller) -> Encoding:
    given = getattr(model, "feature_names_in_", range(model.n_features_in_))
    return Encoding.of_numbers(str(name) if isinstance(name, str) else f"x{name}" for name in given)


def _by_position(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The table with the names of a model that was fitted without any."""
    if frame.shape[1] == len(names):
        return frame.set_axis(pd.Index(names), axis=1)
    return frame


def _each(value: object) -> list:
    return list(value) if isinstance(value, list) else [value]
