"""Records as Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smoothray.records.fronts import SCORED, scores_of
from smoothray.records.schema import REAL, SCHEMA, Record, in_order, with_all_fields

IDENTITY, DECISIONS = b"smoothray.identity", b"smoothray.decisions"
"""Where a file of records has its study's identity, and what its search decided."""


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
