"""The loop that keeps every core busy: Tune asks for arms, teachers feed the students, records come out."""

from __future__ import annotations

import math
import os
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import ray

from smoothray.datasets import Dataset
from smoothray.distillation.trial import Trial
from smoothray.errors import Failure, StudentError, StudyError
from smoothray.penalties import find_penalty
from smoothray.records.schema import Record, failed, new_record
from smoothray.scheduling.desk import Desk
from smoothray.scheduling.pool import Fit, StudentPool
from smoothray.scheduling.teaching import Teachers
from smoothray.search import Search, Turn
from smoothray.study import Study
from smoothray.study.plan import Job, Key, jobs

LOOK_SECONDS = 5.0
"""Seconds between looks at the cluster's nodes."""
TUNE_STARTS = 4
"""How often Tune is started, at most, for what it left over."""
TICK = 0.5
"""Seconds between looks at time limits."""
BANKS_KEPT = 8
"""Banks whose all_outputs are kept for arms that differ in augmentation or student alone."""


def run_search(
    study: Study,
    search: Search,
    datasets: Mapping[str, Dataset],
    recorded: Mapping[Key, Collection[int]],
    again: Collection[Key] = (),
    stopping: Callable[[], bool] = lambda: False,
) -> Generator[Record, None, None]:
    """Run a study's search inside a `ray_session`; each record is yielded as soon as it exists.

    recorded: the keys that have a record, each with the trials of its bank. again: those of them that are
    to be done once more. stopping: asked now and then whether to end, by KeyboardInterrupt. Closing the
    generator ends all work under way.
    """
    # Tune takes seconds to load.
    from smoothray.scheduling.tuning import Tuning

    runner = _Runner(study, datasets)
    orders = _Orders(search, recorded, again)
    desk = Desk.options(max_concurrency=10_000).remote()  # type: ignore[attr-defined]
    tuning = None
    try:
        wanted = search.known_keys()
        runner.prepare([key for key in wanted if key not in recorded or key in again])
        for _ in range(TUNE_STARTS):
            tuning = Tuning(search, desk, runner.concurrent(search))
            news = desk.take.remote()
            while tuning.running:
                done = runner.wait([news])
                if stopping():
                    raise KeyboardInterrupt
                if news in done:
                    for number in ray.get(news):
                        runner.add(orders.place(number, tuning.turns[number]))
                    news = desk.take.remote()
                for record in runner.work(done):
                    search.add(record)
                    orders.fill(record)
                    yield record
                for number, score in orders.answers():
                    desk.answer.remote(number, score)
            tuning.close()
            if tuning.error is not None:
                raise StudyError(f"Ray Tune came to an end by itself: {tuning.error}")
            # Trials whose process died are left over: Tune does not ask again when all was given.
            if not search.left_over():
                return
        raise StudyError("Ray Tune's trials die again and again; see Ray's logs in /tmp/ray")
    finally:
        ray.kill(desk)  # what waits at it ends
        if tuning is not None:
            tuning.close()
        runner.close()


@dataclass
class _Order:
    number: int
    turn: Turn
    missing: set[Key]


class _Orders:
    """What Tune's trials wait for."""

    def __init__(
        self, search: Search, recorded: Mapping[Key, Collection[int]], again: Collection[Key]
    ) -> None:
        self._search = search
        self._recorded = dict(recorded)
        self._again = set(again)
        self._open: list[_Order] = []

    def place(self, number: int, turn: Turn) -> list[Job]:
        """The jobs that a request comes to; none where all of it is recorded."""
        wanted = self._search.wanted(turn.dataset, turn.arm, turn.block)
        missing = {key for key in wanted if key not in self._recorded or key in self._again}
        under_way = set().union(*(order.missing for order in self._open)) if self._open else set()
        self._open.append(_Order(number, turn, missing))
        # A Tune trial whose process died asks once more for what is being done already.
        todo = [key for key in wanted if key not in under_way]
        return jobs(todo, self._recorded, self._again)

    def fill(self, record: Record) -> None:
        key = Key.of(record)
        self._recorded[key] = record["bank"]
        self._again.discard(key)
        for order in self._open:
            order.missing.discard(key)

    def answers(self) -> list[tuple[int, float]]:
        """The scores of what is complete, each with its request's number; nan where all trials failed."""
        found = []
        for order in [order for order in self._open if not order.missing]:
            self._open.remove(order)
            score = self._search.score(order.turn)
            found.append((order.number, math.nan if score is None else score))
        return found


Bank = tuple[str, str, float | None, int, tuple[int, ...]]


class _Runner:
    """Teachers and students on actors of their own, one queue of fits between them."""

    def __init__(self, study: Study, datasets: Mapping[str, Dataset]) -> None:
        self.study = study
        self.on_cluster = bool(os.environ.get("RAY_ADDRESS"))
        self._looked = -math.inf
        self.use_gpus = False
        self._look_around()
        # A cluster may start its GPU nodes when they are asked for.
        if study.teacher.device == "cuda" and not self.gpus and not self.on_cluster:
            raise StudyError("teacher.device is 'cuda', but Ray sees no GPU here; use auto or cpu")
        self.datasets = datasets
        self.references = {name: ray.put(dataset) for name, dataset in datasets.items()}
        self.settings = {settings.name: settings for settings in study.students}
        self.jobs: deque[Job] = deque()
        self.fits: deque[Fit] = deque()
        self.teachers = Teachers(study)
        self.teaching: dict[Any, Bank] = {}
        self.learners: dict[Bank, list[Job]] = {}
        self.all_outputs: OrderedDict[Bank, dict[int, Any]] = OrderedDict()
        self.pool = StudentPool(study.students, study.seed)
        self.sizes = {
            name: {part: len(rows) for part, rows in Trial.of(dataset, 0, study.seed).y.items()}
            for name, dataset in datasets.items()
        }

    def _look_around(self) -> None:
        """See what nodes there are now: they come and go."""
        if time.monotonic() < self._looked + LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        resources = ray.cluster_resources()
        device = self.study.teacher.device
        self.cores = max(1, int(resources.get("CPU", 1)))
        self.gpus = resources.get("GPU", 0.0) if device != "cpu" else 0.0
        before, self.use_gpus = (
            self.use_gpus,
            bool(self.gpus) or (device == "cuda" and self.on_cluster),
        )
        if before and not self.use_gpus:
            self._train_again(self.teachers.give_up_gpus())
        share = self.study.teacher.gpu_share
        self.most_teaching = (
            int(max(self.gpus, 1) / share) if self.use_gpus else max(1, self.cores // 2)
        )

    def _train_again(self, lost: Iterable[Any]) -> None:
        """Queue the banks of references whose actors are no more."""
        for reference in lost:
            self.jobs.extendleft(reversed(self.learners.pop(self.teaching.pop(reference))))

    def concurrent(self, search: Search) -> int:
        """How many arms to have under way: enough that neither students nor teachers wait for Tune."""
        fits = search.blocks[0] * len(self.study.students)
        return max(1 + -(-2 * self.cores // fits), 1 + 2 * self.most_teaching)

    def prepare(self, keys: Collection[Key]) -> None:
        """Start actors for what is known to come, which takes seconds, while Tune starts."""
        self.pool.grow(len(keys), self.cores, 0)
        if any(find_penalty(key.arm.penalty).has_teacher for key in keys):
            self.teachers.prepare(self.use_gpus)

    def add(self, todo: Iterable[Job]) -> None:
        for job in todo:
            # What needs no teacher comes first: the students have work while the first bank trains.
            if find_penalty(job.penalty).has_teacher:
                self.jobs.append(job)
            else:
                self.jobs.appendleft(job)

    def wait(self, more: list[Any]) -> list[Any]:
        """Launch what can be launched, and wait until there is news, or TICK."""
        self._look_around()
        self._launch()
        waits = [*more, *self.teaching, *self.pool.waits]
        done, _ = ray.wait(waits, num_returns=len(waits), timeout=0)
        if not done:
            done, _ = ray.wait(waits, num_returns=1, timeout=TICK)
        return list(done)

    def work(self, done: Iterable[Any]) -> Iterator[Record]:
        """Take in what is done."""
        done = list(done)
        for reference in done:
            if reference in self.teaching:
                yield from self._taught(self.teaching.pop(reference), reference)
        records, again = self.pool.collect(done)
        self.fits.extendleft(again)
        yield from records
        yield from self.pool.end_overdue()
        self.teachers.end_idle()
        if self.pool.broken:
            raise StudentError(self.pool.broken)

    def close(self) -> None:
        self.teachers.close()
        self.pool.close()

    def _launch(self) -> None:
        # One bank ahead of the students: while they work through one, the next is trained.
        while self.jobs and len(self.fits) < 2 * self.cores + len(self.jobs[0].fits):
            job = self.jobs[0]
            bank = (job.dataset, job.penalty, job.strength, job.ensemble, job.trials)
            if not find_penalty(job.penalty).has_teacher:
                self.fits += [self._fit(job, key, None) for key in job.fits]
            elif bank in self.all_outputs:
                self.all_outputs.move_to_end(bank)
                self._queue(job, self.all_outputs[bank])
            elif bank in self.learners:
                self.learners[bank].append(job)
            elif len(self.teaching) < self.most_teaching:
                self.learners[bank] = [job]
                reference = self.teachers.teach(self.references[job.dataset], job, self.use_gpus)
                self.teaching[reference] = bank
            else:
                break
            self.jobs.popleft()
        self.pool.grow(len(self.fits), self.cores, max(4, self.cores) if self.on_cluster else 0)
        while self.fits and self.pool.idle:
            self.pool.submit(self.fits.popleft())

    def _taught(self, bank: Bank, reference: Any) -> Iterator[Record]:
        """Queue the fits of a bank that is trained; a failed teacher is a failed record."""
        waiting = self.learners.pop(bank)
        trials = waiting[0].trials
        found = self.teachers.collect(reference, len(trials))
        all_outputs = dict(zip(trials, found, strict=True))
        stored = {
            trial: outputs if isinstance(outputs, Failure) else ray.put(outputs)
            for trial, outputs in all_outputs.items()
        }
        if not any(isinstance(outputs, Failure) for outputs in stored.values()):
            self.all_outputs[bank] = stored
            while len(self.all_outputs) > BANKS_KEPT:
                self.all_outputs.popitem(last=False)
        for job in waiting:
            for key in job.fits:
                if isinstance(stored[key.trial], Failure):
                    yield failed(self._blank(job, key), str(stored[key.trial]))
            self._queue(job, stored)

    def _queue(self, job: Job, stored: Mapping[int, Any]) -> None:
        self.fits += [
            self._fit(job, key, stored[key.trial])
            for key in job.fits
            if not isinstance(stored[key.trial], Failure)
        ]

    def _fit(self, job: Job, key: Key, outputs: Any) -> Fit:
        timeout = self.settings[key.student].timeout
        return Fit(key, self.references[key.dataset], outputs, self._blank(job, key), timeout)

    def _blank(self, job: Job, key: Key) -> Record:
        dataset = self.datasets[key.dataset]
        sizes = self.sizes[key.dataset]
        bank = job.trials if find_penalty(job.penalty).has_teacher else ()
        selection = self.settings[key.student].selection
        return new_record(self.study.name, key, sizes, dataset.fingerprint, bank, selection)
