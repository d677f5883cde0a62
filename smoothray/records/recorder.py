"""The recorder: every record goes to the journal at once, and from there to MLflow in the background."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from smoothray.errors import TrackingError
from smoothray.records.cells import Cell, by_cell
from smoothray.records.connection import shown
from smoothray.records.identity import continued
from smoothray.records.journal import Journal
from smoothray.records.outline import best_cell
from smoothray.records.recorded import Recorded
from smoothray.records.schema import Record
from smoothray.records.tracker import Tracker
from smoothray.study.plan import Arm, Key

BATCH = 50
GATHER_SECONDS = 0.2
"""How long a batch waits for one more record."""
RETRY_SECONDS = 10.0
STOP_SECONDS = 10.0
"""How long an end by Ctrl-C waits for what is just being delivered."""


@dataclass(frozen=True)
class Lacking:
    """What MLflow has not got: how many records and how many cells' tables, and why, if that is known.

    With a problem and neither, formulas are not there as models.
    """

    records: int = 0
    tables: int = 0
    problem: str | None = None


class Recorder:
    """A study's records, kept on disk and delivered to MLflow; a context manager.

    What the journal and MLflow hold already is in `records` from the start. Where MLflow is away, the
    study goes on: the journal keeps what is not delivered, and the next start delivers it.
    """

    def __init__(
        self, study: str, identity: Mapping[str, Any], say: Callable[[str], None] = print
    ) -> None:
        self.study, self.identity, self.say = study, identity, say
        self.journal = Journal(study)
        self.tracker = Tracker(study)
        self.recorded = Recorded()
        self._in_doubt: set[Key] = set()
        self._met = False
        self._queue: queue.Queue[Record | None] = queue.Queue()
        self._complete: Callable[[Cell], bool] = lambda cell: True
        self._thread = threading.Thread(target=self._deliver_all, name="recorder", daemon=True)
        self._changed: set[Cell] = set()
        self._changing = threading.Lock()
        self._stopping = threading.Event()
        self._problem: str | None = None

    @property
    def records(self) -> dict[Key, Record]:
        return self.recorded.records

    @property
    def decisions(self) -> list[dict[str, Any]]:
        return self.recorded.decisions

    @property
    def delivered(self) -> set[Key]:
        """The keys whose latest record is in MLflow."""
        return self.recorded.delivered

    def __enter__(self) -> Recorder:
        """Raises StudyError where the same name stands for another study."""
        self.journal.__enter__()
        try:
            self._load()
        except BaseException:
            self.journal.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *details: Any) -> None:
        if self._thread.is_alive() and details[0] is not None:
            self._stop()
        self.journal.__exit__(*details)

    def start(self, complete: Callable[[Cell], bool]) -> None:
        """Begin delivering. complete(cell): whether a cell has all the trials it will get now."""
        self._complete = complete
        for key in self.records:
            if key not in self.delivered:
                self._in_doubt.add(key)
                self._queue.put(self.records[key])
        # A process that was killed may have left tables behind that lack what was delivered.
        for cell, records in by_cell(self.records).items():
            if not self.tracker.holds(cell, records, complete(cell)):
                self._note({cell})
        self._thread.start()

    def add(self, record: Record) -> None:
        """Keep a new record: it is on disk when this returns."""
        key = Key.of(record)
        self.journal.append("record", record=record)
        if key in self.records:
            # Tried again: what MLflow has of the first try is to be replaced.
            self.delivered.discard(key)
            self._in_doubt.add(key)
        self.records[key] = record
        self._queue.put(record)

    def take_in(self, records: Iterable[Record], decisions: Iterable[Mapping[str, Any]]) -> None:
        """Keep records that were made elsewhere, and what the search decided there; before `start`."""
        records = list(records)
        new = [dict(decision) for decision in decisions if decision not in self.decisions]
        self.journal.extend(
            [
                *({"kind": "record", "record": record} for record in records),
                *({"kind": "decision", "decision": decision} for decision in new),
            ]
        )
        self.records.update((Key.of(record), record) for record in records)
        self.delivered.difference_update(map(Key.of, records))
        self.decisions.extend(new)
        self._note(
            cell for cell in by_cell(self.records)
            if any(decision["what"] == "stopped" and _about(decision, cell) for decision in new)
        )  # fmt: skip

    def decide(self, decision: Mapping[str, Any]) -> None:
        """Keep what the search decided, so that the next start keeps to it."""
        self.journal.append("decision", decision=dict(decision))
        self.decisions.append(dict(decision))
        if decision["what"] == "stopped":
            self._note(cell for cell in by_cell(dict(self.records)) if _about(decision, cell))

    def forget(self) -> None:
        """Let the records go; they are on disk."""
        self.recorded = Recorded()

    def finish(self, timeout: float | None = None) -> Lacking:
        """Deliver what is left; returns what MLflow still lacks."""
        self._queue.put(None)
        self._thread.join(timeout)
        records = sum(key not in self.delivered for key in list(self.records))
        return Lacking(records, len(self._noted()), self._problem)

    def _stop(self) -> None:
        """End delivering once the batch at hand is through: Python that ends with a thread amid it aborts."""
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(STOP_SECONDS)

    def _load(self) -> None:
        self.recorded.add_journal(self.journal, self.tracker.uri)
        journaled = self.recorded.identity
        self._continue()
        try:
            self._meet()
        except TrackingError as error:
            self.say(f"{error}. Until it does, records wait in {self.journal.path}.")
        if journaled != self.identity:
            self.journal.append("study", identity=self.identity)

    def _meet(self) -> None:
        """Look at MLflow for the first time, and take in the records that it alone holds."""
        self.recorded.add_mlflow(self.tracker)
        self._continue()
        self._met = True

    def _continue(self) -> None:
        """Raises StudyError where what is recorded is another study of this name."""
        if self.recorded.identity is not None:
            penalties = {key.arm.penalty for key in self.records}
            self.identity = continued(self.study, self.recorded.identity, self.identity, penalties)

    def _reach(self) -> None:
        """Make sure of the study's experiment in MLflow, which may have been away at the start."""
        if not self._met:
            self._meet()
        self.tracker.create(self.identity)

    def _deliver_all(self) -> None:
        """The thread's work: batches of records, tables of cells that are complete."""
        ending = False
        waiting: list[Record] = []
        while (not ending or waiting) and not self._stopping.is_set():
            if not ending:
                ending = self._gather(waiting)
            if not waiting or self._try(waiting[:BATCH]):
                del waiting[:BATCH]
            elif ending:
                return
            else:  # MLflow is away: let some time pass, but see the end coming
                ending = self._gather(waiting, RETRY_SECONDS)
        self._finish_cells(self._noted())
        self._log_models()

    def _gather(self, waiting: list[Record], seconds: float | None = None) -> bool:
        """Add what is queued to what waits; whether the end was queued, after which nothing comes.

        seconds: for so long. None: until there is a batch, or something that nothing follows closely.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while until is not None or len(waiting) < BATCH:
            pause = GATHER_SECONDS if waiting else None
            if until is not None:
                pause = max(0.0, until - time.monotonic())
            try:
                record = self._queue.get(timeout=pause)
            except queue.Empty:
                break
            if record is None:
                return True
            waiting.append(record)
        return False

    def _try(self, batch: Iterable[Record]) -> bool:
        # A trial may have been tried again while its first record waited: the later one counts.
        latest = {Key.of(record): record for record in batch}
        keys, batch = list(latest), list(latest.values())
        try:
            self._reach()
            doubtful: list[Record] = []
            certain: list[Record] = []
            for record, key in zip(batch, keys, strict=True):
                in_doubt = self.recorded.uncertain or key in self._in_doubt
                (doubtful if in_doubt else certain).append(record)
            # Until this batch is through, a second try must look for what the first one left.
            self._in_doubt |= set(keys)
            self.tracker.deliver(doubtful, in_doubt=True)
            self.tracker.deliver(certain, in_doubt=False)
            self.journal.append(
                "delivered", to=shown(self.tracker.uri), keys=[str(key) for key in keys]
            )
        except Exception as error:  # whatever MLflow raises, the study goes on
            self._problem = _told(error)
            return False
        self._problem = None
        # What was tried again meanwhile is still to be delivered, in place of this.
        through = {key for key, record in latest.items() if self.records.get(key) is record}
        self.delivered.update(through)
        self._in_doubt -= through
        self._note(key.cell for key in keys)
        self._finish_cells(cell for cell in self._noted() if self._complete(cell))
        return True

    def _log_models(self) -> None:
        """Keep the best formula of each data set whose arms are complete; no record hangs on it."""
        by_dataset: dict[str, dict[Cell, list[Record]]] = {}
        for cell, records in by_cell(dict(self.records)).items():
            by_dataset.setdefault(cell[0], {})[cell] = records
        for cells in by_dataset.values():
            best = best_cell(cells)
            if self._stopping.is_set():
                return
            if best is None or not all(map(self._complete, cells)):
                continue
            try:
                self._reach()
                self.tracker.log_model(best, cells[best])
            except Exception as error:
                self._problem = _told(error)
                return

    def _note(self, cells: Iterable[Cell]) -> None:
        """Cells whose tables are to be written anew; both threads come upon them."""
        cells = list(cells)
        with self._changing:
            self._changed.update(cells)

    def _noted(self) -> list[Cell]:
        with self._changing:
            return list(self._changed)

    def _finish_cells(self, cells: Iterable[Cell]) -> None:
        cells = list(cells)
        groups: dict[Cell, list[Record]] = {}
        for cell in cells:
            if self._stopping.is_set():
                return
            try:
                self._reach()  # which may bring in fuller records
                groups = groups or by_cell(dict(self.records))
                stopped = next((d for d in self.decisions if _about(d, cell)), None)
                self.tracker.finish_cell(cell, groups[cell], self._complete(cell), stopped)
            except Exception as error:
                self._problem = _told(error)
                return
            with self._changing:
                self._changed.discard(cell)


def _told(error: Exception) -> str:
    """An error in one line, without a password."""
    return shown(" ".join(str(error).split()))[:300]


def _about(decision: Mapping[str, Any], cell: Cell) -> bool:
    """Whether a decision is that the arm of a cell was stopped."""
    dataset, arm, _ = cell
    about = (decision["dataset"], Arm.of(decision))
    return decision["what"] == "stopped" and about == (dataset, arm)
