"""A study's records as a frame, from one Parquet file or from MLflow, and their fronts on demand."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

KEY = ("dataset", "student", "penalty", "strength", "augment", "ensemble", "trial")
NEEDED = (
    *KEY, "status", "student_r2_val", "student_r2_test", "n_train", "n_test", "complexity", "formula",
    "teacher_r2_test", "fidelity_test", "teacher_jacobian", "alignment", "front",
)  # fmt: skip
LOWEST = -1e100
"""The R² that lower ones are set to, -inf too: far below all others, and differences stay finite."""
TABLE = "trials.parquet"
SCORED = (
    "complexity", "formula", "native", "chosen", "r2_train", "r2_val", "r2_test", "fidelity_train",
    "fidelity_val", "fidelity_test", "val_loss_accuracy", "val_loss_fidelity", "val_error_accuracy",
    "val_error_fidelity", "jacobian", "gradient_max",
)  # fmt: skip
"""What `Records.fronts` reads of a member unless it is told otherwise: all but its MathML."""


class RecordsError(Exception):
    """Records that are not there or cannot be read as a study; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Records:
    """A study's records.

    frame: a row a trial with a record's fields but `front` and `bank`; its index is 0 .. n-1.
    warnings: what a reader should know about these records, a sentence each.
    files: the Parquet files the rows come from, in the frame's order; `rows` of each file.
    kept: of each file the places of the rows that the frame holds, None: all.
    """

    frame: pd.DataFrame
    warnings: tuple[str, ...]
    files: tuple[Path, ...]
    kept: pd.DataFrame
    _folder: Any = field(default=None, repr=False)

    def fronts(
        self, columns: Sequence[str] = SCORED, rows: Sequence[int] | None = None
    ) -> pd.DataFrame:
        """The members of the fronts, a row each: `record` (the row in `frame`) and `columns`.

        rows: the rows of `frame` that are wanted; all, if not given.

        Raises RecordsError where the records have no such column.
        """
        wanted = self.kept if rows is None else self.kept.loc[list(rows)]
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


def load_parquet(path: Path | str) -> Records:
    """The records of one Parquet file. Raises RecordsError."""
    path = Path(path)
    if not path.is_file():
        raise RecordsError(f"there is no file {path}; 'smoothray export STUDY {path}' writes one")
    return _load([path], f"the file {path}", ())


def load_mlflow(study: str, uri: str | None = None) -> Records:
    """The records of a study's parent runs in MLflow.

    uri: where MLflow is; not given: `$MLFLOW_TRACKING_URI`, or sqlite:///mlflow.db. Tables that
    are not on this machine are kept in a folder that goes with the result.

    Raises RecordsError: no such study, no finished table in it, or MLflow cannot be used.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if uri.startswith("sqlite:///"):
        database = Path(unquote(uri.removeprefix("sqlite:///")).partition("?")[0])
        if not database.exists():  # or MLflow would make an empty one
            raise RecordsError(f"there is no MLflow database {database}; set MLFLOW_TRACKING_URI")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    from mlflow import MlflowClient

    try:
        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(study)
    except Exception as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise RecordsError(f"MLflow at {uri} cannot be used: {first[:300]}") from None
    if experiment is None:
        raise RecordsError(f"MLflow at {uri} has no study '{study}'")
    if experiment.lifecycle_stage != "active":
        raise RecordsError(f"the study '{study}' is in MLflow's trash; restore the experiment")
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs(
            [experiment.experiment_id], "tags.`smoothray.kind` = 'cell'", page_token=token
        )
        runs += page
        token = page.token
        if not token:
            break
    folder = tempfile.TemporaryDirectory(prefix="smoothray-")
    files, missing = [], 0
    for run in runs:
        found = _local_table(run.info.artifact_uri)
        if found is None:
            place = Path(folder.name) / run.info.run_id
            place.mkdir()
            try:
                found = Path(client.download_artifacts(run.info.run_id, TABLE, str(place)))
            except Exception:
                missing += 1
                continue
        files.append(found)
    said = f"{missing} of {len(runs)} cells (dataset, arm, student) have no table of trials yet"
    if not files:
        raise RecordsError(f"the study '{study}' has no recorded trials in MLflow at {uri} yet")
    return _load(files, f"the study '{study}'", (said,) if missing else (), folder)


def _local_table(artifacts: str) -> Path | None:
    """The table of a run whose artifacts lie on this machine."""
    if artifacts.startswith("file://"):
        artifacts = unquote(artifacts.removeprefix("file://"))
    path = Path(artifacts) / TABLE
    return path if path.is_file() else None


def _load(files: Sequence[Path], what: str, said: tuple[str, ...], folder: Any = None) -> Records:
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
    known = {*table.column_names, *(name for names in heads for name in names)}
    lacking = [name for name in NEEDED if name not in known]
    if lacking:
        raise RecordsError(f"{what} holds no records of smoothray: it lacks {', '.join(lacking)}")
    if not table.num_rows:
        raise RecordsError(f"{what} holds no records; run the study first")
    frame = table.to_pandas()
    frame["strength"] = frame["strength"].astype(float)
    kept = pd.DataFrame(
        {
            "file": [i for i, part in enumerate(tables) for _ in range(part.num_rows)],
            "place": [j for part in tables for j in range(part.num_rows)],
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
    warnings = list(said)
    twice = frame.duplicated(list(KEY), keep="last")
    if twice.any():
        frame, kept = frame[~twice].reset_index(drop=True), kept[~twice].reset_index(drop=True)
        warnings.append(f"{twice.sum()} trials are recorded twice; the later record of each counts")
    return Records(frame, (*warnings, *_warnings(frame)), tuple(files), kept, folder)


def _warnings(frame: pd.DataFrame) -> list[str]:
    """What makes records hard to compare with each other."""

    def several(column: str, within: str | None = None) -> list[str]:
        if column not in frame:
            return []
        if within is None:
            return sorted(map(str, frame[column].dropna().unique()))
        counts = frame.groupby(within)[column].nunique()
        return sorted(map(str, counts.index[counts > 1]))

    found = []
    if len(versions := several("version")) > 1:
        counts = frame["version"].value_counts()
        parts = ", ".join(f"{counts[version]} by {version}" for version in versions)
        found.append(
            f"the records were made by {len(versions)} versions of smoothray ({parts}); "
            "differences between arms may be differences between versions"
        )
    if len(studies := several("study")) > 1:
        found.append(f"the records are of {len(studies)} studies: {', '.join(studies)}")
    if names := several("fingerprint", "dataset"):
        found.append(f"the data changed between records of {', '.join(names)}")
    if names := several("selection", "student"):
        found.append(f"formulas were chosen by different rules for {', '.join(names)}")
    arms = frame.groupby(["student", "penalty", "augment", "ensemble"]).ngroups
    trials = frame.groupby(["dataset", "student", "penalty", "augment", "ensemble"])[
        "trial"
    ].nunique()
    lacking = arms * frame["dataset"].nunique() - int((trials == trials.max()).sum())
    if lacking:
        whole = arms * frame["dataset"].nunique()
        found.append(
            f"the study is not complete: {lacking} of {whole} arms on a data set have not all "
            f"{trials.max()} trials yet"
        )
    if not (frame["status"] == "ok").any():
        found.append("every trial failed")
    return found


def _read_fronts(file: Path, columns: Sequence[str], rows: np.ndarray) -> pd.DataFrame:
    """The members of the fronts in these rows of a file: `record`, the place in `rows`, and `columns`."""
    opened = pq.ParquetFile(file)
    leaves = [opened.schema.column(i).path for i in range(len(opened.schema))]
    paths = {path.rpartition(".")[2]: path for path in leaves if path.startswith("front.")}
    lacking = [name for name in columns if name not in paths]
    if lacking:
        raise RecordsError(f"the fronts in {file} have no {', '.join(lacking)}")
    table = opened.read([paths[name] for name in columns], use_threads=False)
    front = table["front"].combine_chunks()
    if isinstance(front, pa.ChunkedArray):
        front = pa.concat_arrays(front.chunks) if front.num_chunks else pa.array([], front.type)
    if len(rows) < len(front):
        front = front.take(pa.array(rows))
    members = pc.list_flatten(front)
    fields = {"record": pc.list_parent_indices(front)}
    fields |= {name: pc.struct_field(members, name) for name in columns}
    return pa.table(fields).to_pandas()
