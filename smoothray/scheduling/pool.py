"""The pool of student actors: a fit goes to whichever is free; one that hangs or dies is replaced."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from smoothray.records.schema import Record, failed
from smoothray.scheduling.workers import start_student
from smoothray.study.plan import Key
from smoothray.study.settings import StudentSettings

DEATHS_ALLOWED = 2
FITS_AT_LEAST, ROOM = 50, 512 * 2**20
"""An actor is replaced after so many fits if it holds over twice its first memory and so many bytes."""
START_SECONDS = 900.0
"""How long an actor may take until it is ready; PySR compiles for some minutes where nothing is cached."""


@dataclass
class Fit:
    """One fit to do. dataset and outputs are references to objects in Ray's store."""

    key: Key
    dataset: Any
    outputs: Any
    blank: Record
    timeout: float
    deaths: int = 0
    deadline: float = field(default=0.0)


@dataclass(eq=False)
class Actor:
    """A student actor: its fits so far, and its memory when it was ready and after its last fit."""

    handle: Any
    fits: int = 0
    at_first: int = 0
    now: int = 0

    @property
    def worn(self) -> bool:
        """Whether its memory has grown so much over many fits that a new process is better."""
        return self.fits >= FITS_AT_LEAST and self.now > 2 * self.at_first + ROOM


class StudentPool:
    """Student actors, one a core, for the whole study."""

    def __init__(self, students: Sequence[StudentSettings], seed: int) -> None:
        self.students, self.seed = students, seed
        self.idle: list[Actor] = []
        self.starting: dict[Any, tuple[Actor, float]] = {}
        self.working: dict[Any, tuple[Actor, Fit]] = {}
        self.failed_starts = 0
        self.cores = 1
        self.broken: str | None = None

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.starting) + len(self.working)

    def grow(self, waiting: int, cores: int, ahead: int) -> None:
        """Start actors for the fits that wait, one a core and `ahead` more, which ask for more nodes."""
        self.cores = cores
        free = len(self.idle) + len(self.starting)
        for _ in range(min(waiting - free, cores + ahead - self.size)):
            self._start()

    @property
    def waits(self) -> list[Any]:
        """References of which one will be ready when the pool has news."""
        return [*self.starting, *self.working]

    def submit(self, fit: Fit) -> None:
        """Hand a fit to an idle actor."""
        actor = self.idle.pop()
        fit.deadline = time.monotonic() + fit.timeout
        reference = actor.handle.fit.remote(fit.dataset, fit.key, fit.outputs, fit.blank)
        self.working[reference] = (actor, fit)

    def collect(self, done: Sequence[Any]) -> tuple[list[Record], list[Fit]]:
        """Take in what is done: records, and fits to try again because their actor died."""
        records, again = [], []
        for reference in done:
            if reference in self.starting:
                self._take_in(self.starting.pop(reference)[0], reference)
            elif reference in self.working:
                actor, fit = self.working.pop(reference)
                try:
                    record, actor.now = ray.get(reference)
                    records.append(record)
                    self._rest(actor)
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
            if len(self.idle) + len(self.working) >= self.cores:
                # It has no core to start on: a node was lost, or is still to come.
                self.starting[reference] = (actor, now + START_SECONDS)
            elif now > deadline:
                del self.starting[reference]
                ray.kill(actor.handle)
                self._failed_start(f"one was not ready after {START_SECONDS:g} s")
        for reference, (actor, fit) in list(self.working.items()):
            if now > fit.deadline and not ray.wait([reference], timeout=0)[0]:
                del self.working[reference]
                ray.kill(actor.handle)
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
            ray.kill(actor.handle)

    def _start(self) -> None:
        actor = Actor(start_student(self.students, self.seed))
        self.starting[actor.handle.ready.remote()] = (actor, time.monotonic() + START_SECONDS)

    def _rest(self, actor: Actor) -> None:
        """Back to the idle ones, or replaced where its memory has grown."""
        actor.fits += 1
        if actor.worn:
            ray.kill(actor.handle)
            self._start()
        else:
            self.idle.append(actor)

    def _take_in(self, actor: Actor, reference: Any) -> None:
        try:
            actor.at_first = ray.get(reference)
        except RayError as error:
            self._failed_start(str(error))
        else:
            self.failed_starts = 0
            self.idle.append(actor)

    def _failed_start(self, reason: str) -> None:
        self.failed_starts += 1
        # A lost node takes all that were starting on it; they are no sign that none can start.
        if self.failed_starts > DEATHS_ALLOWED + self.size:
            self.broken = f"student actors cannot start here: {reason}"
        else:
            self._start()
