"""MLflow: one experiment a study, a parent run per (data set, arm, student), a child run per trial.

Runs are written through the client in three calls each and carry no artifacts but the parents':
`trials.parquet`, which is what resuming and the analysis read, and a picture of a front. What describes a
parent (`records/outline.py`) is written at its end, off every trial's way.
"""

from __future__ import annotations

import json
import math
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from smoothray.errors import StudyError
from smoothray.records import outline
from smoothray.records.cells import Cell, by_cell, cell_name, digest, parameters
from smoothray.records.connection import (
    artifact_location,
    client_of,
    database_file,
    reaching,
    shown,
    there_is_a_database,
    tracking_uri,
)
from smoothray.records.parquet import read_parquet, write_parquet
from smoothray.records.schema import Record
from smoothray.study.plan import Key

TABLE = "trials.parquet"
FRONT = "front.png"
NOTE = "mlflow.note.content"
CONTEXT = "mlflow.data.context"
IDENTITY = "smoothray.identity"
DIGEST = "smoothray.digest"
STOPPED = "smoothray.stopped"
MODEL = "smoothray.model"
TABLE_OF_RUNS = {"mlflow.experimentKind": "custom_model_development"}
"""Has MLflow's pages open on the runs, rather than on its tools for language models."""
VIEW = "smoothray"
COLUMNS = (
    *("params.dataset", "params.penalty", "params.strength", "params.student"),
    *("metrics.student_r2_test", "metrics.student_r2_val", "metrics.teacher_r2_test"),
    *("metrics.fidelity_test", "metrics.complexity", "metrics.failed"),
)
VIEW_STATE = json.dumps(
    {
        "searchFilter": "tags.`smoothray.kind` = 'cell'",
        "orderByKey": "metrics.`student_r2_val`",
        "orderByAsc": False,
        "selectedColumns": ["{}.`{}`".format(*name.split(".")) for name in COLUMNS],
    }
)
"""A table of parent runs, the best formulas first."""
WRITERS = 4
"""Runs that are written at a time where MLflow is not a file here."""
METRICS = (
    "student_r2_test", "student_r2_val", "fidelity_test", "teacher_r2_test", "complexity",
    "student_jacobian", "teacher_jacobian", "alignment", "student_seconds",
)  # fmt: skip


class Tracker:
    """One study's place in MLflow."""

    def __init__(self, study: str) -> None:
        self.study, self.uri = study, tracking_uri()
        self._client: Any = None
        self._experiment: str | None = None
        self._identity: dict[str, Any] | None = None
        self._parents: dict[str, str] = {}
        self._started: dict[str, int] = {}
        self._models: dict[str, tuple[str, str]] = {}
        self._tables: dict[str, str] = {}
        self._finished: dict[str, bool] = {}
        self._decisions: list[dict[str, Any]] = []

    def client(self) -> Any:
        """MLflow's client; the first call makes the database where there is none.

        Raises StudyError for an address that MLflow does not take, TrackingError where it is away.
        """
        if self._client is None:
            self._client = client_of(self.uri)
        return self._client

    def open(self) -> bool:
        """Look for the study's experiment; False if there is none yet. Makes no database.

        Raises StudyError for an address that MLflow does not take or an experiment in its trash;
        TrackingError where MLflow cannot be reached now.
        """
        if self._client is None and not there_is_a_database(self.uri):
            folder = database_file(self.uri).parent
            if not os.access(folder, os.W_OK):
                raise StudyError(
                    f"MLflow cannot make the database '{shown(self.uri)}': no folder {folder} to write to"
                )
            return False
        client = self.client()
        with reaching(self.uri):
            experiment = client.get_experiment_by_name(self.study)
        if experiment is None:
            return False
        if experiment.lifecycle_stage != "active":
            raise StudyError(
                f"MLflow has deleted the experiment '{self.study}' but keeps it in its trash; restore it, "
                f"or empty the trash ('mlflow gc --backend-store-uri {shown(self.uri)}'), or rename the study"
            )
        self._experiment = experiment.experiment_id
        if IDENTITY in experiment.tags:
            self._identity = json.loads(experiment.tags[IDENTITY])
        with reaching(self.uri, "cannot be read"):
            cells = self._search("tags.`smoothray.kind` = 'cell'")
        for run in cells:
            name = run.data.tags["smoothray.cell"]
            self._parents[name] = run.info.run_id
            self._started[name] = run.info.start_time
            self._tables[name] = run.data.tags.get(DIGEST, "")
            self._finished[name] = run.info.status == "FINISHED"
            if MODEL in run.data.tags:
                model_id, _, made = run.data.tags[MODEL].partition(" ")
                self._models[run.data.params["dataset"]] = (model_id, made)
            if STOPPED in run.data.tags:
                self._decisions.append(json.loads(run.data.tags[STOPPED]))
        return True

    def holds(self, cell: Cell, records: Iterable[Record], complete: bool) -> bool:
        """Whether a cell's table held just these records when the study was opened, and its run had ended
        well if it is complete."""
        name = cell_name(cell)
        finished = self._finished.get(name, False) or not complete
        return finished and self._tables.get(name) == digest(records)

    def decisions(self) -> list[dict[str, Any]]:
        """Which arms were stopped, as it was recorded with them."""
        return self._decisions

    def identity(self) -> dict[str, Any] | None:
        """The study's identity as it was recorded."""
        return self._identity

    def create(self, identity: Mapping[str, Any]) -> None:
        """Create the study's experiment if there is none, and keep its identity there."""
        tag = json.dumps(identity, sort_keys=True)
        self.client()
        if self._experiment is None and not self.open():
            tags = {IDENTITY: tag, **TABLE_OF_RUNS}
            place = artifact_location(self.uri, self.study)
            self._experiment = self._client.create_experiment(self.study, place, tags=tags)
        elif identity != self._identity:
            self._client.set_experiment_tag(self._experiment, IDENTITY, tag)
        self._identity = json.loads(tag)

    def records(self, known: Mapping[Key, Record]) -> list[Record]:
        """The records of the parents' tables, leaving out tables that hold just what is known.

        Raises TrackingError, or StudyError, where they cannot be read.
        """
        found: list[Record] = []
        held = {cell_name(cell): digest(group) for cell, group in by_cell(known).items()}
        with (
            reaching(self.uri, "cannot be read"),
            tempfile.TemporaryDirectory(prefix="smoothray-") as folder,
        ):
            for name, run_id in self._parents.items():
                if self._tables[name] == held.get(name):
                    continue
                names = [item.path for item in self._client.list_artifacts(run_id)]
                if TABLE in names:
                    found += read_parquet(
                        Path(self._client.download_artifacts(run_id, TABLE, folder))
                    )
        return found

    def deliver(self, records: Iterable[Record], in_doubt: bool) -> None:
        """Write one child run per record.

        in_doubt: a record may have been delivered before, whole or in part; what there is is replaced.
        """
        records = list(records)
        if in_doubt:
            for key in map(Key.of, records):
                for run in self._search(f"tags.`smoothray.key` = '{key}'"):
                    self._client.delete_run(run.info.run_id)
        for key in map(Key.of, records):
            self._parent(key.cell)
        # A database or server elsewhere is waited for by several at once; SQLite takes one writer.
        writers = 1 if self.uri.startswith("sqlite:") else WRITERS
        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(self._child, records))

    def finish_cell(
        self,
        cell: Cell,
        records: list[Record],
        complete: bool,
        stopped: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a cell's aggregates, what describes it and its table of all records; end the parent run if it
        is complete. A run lasts as long as the work did, not as long as its delivery.

        stopped: the decision that its arm was stopped, if it was.
        """
        run_id = self._parent(cell)
        with tempfile.TemporaryDirectory(prefix="smoothray-") as folder:
            write_parquet(records, Path(folder) / TABLE)
            self._client.log_artifact(run_id, str(Path(folder) / TABLE))
            middle = outline.median_trial(records)
            if middle is not None:
                outline.draw_front(middle, Path(folder) / FRONT)
                self._client.log_artifact(run_id, str(Path(folder) / FRONT))
        good = [record for record in records if record["status"] == "ok"]
        values = {}
        for name in METRICS:  # the first one is what MLflow's page of compared runs plots
            column = [record[name] for record in good if _is_number(record[name])]
            if column:
                values[name] = statistics.median(column)
        values |= {"trials": float(len(records)), "failed": float(len(records) - len(good))}
        tags = {NOTE: outline.description(cell, records), **outline.origin(records)}
        self._log(run_id, values, tags=tags)
        self._log_data(run_id, records[-1])
        if stopped:
            self._client.set_tag(run_id, STOPPED, json.dumps(dict(stopped)))
        work = 1000 * sum(map(outline.work_seconds, records))
        end = self._started[cell_name(cell)] + int(work)
        self._client.set_terminated(run_id, "FINISHED" if complete else "KILLED", end)
        self._client.set_tag(
            run_id, DIGEST, digest(records)
        )  # last: it says that all of this is there

    def _log_data(self, run_id: str, record: Record) -> None:
        """Say which data set a run is of: its name, digest and rows."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        data = Dataset(
            name=record["dataset"], digest=record["fingerprint"][:36], source_type="smoothray",
            source=json.dumps({"name": record["dataset"]}),
            profile=json.dumps(outline.rows(record)),
        )  # fmt: skip
        self._client.log_inputs(run_id, [DatasetInput(data, [InputTag(CONTEXT, "study")])])

    def log_model(self, cell: Cell, records: list[Record]) -> None:
        """Keep the formula of a cell's median trial as MLflow's model of its data set, not an older one.

        The trial is chosen as `outline.median_trial` says, the cell by its caller.
        """
        # SymPy takes a second to load, and is needed here alone.
        from smoothray.formulas import names_in
        from smoothray.records.models import log_formula_model

        middle = outline.median_trial(records)
        dataset, name = cell[0], cell_name(cell)
        made = f"{name} {digest(records)}"
        old = self._models.get(dataset)
        if middle is None or (old and old[1] == made):
            return
        formula = middle["formula"]
        run_id = self._parent(cell)
        saved = {"formula": [formula], "columns": names_in(formula)}
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")
        model_id = log_formula_model(self._client, run_id, saved, plain).rpartition("/")[2]
        for other in self._parents.values() if old else ():
            if old and self._client.get_run(other).data.tags.get(MODEL, "").startswith(old[0]):
                self._client.delete_tag(other, MODEL)
        if old:
            self._client.delete_logged_model(old[0])
        self._client.set_tag(run_id, MODEL, f"{model_id} {made}")
        self._models[dataset] = (model_id, made)

    def log_report(self, name: str, folder: Path, files: Iterable[Path]) -> None:
        """Keep a report's files as the artifacts of a run of that name, in place of an older one.

        Raises TrackingError where MLflow cannot be reached.
        """
        with reaching(self.uri):
            old = self._search("tags.`smoothray.kind` = 'report'")
            run = self._client.create_run(
                self._experiment, tags={"smoothray.kind": "report"}, run_name=name
            )
            for file in files:
                inside = file.relative_to(folder).parent.as_posix()
                self._client.log_artifact(
                    run.info.run_id, str(file), None if inside == "." else inside
                )
            self._client.set_terminated(run.info.run_id, "FINISHED")
            for other in old:
                if other.info.run_name == name:
                    self._client.delete_run(other.info.run_id)

    def _search(self, condition: str) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], condition, max_results=1000, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def _parent(self, cell: Cell) -> str:
        dataset, arm, student = cell
        name = cell_name(cell)
        if name not in self._parents:
            tags = {"smoothray.kind": "cell", "smoothray.cell": name}
            run = self._client.create_run(
                self._experiment, tags=tags, run_name=f"{arm} · {dataset} · {student}"
            )
            shown = parameters(dataset, arm, student) | outline.settings(self._identity, student)
            self._log(run.info.run_id, {}, shown)
            self._parents[name] = run.info.run_id
            self._started[name] = run.info.start_time
        return self._parents[name]

    def _child(self, record: Record) -> None:
        key = Key.of(record)
        tags = {
            "smoothray.kind": "trial",
            "smoothray.key": str(key),
            "mlflow.parentRunId": self._parent(key.cell),
            "status": record["status"],
            "formula": (record["formula"] or "")[:5000],
            "reason": record["reason"] or "",
        }
        end = int(time.time() * 1000)
        run = self._client.create_run(
            self._experiment,
            start_time=end - int(1000 * outline.work_seconds(record)),
            tags=tags,
            run_name=f"{key.arm} · trial {key.trial} · {key.dataset}",
        )
        shown = {**parameters(*key.cell), "trial": str(key.trial)}
        self._log(run.info.run_id, {name: record[name] for name in METRICS}, shown)
        self._client.set_terminated(
            run.info.run_id, "FINISHED" if record["status"] == "ok" else "FAILED", end
        )

    def _log(
        self,
        run_id: str,
        metrics: Mapping[str, Any],
        parameters: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        self._client.log_batch(
            run_id,
            [Metric(n, float(v), now, 0) for n, v in metrics.items() if _is_number(v)],
            [Param(name, value) for name, value in (parameters or {}).items()],
            [RunTag(name, value) for name, value in (tags or {}).items()],
        )


def pages() -> list[tuple[str, str]]:
    """Each study's name, the latest first, and the end of the address that opens its table of parent runs.

    The columns are a view that MLflow keeps with the experiment, as its own button for sharing does. Raises
    StudyError or TrackingError where MLflow cannot be used.
    """
    client = client_of(tracking_uri())
    with reaching(tracking_uri()):
        experiments = [e for e in client.search_experiments() if IDENTITY in e.tags]
    with suppress(Exception):  # who may only read sees MLflow's own columns
        for experiment in experiments:
            if experiment.tags.get(f"mlflow.sharedViewState.{VIEW}") != VIEW_STATE:
                client.set_experiment_tag(
                    experiment.experiment_id, f"mlflow.sharedViewState.{VIEW}", VIEW_STATE
                )
    experiments.sort(key=lambda experiment: -experiment.last_update_time)
    return [
        (e.name, f"#/experiments/{e.experiment_id}/runs?viewStateShareKey={VIEW}")
        for e in experiments
    ]


def known_studies() -> list[str]:
    """The names of the studies in MLflow; none where it cannot be asked."""
    if not there_is_a_database(tracking_uri()):
        return []
    try:
        experiments = client_of(tracking_uri()).search_experiments()
    except Exception:
        return []
    return sorted(experiment.name for experiment in experiments if IDENTITY in experiment.tags)


def reachable() -> None:
    """Raises StudyError or TrackingError where MLflow cannot be used; creates no database."""
    Tracker("smoothray-doctor").open()


def _is_number(value: Any) -> bool:
    return value is not None and math.isfinite(value)
