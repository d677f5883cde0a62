"""The record of a trial: its fields, and tables of records as Parquet files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

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

IDENTITY, DECISIONS = b"smoothray.identity", b"smoothray.decisions"
"""Where a file of records has its study's identity, and what its search decided."""

FRONTS = ("all", "scores", "none")
"""How much of the fronts a file takes: whole; the scores of the members that validation rows can choose
(`scores_of`); nothing."""
SCORED = (
    "complexity", "complexity_standard", "native", "chosen", "r2_val", "r2_test", "fidelity_test",
    *[f"val_{what}_{aim}" for what in ("loss", "error") for aim in ("accuracy", "fidelity")],
    "jacobian", "unsafe",
)  # fmt: skip
LARGEST = 3e38
"""Single precision goes as far."""

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


def write_parquet(
    records: Iterable[Record],
    path: Path,
    fronts: str = "all",
    identity: Mapping[str, Any] | None = None,
    decisions: Sequence[Mapping[str, Any]] = (),
) -> None:
    """One row a record, in the order of `in_order`.

    fronts: one of FRONTS; but for "all" the file is as small as can be, and LaTeX, which says what the
    formula says, is left out too. identity, decisions: the study's, for `read_identity` and `read_decisions`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = in_order(records)
    if fronts == "scores":
        rows = [{**row, "front": scores_of(row["front"])} for row in rows]
    left_out = {"all": set(), "scores": {"latex"}, "none": {"latex", "front"}}[fronts]
    kept = [field for field in SCHEMA if field.name not in left_out]
    if fronts == "scores":
        kept = [_scored(field) if field.name == "front" else field for field in kept]
    metadata = {}
    if identity is not None:
        metadata[IDENTITY] = json.dumps(identity)
    if decisions:
        metadata[DECISIONS] = json.dumps(list(decisions))
    schema = pa.schema(kept, metadata=metadata or None)
    table = pa.Table.from_pylist(rows, schema=schema)
    if fronts == "all":
        pq.write_table(table, path, compression="zstd")
        return
    split = [field.name for field in schema if field.type == REAL]
    words = [name for name in schema.names if name not in split and name != "front"]
    for field in schema.field("front").type.value_type if fronts == "scores" else ():
        place = f"front.list.element.{field.name}"
        (split if field.type == pa.float32() else words).append(place)
    pq.write_table(
        table, path, compression="zstd", compression_level=19, use_byte_stream_split=split,
        use_dictionary=words,
    )  # fmt: skip


def kept_of_front(record: Record) -> str:
    """How much of a record's front there is: one of FRONTS."""
    front = record["front"]
    if front is None:
        return "none"
    return "scores" if front and front[0].get("formula") is None else "all"


def says_more(record: Record, known: Record) -> bool:
    """Whether a record says more of its fit than the one that is known: that it ended well, or, of the same
    formula, more of its front."""
    if record["status"] != known["status"]:
        return bool(record["status"] == "ok")
    more = FRONTS.index(kept_of_front(record)) < FRONTS.index(kept_of_front(known))
    return bool(more and record["formula"] == known["formula"])


def scores_of(front: Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]] | None:
    """The members of a front that a rule can choose: those whose validation loss, against the labels or the
    teacher, is below that of all smaller ones, in either count of nodes; the recorded choice, the student's
    own and the last. None of None.

    Unsafe members are left out where a safe one can be chosen, as every rule does.
    """
    if front is None:
        return None
    kept = {place for place, m in enumerate(front) if m.get("chosen") or m.get("native")}
    safe = [place for place, member in enumerate(front) if not member.get("unsafe")]
    kept.update((safe or [*range(len(front))])[-1:])
    for loss in ("val_loss_accuracy", "val_loss_fidelity"):
        losses = [_finite(member.get(loss)) for member in front]
        places = [place for place in safe if losses[place] < math.inf] or [*range(len(front))]
        for size in ("complexity", "complexity_standard"):
            least = math.inf
            for place in sorted(places, key=lambda at: (front[at].get(size) or 0, losses[at])):
                if losses[place] < least:
                    least = losses[place]
                    kept.add(place)
    return [_single(front[place]) for place in sorted(kept)]


def _finite(loss: float | None) -> float:
    return math.inf if loss is None or not math.isfinite(loss) else loss


def _single(member: Mapping[str, Any]) -> dict[str, Any]:
    """A member's SCORED, the finite ones within single precision's range."""
    return {
        name: min(max(value, -LARGEST), LARGEST)
        if isinstance(value, float) and math.isfinite(value)
        else value
        for name, value in ((name, member.get(name)) for name in SCORED)
    }


def _scored(front: pa.Field) -> pa.Field:
    """The field of fronts with SCORED alone, in single precision."""
    members = front.type.value_type
    fields = [members.field(name) for name in SCORED]
    single = [(f.name, pa.float32() if f.type == REAL else f.type) for f in fields]
    return pa.field(front.name, pa.list_(pa.struct(single)))


def read_identity(path: Path) -> dict[str, Any] | None:
    """The identity of the study whose records a file holds; None where it does not say or is no such file."""
    identity: dict[str, Any] | None = _held(path, IDENTITY)
    return identity


def read_decisions(path: Path) -> list[dict[str, Any]]:
    """What the search of the study decided whose records a file holds."""
    return _held(path, DECISIONS) or []


def _held(path: Path, name: bytes) -> Any:
    try:
        text = (pq.read_schema(path).metadata or {}).get(name)
        return None if text is None else json.loads(text)
    except (OSError, pa.ArrowInvalid, ValueError):
        return None


def read_parquet(path: Path) -> list[Record]:
    """The records of a file that `write_parquet` wrote; fields that it lacks are empty."""
    rows = pq.read_table(path).to_pylist()
    return list(map(with_all_fields, rows))


def with_all_fields(row: Mapping[str, Any]) -> Record:
    """A record with the fields that it lacks: empty, or what they counted as before they were there."""
    record = {name: row.get(name) for name in SCHEMA.names}
    for name, value in EARLIER.items():
        if record[name] is None:
            record[name] = value
    return record
