"""The record of a trial: its fields, and tables of records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from smoothray import __version__
from smoothray.study.plan import Key

if TYPE_CHECKING:
    import pandas as pd

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
_PARTS = ("train", "val", "test")

MEMBER = pa.struct(
    [
        ("complexity", WHOLE),
        ("complexity_standard", WHOLE),
        ("formula", TEXT),
        ("mathml", TEXT),
        ("loss", REAL),
        ("native", pa.bool_()),
        ("chosen", pa.bool_()),
        *[(f"r2_{part}", REAL) for part in _PARTS],
        *[(f"fidelity_{part}", REAL) for part in _PARTS],
        *[
            (f"val_{what}_{aim}", REAL)
            for what in ("loss", "error")
            for aim in ("accuracy", "fidelity")
        ],
        ("jacobian", REAL),
        ("gradient_max", REAL),
        ("unsafe", pa.bool_()),
        ("simplified", REAL),
    ]
)
"""One member of a Pareto front. loss: mean squared error on the rows that the student was fitted to;
val_loss_*, val_error_*: on validation rows, with its standard error; all on the standard scale. complexity:
nodes in the data's own units where the front was shortened, else on the standard scale, as
complexity_standard always. unsafe: whether its guard refuses it; simplified: by how much its validation loss
rose as its constants became simple; both empty where that was not asked."""

SCHEMA = pa.schema(
    [
        ("study", TEXT),
        ("dataset", TEXT),
        ("penalty", TEXT),
        ("strength", REAL),
        ("augment", WHOLE),
        ("ensemble", WHOLE),
        ("stopping", TEXT),
        ("restart", WHOLE),
        ("student", TEXT),
        ("trial", WHOLE),
        ("n_train", WHOLE),
        ("n_val", WHOLE),
        ("n_test", WHOLE),
        ("n_columns", WHOLE),
        ("student_rows", WHOLE),
        ("version", TEXT),
        ("versions", TEXT),
        ("status", TEXT),
        ("reason", TEXT),
        *[(f"teacher_r2_{part}", REAL) for part in _PARTS],
        *[(f"fidelity_{part}", REAL) for part in _PARTS],
        *[(f"student_r2_{part}", REAL) for part in _PARTS],
        ("complexity", WHOLE),
        ("complexity_standard", WHOLE),
        ("formula", TEXT),
        ("latex", TEXT),
        ("undefined_test", WHOLE),
        ("teacher_jacobian", REAL),
        ("teacher_gradient_max", REAL),
        ("teacher_spectral", REAL),
        ("student_jacobian", REAL),
        ("student_gradient_max", REAL),
        ("alignment", REAL),
        ("teacher_seconds", REAL),
        ("student_seconds", REAL),
        ("student_cpu_seconds", REAL),
        ("selection", TEXT),
        ("fingerprint", TEXT),
        ("bank", pa.list_(WHOLE)),
        ("front", pa.list_(MEMBER)),
    ]
)
"""A record's fields. status: "ok" or "failed", then with a reason. fingerprint: of the data set. versions: of
all that it was made with but smoothray. front: None where a file did not keep it. bank: the trials whose
teachers were trained together. undefined_test: test rows without a value. student_cpu_seconds: the
processor's, whatever else the machine did; None in older records. student_rows: the rows that the student
saw."""

EARLIER: dict[str, Any] = {"stopping": "early", "restart": 0}
"""Fields of a key that older records lack, and what these count as."""

Record = dict[str, Any]


def new_record(
    study: str,
    key: Key,
    sizes: Mapping[str, int],
    fingerprint: str,
    bank: Iterable[int],
    selection: str,
    versions: str = "",
) -> Record:
    """A record with its key and every other field empty; status "ok".

    sizes: rows of each part, and columns.
    """
    known = {
        "study": study,
        "dataset": key.dataset,
        "penalty": key.arm.penalty,
        "strength": key.arm.strength,
        "augment": key.arm.augment,
        "ensemble": key.arm.ensemble,
        "stopping": key.arm.stopping,
        "restart": key.arm.restart,
        "student": key.student,
        "trial": key.trial,
        **{f"n_{part}": sizes[part] for part in _PARTS},
        "n_columns": sizes.get("columns"),
        "version": __version__,
        "versions": versions or None,
        "status": "ok",
        "selection": selection,
        "fingerprint": fingerprint,
        "bank": list(bank),
        "front": [],
    }
    return {name: known.get(name) for name in SCHEMA.names}


def failed(record: Record, reason: str) -> Record:
    """The same record as failed. What it had scored by then stays."""
    return {**record, "status": "failed", "reason": " ".join(reason.split())[:500]}


def without_front(record: Record) -> Record:
    """The same record without what makes it large."""
    return {name: value for name, value in record.items() if name != "front"}


def in_order(records: Iterable[Record]) -> list[Record]:
    """By data set, arm, student and trial."""

    def order(record: Record) -> tuple[Any, ...]:
        strength = record["strength"]
        return (
            record["dataset"], record["penalty"], -math.inf if strength is None else strength,
            record["augment"], record["ensemble"], record["stopping"], record["restart"],
            record["student"], record["trial"],
        )  # fmt: skip

    return sorted(records, key=order)


def as_frame(records: Iterable[Record], fronts: bool = False) -> pd.DataFrame:
    """One row a record, in the order of `in_order`. fronts: whether with them, a list of members a row."""
    left_out = {"bank"} if fronts else {"bank", "front"}
    schema = pa.schema([field for field in SCHEMA if field.name not in left_out])
    return pa.Table.from_pylist(in_order(records), schema=schema).to_pandas()


def with_all_fields(row: Mapping[str, Any]) -> Record:
    """A record with the fields that it lacks: empty, or what they counted as before they were there."""
    record = {name: row.get(name) for name in SCHEMA.names}
    for name, value in EARLIER.items():
        if record[name] is None:
            record[name] = value
    return record
