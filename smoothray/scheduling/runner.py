"""The loop that keeps every core busy: teacher tasks feed the students' queue, records come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import RayError

from smoothray.datasets import Dataset
from smoothray.errors import StudyError
from smoothray.penalties import PENALTIES
from smoothray.plan import Job, Key
from smoothray.records import Record, failed, new_record
from smoothray.scheduling.pool import Fit, StudentPool
from smoothray.scheduling.workers import teach_job
from smoothray.study import Study
from smoothray.trial import Trial

TICK = 0.5
"""Seconds between looks at time limits."""


def run_jobs(
    study: Study, jobs: Sequence[Job], datasets: Mapping[str, Dataset]
) -> Generator[Record, None, None]:
    """Run the jobs inside a `ray_session`; each record is yielded as soon as it exists.

    Closing the generator ends all work under way.
    """
    runner = _Runner(study, jobs, datasets)
    try:
        yield from runner.run()
    finally:
        runner.close()


class _Runner:
    def __init__(self, study: Study, jobs: Sequence[Job], datasets: Mapping[str, Dataset]) -> None:
        resources = ray.cluster_resources()
        self.gpus = resources.get("GPU", 0) if study.teacher.device != "cpu" else 0
        if study.teacher.device == "cuda" and not self.gpus:
            raise StudyError("teacher.device is 'cuda', but Ray sees no GPU here; use auto or cpu")
        self.study = study
        self.datasets = datasets
        self.references = {name: ray.put(dataset) for name, dataset in datasets.items()}
        self.settings = {settings.name: settings for settings in study.students}
        # What needs no teacher comes first: the students have work while the first bank trains.
        self.jobs = deque(sorted(jobs, key=lambda job: PENALTIES[job.penalty].has_teacher))
        self.fits: deque[Fit] = deque()
        self.teaching: dict[Any, Job] = {}
        cores = max(1, int(resources.get("CPU", 1)))
        waiting = sum(len(job.fits) for job in jobs)
        self.pool = StudentPool(min(cores, waiting), study.students, study.seed)
        share = study.teacher.gpu_share
        self.most_teaching = int(self.gpus / share) if self.gpus else max(1, cores // 2)
        # One bank ahead of the students: while they work through one, the next is trained.
        self.enough_fits = 2 * cores + max(len(job.fits) for job in jobs)
        self.sizes = {
            name: {part: len(rows) for part, rows in Trial.of(dataset, 0, study.seed).y.items()}
            for name, dataset in datasets.items()
        }

    def run(self) -> Iterator[Record]:
        while self.jobs or self.fits or self.teaching or self.pool.working:
            self._launch()
            waits = [*self.teaching, *self.pool.waits]
            done, _ = ray.wait(waits, num_returns=len(waits), timeout=0)
            if not done:
                done, _ = ray.wait(waits, num_returns=1, timeout=TICK)
            for reference in done:
                if reference in self.teaching:
                    yield from self._taught(self.teaching.pop(reference), reference)
            records, again = self.pool.collect(done)
            self.fits.extendleft(again)
            yield from records
            yield from self.pool.end_overdue()

    def close(self) -> None:
        for reference in self.teaching:
            ray.cancel(reference, force=True)
        self.pool.close()

    def _launch(self) -> None:
        while (
            self.jobs
            and len(self.teaching) < self.most_teaching
            and len(self.fits) < self.enough_fits
        ):
            job = self.jobs.popleft()
            if PENALTIES[job.penalty].has_teacher:
                share = {"num_gpus": self.study.teacher.gpu_share} if self.gpus else {}
                task = teach_job.options(**share) if share else teach_job
                reference = task.remote(
                    self.references[job.dataset], job, self.study.teacher, self.study.seed
                )
                self.teaching[reference] = job
            else:
                self.fits += [self._fit(job, key, None) for key in job.fits]
        while self.fits and self.pool.idle:
            self.pool.submit(self.fits.popleft())

    def _taught(self, job: Job, reference: Any) -> Iterator[Record]:
        """Queue the fits of a bank that is trained; a failed teacher is a failed record."""
        try:
            lessons = dict(zip(job.trials, ray.get(reference), strict=True))
        except RayError as error:
            cause = getattr(error, "cause", None) or error
            lessons = dict.fromkeys(job.trials, f"the teachers could not be trained: {cause}")
        stored: dict[int, Any] = {}
        for key in job.fits:
            lesson = lessons[key.trial]
            if isinstance(lesson, str):
                yield failed(self._blank(job, key), lesson)
                continue
            if key.trial not in stored:
                stored[key.trial] = ray.put(lesson)
            self.fits.append(self._fit(job, key, stored[key.trial]))

    def _fit(self, job: Job, key: Key, lesson: Any) -> Fit:
        timeout = self.settings[key.student].timeout
        return Fit(key, self.references[key.dataset], lesson, self._blank(job, key), timeout)

    def _blank(self, job: Job, key: Key) -> Record:
        dataset = self.datasets[key.dataset]
        sizes = self.sizes[key.dataset]
        bank = job.trials if PENALTIES[job.penalty].has_teacher else ()
        selection = self.settings[key.student].selection
        return new_record(self.study.name, key, sizes, dataset.fingerprint, bank, selection)
