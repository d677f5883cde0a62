"""A study's records as a frame, from Parquet files, and their fronts on demand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smoothray_analysis.arms import LATER, completed
from smoothray_analysis.strengths import FAMILY
from smoothray_analysis.versions import differences

KEY = (
    "dataset", "student", "penalty", "strength", "augment", "ensemble", "stopping", "restart", "trial",
)  # fmt: skip
"""What tells records apart; older ones lack some of it (`arms.LATER`)."""
NEEDED = (
    *[name for name in KEY if name not in LATER], "status", "student_r2_val", "student_r2_test",
    "n_train", "n_test", "complexity", "formula", "teacher_r2_test", "fidelity_test", "teacher_jacobian",
    "alignment",
)  # fmt: skip
LOWEST = -1e100
"""The R² that lower ones are set to, -inf too: far below all others, and differences stay finite."""
SCORED = (
    "complexity", "formula", "native", "chosen", "r2_train", "r2_val", "r2_test", "fidelity_train",
    "fidelity_val", "fidelity_test", "val_loss_accuracy", "val_loss_fidelity", "val_error_accuracy",
    "val_error_fidelity", "jacobian", "gradient_max", "unsafe", "complexity_standard",
)  # fmt: skip
"""What `Records.fronts` reads of a member unless it is told otherwise: all but its MathML."""

MAY_LACK = (
    "unsafe", "complexity_standard", "formula", "mathml", "r2_train", "fidelity_train", "fidelity_val",
    "gradient_max",
)  # fmt: skip
"""Columns of members that older records lack, or files that have the scores of fronts alone. They are then
empty, and of two sizes there is one."""


class RecordsError(Exception):
    """Records that are not there or cannot be read as a study; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Records:
    """A study's records.

    frame: a row a trial with a record's fields but `front` and `bank`; its index is 0 .. n-1.
    warnings: what a reader should know about these records, a sentence each.
    files: the Parquet files the rows come from.
    kept: of each row of the frame its file, its place there, and whether it has a front (`smoothray export
    --fronts none` leaves them out).
    """

    frame: pd.DataFrame
    warnings: tuple[str, ...]
    files: tuple[Path, ...]
    kept: pd.DataFrame

    @property
    def with_fronts(self) -> pd.Series:
        """Of each row whether its front was kept."""
        return self.kept["front"]

    @property
    def has_fronts(self) -> bool:
        """Whether any row has a front."""
        return bool(self.with_fronts.any())

    def without(self, penalties: Collection[str], why: str) -> Records:
        """The records of other penalties, with a warning that says why."""
        here = ~self.frame["penalty"].isin(penalties)
        frame, kept = (
            part[here.to_numpy()].reset_index(drop=True) for part in (self.frame, self.kept)
        )
        return replace(self, frame=frame, kept=kept, warnings=(*self.warnings, why))

    def fronts(
        self, columns: Sequence[str] = SCORED, rows: Sequence[int] | None = None
    ) -> pd.DataFrame:
        """The members of the fronts, a row each: `record` (the row in `frame`) and `columns`.

        rows: the rows of `frame` that are wanted; all, if not given.

        Raises RecordsError where the records have no fronts or no such column.
        """
        if not self.has_fronts:
            raise RecordsError("these records have no fronts: they were exported without them")
        wanted = self.kept if rows is None else self.kept.loc[list(rows)]
        wanted = wanted[wanted["front"]]
        parts = []
        for number, places in wanted.groupby("file", sort=True):
            members = _read_fronts(
                self.files[int(str(number))], columns, places["place"].to_numpy()
            )
            members["record"] = places.index.to_numpy()[members["record"]]
            parts.append(members)
        if not parts:
            return pd.DataFrame(columns=["record", *columns])
        return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def load_parquet(*paths: Path | str, what: str = "") -> Records:
    """The records of one or more Parquet files as one study's.

    paths: of a trial that several files hold, or one file twice, the last record counts. what: how errors
    name the records; not given: by their files.

    Raises RecordsError: a file that is not there or is no table of trials, no records, or fields that lack.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise RecordsError("no file of records was given")
    for file in files:
        if not file.is_file():
            raise RecordsError(
                f"there is no file {file}; 'smoothray export STUDY {file}' writes one"
            )
    what = what or ("the file " if len(files) == 1 else "the files ") + ", ".join(map(str, files))
    tables, heads = [], []
    for file in files:
        try:
            schema = pq.read_schema(file)
            heads.append(schema.names)
            columns = [name for name in schema.names if name not in ("front", "bank")]
            tables.append(pq.read_table(file, columns=columns, use_threads=False))
        except (pa.ArrowInvalid, OSError) as error:
            first = str(error).splitlines()[0][:200]
            raise RecordsError(f"{file} is not a table of trials: {first}") from None
    table = pa.concat_tables(tables, promote_options="permissive")
    fields = {name for names in heads for name in names}
    lacking = [name for name in NEEDED if name not in fields]
    if lacking:
        raise RecordsError(f"{what} holds no records of smoothray: it lacks {', '.join(lacking)}")
    if not table.num_rows:
        raise RecordsError(f"{what} holds no records; run the study first")
    frame = completed(table.to_pandas().reset_index(drop=True))
    frame["restart"] = frame["restart"].astype(int)
    frame["strength"] = frame["strength"].astype(float)
    sizes = frame["complexity"].astype(float)
    standard = frame.get("complexity_standard", sizes)
    frame["complexity_standard"] = standard.astype(float).fillna(sizes)
    kept = pd.DataFrame(
        {
            "file": [i for i, part in enumerate(tables) for _ in range(part.num_rows)],
            "place": [j for part in tables for j in range(part.num_rows)],
            "front": np.concatenate([_has_front(file) for file in files]),
        }
    )
    order = frame.sort_values(list(KEY), kind="stable").index
    frame, kept = frame.loc[order].reset_index(drop=True), kept.loc[order].reset_index(drop=True)
    for name in frame.columns:
        if "_r2_" in name or name.startswith("fidelity_"):
            frame[name] = frame[name].astype(float).clip(lower=LOWEST)
    lost = (frame["status"] == "ok") & frame["student_r2_test"].isna()
    frame.loc[lost, "status"] = "failed"
    if "reason" in frame:
        frame["reason"] = frame["reason"].astype(object).mask(lost, "its score is not a number")
    warnings = []
    twice = frame.duplicated(list(KEY), keep="last")
    if twice.any():
        frame, kept = frame[~twice].reset_index(drop=True), kept[~twice].reset_index(drop=True)
        warnings.append(f"{twice.sum()} trials are recorded twice; the later record of each counts")
    return Records(frame, (*warnings, *_warnings(frame)), tuple(files), kept)


def _warnings(frame: pd.DataFrame) -> list[str]:
    """What makes records hard to compare with each other."""

    def several(column: str, within: str | None = None) -> list[str]:
        if column not in frame:
            return []
        if within is None:
            return sorted(map(str, frame[column].dropna().unique()))
        counts = frame.groupby(within)[column].nunique()
        return sorted(map(str, counts.index[counts > 1]))

    said = [text] if (text := differences(frame)) else []
    if len(studies := several("study")) > 1:
        said.append(f"the records are of {len(studies)} studies: {', '.join(studies)}")
    if names := several("fingerprint", "dataset"):
        said.append(f"the data changed between records of {', '.join(names)}")
    if names := several("selection", "student"):
        said.append(f"formulas were chosen by different rules for {', '.join(names)}")
    arms = frame.groupby(FAMILY[1:]).ngroups
    trials = frame.groupby(FAMILY)["trial"].nunique()
    lacking = arms * frame["dataset"].nunique() - int((trials == trials.max()).sum())
    if lacking:
        whole = arms * frame["dataset"].nunique()
        said.append(
            f"the study is not complete: {lacking} of {whole} arms on a data set have not all "
            f"{trials.max()} trials yet"
        )
    if not (frame["status"] == "ok").any():
        said.append("every trial failed")
    return said


def _leaves(opened: pq.ParquetFile) -> dict[str, str]:
    """The columns of the members of a file's fronts: their places by name."""
    paths = [opened.schema.column(i).path for i in range(len(opened.schema))]
    return {path.rpartition(".")[2]: path for path in paths if path.startswith("front.")}


def _has_front(file: Path) -> np.ndarray:
    """Of each row of a file whether it has a front, an empty one too."""
    opened = pq.ParquetFile(file)
    leaves = _leaves(opened)
    if "complexity" not in leaves:
        return np.zeros(opened.metadata.num_rows, bool)
    column = opened.read([leaves["complexity"]], use_threads=False)["front"]
    return column.is_valid().to_numpy()


def _read_fronts(file: Path, columns: Sequence[str], rows: np.ndarray) -> pd.DataFrame:
    """The members of the fronts in these rows of a file: `record`, the place in `rows`, and `columns`."""
    opened = pq.ParquetFile(file)
    paths = _leaves(opened)
    missing = [name for name in columns if name not in paths]
    lacking = [name for name in missing if name not in MAY_LACK]
    if lacking:
        raise RecordsError(f"the fronts in {file} have no {', '.join(lacking)}")
    table = opened.read([paths[name] for name in columns if name in paths], use_threads=False)
    front = table["front"].combine_chunks()
    if isinstance(front, pa.ChunkedArray):
        front = pa.concat_arrays(front.chunks) if front.num_chunks else pa.array([], front.type)
    if len(rows) < len(front):
        front = front.take(pa.array(rows))
    members = pc.list_flatten(front)
    fields = {"record": pc.list_parent_indices(front)}
    empty = pa.nulls(len(members))
    fields |= {n: empty if n in missing else pc.struct_field(members, n) for n in columns}
    frame = pa.table(fields).to_pandas()
    single = frame.select_dtypes(np.float32).columns
    frame[single] = frame[single].astype(float)
    if {"complexity", "complexity_standard"} <= set(columns):
        standard = frame["complexity_standard"].astype(float)
        frame["complexity_standard"] = standard.fillna(frame["complexity"].astype(float))
    return frame
