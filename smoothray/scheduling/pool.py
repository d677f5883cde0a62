"""The pool of student actors: a fit goes to whichever is free; one that hangs or dies is replaced."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ObjectLostError, RayError, RayTaskError

from smoothray.distillation.own_process import START_SECONDS, outgrown
from smoothray.errors import past_limit
from smoothray.records.schema import Record, failed
from smoothray.scheduling.cluster import LOOK_SECONDS
from smoothray.scheduling.fit import Fit, LostOutputs, StudyEnded
from smoothray.scheduling.students import start_student
from smoothray.study.plan import Key
from smoothray.study.settings import StudentSettings

DEATHS_ALLOWED = 2
ANSWER_SECONDS = 60.0
"""How long a free student may take to say that it is alive."""


@dataclass(eq=False)
class Student:
    """A student actor: its node, its fits so far, its memory when it was ready and after its last fit."""

    handle: Any
    node: str = ""
    fits: int = 0
    at_first: int = 0
    now: int = 0

    @property
    def worn(self) -> bool:
        """Whether its memory has grown so much over many fits that a new process is better."""
        return outgrown(self.fits, self.at_first, self.now)


class StudentPool:
    """Students, one a core, for the whole study; an asynchronous actor.

    may_grow: whether more students than there are cores are asked for, which has a cluster start more nodes.
    environment: that of the students' processes.
    """

    def __init__(
        self,
        students: Sequence[StudentSettings],
        seed: int,
        may_grow: bool,
        environment: Mapping[str, str],
        start: Callable[[Sequence[StudentSettings], int, Mapping[str, str]], Any] = start_student,
    ) -> None:
        self._start = lambda: Student(start(students, seed, environment))
        self._may_grow = may_grow
        self._cores = 1
        self._alive: set[str] = set()
        self._lost: set[str] = set()
        self._expected = 0
        self._queue: deque[Fit] = deque()
        self._answers: dict[Key, asyncio.Future[Record]] = {}
        self._news = asyncio.Condition()
        self._students: set[asyncio.Task[None]] = set()
        self._growing: asyncio.Future[None] | None = None
        self._ready = 0
        self._busy = 0
        self._failed_starts = 0
        self._problem: str | None = None
        self._closed = False
        self._watch: asyncio.Task[None] | None = None

    async def expect(self, fits: int) -> None:
        """Start students for fits that are to come, which takes seconds; no more than are left of them."""
        self._expected = fits
        self._begin_watch()

    async def fit(self, fit: Fit) -> Record:
        """The record of a fit, when it is done; a failed one where it comes to nothing.

        One that is asked for again, by a process that took the place of a lost one, is done once.
        """
        if self._closed:
            raise StudyEnded
        self._begin_watch()
        if fit.key not in self._answers:
            self._answers[fit.key] = asyncio.get_running_loop().create_future()
            await self._put(fit)
        return await asyncio.shield(self._answers[fit.key])

    async def state(self) -> dict[str, Any]:
        """How many students there are, are ready, are at work; fits that wait; why none can start."""
        return {
            "students": len(self._students), "ready": self._ready, "busy": self._busy,
            "waiting": len(self._queue), "problem": self._problem,
        }  # fmt: skip

    async def close(self) -> None:
        """End all students, and what waits for them."""
        self._closed = True
        for task in [*self._students, *filter(None, [self._watch])]:
            task.cancel()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(StudyEnded())
        await asyncio.sleep(0.1)  # so that these are told before this process is ended

    def _begin_watch(self) -> None:
        # Not once for all: a pool that was lost and started again is asked for fits and nothing else.
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._keep_up())

    async def _keep_up(self) -> None:
        while True:
            await self._look()
            await self._grow()
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        """See what nodes there are, and how many cores they have: they come and go."""
        alive = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
        self._cores = max(1, int(sum(node["Resources"].get("CPU", 0) for node in alive)))
        before, self._alive = self._alive, {node["NodeID"] for node in alive}
        self._lost |= before - self._alive

    async def _put(self, fit: Fit, first: bool = False) -> None:
        async with self._news:
            if first:
                self._queue.appendleft(fit)
            else:
                self._queue.append(fit)
            self._news.notify()
        await self._grow()

    async def _grow(self) -> None:
        ahead = max(4, self._cores) if self._may_grow else 0
        wanted = max(self._busy + len(self._queue), self._expected)
        while len(self._students) < min(wanted, self._cores + ahead) and not (
            self._problem or self._closed
        ):
            task = asyncio.create_task(self._serve(self._start()))
            self._students.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._students.discard(task)
        self._growing = asyncio.ensure_future(self._grow())

    async def _serve(self, student: Student) -> None:
        """One student's work, from its start to its end."""
        try:
            if not await self._begin(student):
                return
            self._ready += 1
            try:
                while not student.worn:
                    fit = await self._next()
                    self._busy += 1
                    try:
                        if not await self._do(student, fit):
                            return
                    finally:
                        self._busy -= 1
            finally:
                self._ready -= 1
        finally:
            ray.kill(student.handle)

    async def _begin(self, student: Student) -> bool:
        """Wait until a student has a core and is ready; False where it cannot start."""
        lost = len(self._lost)
        try:
            await _of(student.handle.alive.remote())
            ready = _of(student.handle.ready.remote())
            student.at_first, student.node = await asyncio.wait_for(ready, START_SECONDS)
        except TimeoutError:
            self._failed_start(f"one was not ready after {START_SECONDS:g} s")
            return False
        except RayError as error:
            await self._look()
            if len(self._lost) == lost:
                self._failed_start(str(error))
            return False  # what a lost node took with it is no sign that none can start
        self._failed_starts = 0
        return True

    def _failed_start(self, reason: str) -> None:
        self._failed_starts += 1
        if self._failed_starts > DEATHS_ALLOWED + len(self._students):
            self._problem = f"student actors cannot start here: {reason}"

    async def _next(self) -> Fit:
        async with self._news:
            await self._news.wait_for(lambda: bool(self._queue))
            return self._queue.popleft()

    async def _do(self, student: Student, fit: Fit) -> bool:
        """Have a student do a fit; False where the student cannot go on."""
        try:
            await asyncio.wait_for(_of(student.handle.alive.remote()), ANSWER_SECONDS)
        except (RayError, TimeoutError):
            # It was lost while it was idle, and the fit was never begun.
            await self._put(fit, first=True)
            return False
        work = student.handle.fit.remote(fit.dataset, fit.key, fit.outputs, fit.blank)
        try:
            record, student.now = await asyncio.wait_for(_of(work), fit.timeout)
        except TimeoutError:
            self._answer(fit, failed(fit.blank, past_limit(fit.timeout)))
            return False
        except ObjectLostError as error:
            # The process that trained the teacher is gone, and what it said with it.
            self._answers.pop(fit.key).set_exception(LostOutputs(str(error)))
            return True
        except RayTaskError as error:
            self._answer(fit, failed(fit.blank, f"the fit could not run: {error.cause}"))
            return True
        except RayError:
            # Whatever else Ray reports, a lost node or the end of memory, the student is gone.
            await self._died(fit, student.node)
            return False
        except Exception as error:  # whatever it is, someone waits for an answer
            self._answer(fit, failed(fit.blank, f"the fit could not run: {error}"))
            return False
        student.fits += 1
        self._answer(fit, record)
        return True

    async def _died(self, fit: Fit, node: str) -> None:
        fit.deaths.append(node)
        await self._look()
        # Those that a lost node took with it are no sign of what the fit does to its process.
        deaths = sum(place in self._alive for place in fit.deaths)
        if deaths <= DEATHS_ALLOWED:
            await self._put(fit, first=True)
            return
        reason = f"the student's process died {deaths} times (out of memory, or a crash in its native code)"
        self._answer(fit, failed(fit.blank, reason))

    def _answer(self, fit: Fit, record: Record) -> None:
        answer = self._answers.pop(fit.key)
        self._expected = max(0, self._expected - 1)
        if not answer.done():
            answer.set_result(record)


async def _of(reference: Any) -> Any:
    return await reference
