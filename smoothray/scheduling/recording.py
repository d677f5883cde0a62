"""The recorder as an actor: what trials send it is on disk when it answers."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import ray

from smoothray.errors import StudyError
from smoothray.records.recorder import Lacking, Recorder
from smoothray.records.schema import Record, without_front
from smoothray.search.board import Score
from smoothray.study.plan import Arm, Job, Key, Setting, Teacher, jobs


@ray.remote(max_restarts=0)
class RecorderActor:
    """A study's recorder, beside the driver.

    settled: (data set, arm) that get no more trials. again: recorded keys that are to be done once more.
    folder, environment: the driver's, which say where the journal and MLflow are.
    """

    def __init__(
        self,
        study: str,
        identity: Mapping[str, Any],
        settled: Collection[tuple[str, Arm]],
        again: Collection[Key],
        folder: str,
        environment: Mapping[str, str],
    ) -> None:
        os.chdir(folder)
        os.environ.update(environment)
        self._settled = set(settled)
        self._again = set(again)
        self._opened = False
        self._news: list[Score] = []
        self._broken: str | None = None
        self._troubles: dict[Setting, str] = {}
        self._banks: dict[Teacher, dict[Key, Collection[int]]] = defaultdict(dict)
        self._recorder = Recorder(study, identity, say=lambda text: None)

    def open(self) -> str | None:
        """Take over the journal; what is wrong with it, if it cannot be. Once is enough."""
        if self._opened:
            return None
        try:
            self._recorder.__enter__()
        except StudyError as error:
            return str(error)
        for key, record in self._recorder.records.items():
            self._banks[key.teacher][key] = record["bank"]
        self._recorder.start(complete=lambda cell: cell[:2] in self._settled)
        self._opened = True
        return None

    def todo(self, wanted: Collection[Key]) -> list[Job]:
        """What of these trials is to be done, by the banks that they belong to.

        Raises StudyError where the journal cannot be taken over.
        """
        if refused := self.open():  # a trial's call may come before the driver's
            raise StudyError(refused)
        teachers = {key.teacher for key in wanted}
        recorded = {k: bank for teacher in teachers for k, bank in self._banks[teacher].items()}
        return jobs(wanted, recorded, self._again)

    def add(self, record: Record) -> None:
        """Keep a record."""
        try:
            self._recorder.add(record)
        except StudyError as error:
            self._broken = str(error)
            raise
        score = Score.of(record)
        self._again.discard(score.key)
        self._banks[score.key.teacher][score.key] = record["bank"]
        self._news.append(score)

    def note(self, setting: Setting, reason: str) -> None:
        """Why a try at a setting ended, which Tune begins again."""
        self._troubles[setting] = reason

    def trouble(self, setting: Setting) -> str | None:
        """Why the last try at a setting ended; None where its process said nothing."""
        return self._troubles.get(setting)

    def decide(self, decision: Mapping[str, Any]) -> None:
        """Keep what the search decided. A stopped arm gets no more trials."""
        self._recorder.decide(decision)
        if decision["what"] == "stopped":
            self._settled.add((decision["dataset"], Arm.of(decision)))

    def settle(self, dataset: str, arms: Iterable[Arm]) -> None:
        """These arms get no more trials: their tables can be written."""
        self._settled |= {(dataset, arm) for arm in arms}

    def news(self, seen: int) -> list[Score]:
        """The scores of what was recorded since there were `seen`. Raises StudyError if no more can be."""
        if self._broken:
            raise StudyError(self._broken)
        return self._news[seen:]

    def summary(self, keys: Iterable[Key]) -> dict[str, float]:
        """Medians over the trials of a setting so far, and how many there are: what Tune is told."""
        records = [self._recorder.records[key] for key in keys]
        good = [record for record in records if record["status"] == "ok"]

        def median(name: str) -> float:
            column = [record[name] for record in good if record[name] is not None]
            return float(statistics.median(column)) if column else float("nan")

        return {
            "score": median("student_r2_val"),
            "teacher_r2_val": median("teacher_r2_val"),
            "fidelity_val": median("fidelity_val"),
            "failed": len(records) - len(good),
        }

    def finish(self, timeout: float | None) -> Lacking:
        """Deliver what is left; what MLflow still lacks."""
        lacking = self._recorder.finish(timeout)
        self._recorder.__exit__(None, None, None)
        return lacking

    def rows(self, keys: Iterable[Key]) -> list[Record]:
        """The records of these keys without their fronts."""
        held = self._recorder.records
        return [without_front(held[key]) for key in keys if key in held]
