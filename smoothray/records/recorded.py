"""What is recorded of a study: its journal and MLflow, taken together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from smoothray.errors import StudyError, TrackingError, did_you_mean
from smoothray.records.connection import shown, tracking_uri
from smoothray.records.fronts import says_more
from smoothray.records.journal import Journal
from smoothray.records.schema import Record, with_all_fields
from smoothray.records.tracker import Tracker, known_studies
from smoothray.study.plan import Key


@dataclass
class Recorded:
    """Records and decisions of a study.

    identity: what may not change while it keeps its name; None where nothing is recorded. delivered: the keys
    whose latest record is in MLflow. uncertain: whether MLflow may hold runs that are in no table yet and of
    which the journal knows nothing.
    """

    records: dict[Key, Record] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    identity: dict[str, Any] | None = None
    delivered: set[Key] = field(default_factory=set)
    uncertain: bool = True

    def add_journal(self, journal: Journal, uri: str) -> None:
        """Take in a journal. uri: the MLflow of which `delivered` is to speak."""
        keys: dict[str, Key] = {}
        for entry in journal.entries():
            # Without a journal nothing says which trials were delivered but are in no table yet.
            self.uncertain = False
            if entry["kind"] == "study":
                self.identity = entry["identity"]
            elif entry["kind"] == "record":
                record = with_all_fields(entry["record"])
                key = Key.of(record)
                self.records[key] = record
                keys[str(key)] = key
                self.delivered.discard(key)
            elif entry["kind"] == "decision":
                self.decisions.append(entry["decision"])
            elif entry["kind"] == "delivered" and shown(entry["to"]) == shown(uri):
                self.delivered |= {keys[name] for name in entry["keys"] if name in keys}

    def add_mlflow(self, tracker: Tracker) -> None:
        """Take in what MLflow alone holds. Raises StudyError or TrackingError where it cannot be read."""
        if not tracker.open():
            self.delivered.clear()
            self.uncertain = False
            return
        self.identity = self.identity or tracker.identity()
        for record in tracker.records(self.records):
            key = Key.of(record)
            if key not in self.records or says_more(record, self.records[key]):
                self.records[key] = record
                self.delivered.add(key)
        # What the journal has lost; the order in which strengths were drawn is not kept here.
        self.decisions += [d for d in tracker.decisions() if d not in self.decisions]


def read_study(name: str, say: Callable[[str], None]) -> Recorded:
    """What is recorded of a study; the journal alone where MLflow is away, which is said."""
    recorded, tracker = Recorded(), Tracker(name)
    recorded.add_journal(Journal(name), tracker.uri)
    try:
        recorded.add_mlflow(tracker)
    except (TrackingError, StudyError) as error:
        if not recorded.records:
            raise StudyError(str(error)) from None
        say(f"{error}. Reading the journal alone.")
    return recorded


def require_records(name: str, say: Callable[[str], None]) -> list[Record]:
    """A study's records. Raises StudyError where there are none."""
    return list(require_study(name, say).records.values())


def require_study(name: str, say: Callable[[str], None]) -> Recorded:
    """What is recorded of a study. Raises StudyError where it has no records."""
    recorded = read_study(name, say)
    if not recorded.records:
        file = Journal(name).path
        names = {path.name.removesuffix(".jsonl.gz") for path in file.parent.glob("*.jsonl.gz")}
        names |= set(known_studies())
        hint = did_you_mean(name, names) or (
            f"; there are {', '.join(sorted(names))}"
            if names
            else "; run it first, or set MLFLOW_TRACKING_URI to where it was recorded"
        )
        raise StudyError(
            f"no records of a study '{name}' in {file} or in MLflow at {shown(tracking_uri())}{hint}"
        )
    return recorded
