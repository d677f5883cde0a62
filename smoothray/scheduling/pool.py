"""The pool of student actors: a fit goes to whichever is free; one that hangs or dies is replaced."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from smoothray.errors import StudentError
from smoothray.plan import Key
from smoothray.records import Record, failed
from smoothray.scheduling.workers import start_actor
from smoothray.settings import StudentSettings

DEATHS_ALLOWED = 2
START_SECONDS = 900.0
"""How long an actor may take until it is ready; PySR compiles for some minutes where nothing is cached."""


@dataclass
class Fit:
    """One fit to do. dataset and lesson are references to objects in Ray's store."""

    key: Key
    dataset: Any
    lesson: Any
    blank: Record
    timeout: float
    deaths: int = 0
    deadline: float = field(default=0.0)


class StudentPool:
    """As many actors as there are cores, for the whole study."""

    def __init__(self, size: int, students: Sequence[StudentSettings], seed: int) -> None:
        self.students, self.seed = students, seed
        self.idle: list[Any] = []
        self.starting: dict[Any, tuple[Any, float]] = {}
        self.working: dict[Any, tuple[Any, Fit]] = {}
        self.failed_starts = 0
        for _ in range(size):
            self._start()

    @property
    def waits(self) -> list[Any]:
        """References of which one will be ready when the pool has news."""
        return [*self.starting, *self.working]

    def submit(self, fit: Fit) -> None:
        """Hand a fit to an idle actor."""
        actor = self.idle.pop()
        fit.deadline = time.monotonic() + fit.timeout
        self.working[actor.fit.remote(fit.dataset, fit.key, fit.lesson, fit.blank)] = (actor, fit)

    def collect(self, done: Sequence[Any]) -> tuple[list[Record], list[Fit]]:
        """Take in what is done: records, and fits to try again because their actor died."""
        records, again = [], []
        for reference in done:
            if reference in self.starting:
                self._take_in(self.starting.pop(reference)[0], reference)
            elif reference in self.working:
                actor, fit = self.working.pop(reference)
                try:
                    records.append(ray.get(reference))
                    self.idle.append(actor)
                except RayTaskError as error:
                    self.idle.append(actor)
                    records.append(failed(fit.blank, f"the fit could not run: {error.cause}"))
                except RayError:
                    # Whatever else Ray reports, a lost node or the end of memory, the actor is gone.
                    self._start()
                    fit.deaths += 1
                    if fit.deaths <= DEATHS_ALLOWED:
                        again.append(fit)
                    else:
                        reason = (
                            f"the student's process died {fit.deaths} times (out of memory, or a "
                            "crash in its native code)"
                        )
                        records.append(failed(fit.blank, reason))
        return records, again

    def end_overdue(self) -> list[Record]:
        """End the actors whose fit, or whose start, is past its time limit."""
        now, records = time.monotonic(), []
        for reference, (actor, deadline) in list(self.starting.items()):
            if now > deadline:
                del self.starting[reference]
                ray.kill(actor)
                self._failed_start(f"one was not ready after {START_SECONDS:g} s")
        for reference, (actor, fit) in list(self.working.items()):
            if now > fit.deadline:
                del self.working[reference]
                ray.kill(actor)
                self._start()
                records.append(
                    failed(fit.blank, f"the fit passed its time limit of {fit.timeout:g} s")
                )
        return records

    def close(self) -> None:
        """End every actor."""
        starting = (actor for actor, _ in self.starting.values())
        working = (actor for actor, _ in self.working.values())
        for actor in [*self.idle, *starting, *working]:
            ray.kill(actor)

    def _start(self) -> None:
        actor = start_actor(self.students, self.seed)
        self.starting[actor.ready.remote()] = (actor, time.monotonic() + START_SECONDS)

    def _take_in(self, actor: Any, reference: Any) -> None:
        try:
            ray.get(reference)
        except RayError as error:
            self._failed_start(str(error))
        else:
            self.failed_starts = 0
            self.idle.append(actor)

    def _failed_start(self, reason: str) -> None:
        self.failed_starts += 1
        if self.failed_starts > DEATHS_ALLOWED:
            raise StudentError(f"student actors cannot start here: {reason}")
        self._start()
