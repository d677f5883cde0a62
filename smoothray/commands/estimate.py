"""What a study will cost: seconds of fits and banks, measured or recorded, and the time they take
together."""

from __future__ import annotations

import heapq
import itertools
import math
import statistics
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smoothray.datasets import Dataset
from smoothray.distillation.trial import Trial
from smoothray.errors import LATE
from smoothray.penalties import find_penalty
from smoothray.records.schema import Record
from smoothray.search.search import regimes
from smoothray.students import Student, find_student
from smoothray.study import Study
from smoothray.study.plan import Job
from smoothray.study.settings import StudentSettings

START_SECONDS = 12.0
"""What starting Ray, Tune and the students' processes takes before the first fit."""
STOP_SECONDS = 1.0
"""What it takes to end a student's process and have the cluster give its core to another."""
BARE_MEMORY = 140 * 2**20
"""Bytes that a student's process holds before it has loaded the student's program."""
Regime = tuple[str, str]
BANK_MEASURED = 4
"""Networks in a bank that is trained to be timed; larger ones take time in proportion."""


@dataclass
class Costs:
    """Seconds of a fit by (data set, student), of a network in a bank by data set and (penalty, regime).

    What is not known is taken from the line through what is, by rows of a gradient step or a fit; of several
    with as many rows from their mean.
    most: the rows that each student sees at most. limits: each student's time limit. starts: seconds until
    a new process has a student ready. memory: bytes that it then holds. The last two are measured, or else
    what the students say of themselves.
    """

    rows: Mapping[str, int]
    fits: dict[tuple[str, str], float] = field(default_factory=dict)
    networks: dict[tuple[str, Regime], float] = field(default_factory=dict)
    batch: int = 1024
    most: dict[str, int | None] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Study, rows: Mapping[str, int]) -> Costs:
        """What is known of a study before anything of it has run."""
        costs = cls(rows, batch=study.teacher.batch_size)
        for settings in study.students:
            program = find_student(settings.name)
            costs.most[settings.name] = settings.rows
            costs.limits[settings.name] = settings.timeout
            costs.starts[settings.name] = program.start_seconds
            costs.memory[settings.name] = program.memory
        return costs

    def knows(self, student: str) -> bool:
        """Whether anything is known of how long its fits take."""
        return any(name == student for _, name in self.fits)

    def fit(self, dataset: str, student: str) -> float:
        """Seconds that a fit keeps a core; one that passes its time limit also costs a new process."""
        known = {d: s for (d, name), s in self.fits.items() if name == student}
        most = self.most.get(student) or max(self.rows.values())
        seen = {d: min(most, rows) for d, rows in self.rows.items()}
        seconds = known.get(dataset)
        if seconds is None:
            seconds = _on_line(seen[dataset], [(seen[d], s) for d, s in known.items()])
        return seconds if seconds < self.limits.get(student, math.inf) else self.late(student)

    def late(self, student: str) -> float:
        """Seconds that a fit which passes its time limit keeps a core: until the next one can begin on it."""
        return self.limits[student] + STOP_SECONDS + self.starts[student]

    def network(self, dataset: str, penalty: str, stopping: str) -> float:
        known = {d: s for (d, regime), s in self.networks.items() if regime == (penalty, stopping)}
        if dataset in known:
            return known[dataset]
        pairs = known.items() or [(d, s) for (d, _), s in self.networks.items()]
        steps = [(min(self.rows[d], self.batch), s) for d, s in pairs]
        return _on_line(min(self.rows[dataset], self.batch), steps)


@dataclass(frozen=True)
class Estimate:
    """fit_seconds, bank_seconds: of all fits and banks, one after another. wall: on these cores and GPUs."""

    fits: int
    banks: int
    fit_seconds: float
    bank_seconds: float
    wall: float


@dataclass(frozen=True)
class Shape:
    """A cluster to plan for: cores for students, and GPUs for teachers (0: they are trained on the cores)."""

    cores: int
    gpus: float = 0.0


@dataclass(frozen=True)
class Prices:
    """What an hour of a core and of a GPU costs, in any money."""

    core: float
    gpu: float = 0.0

    def of_machines(self, cost: Estimate, shape: Shape) -> float:
        """All cores and GPUs kept until the last fit is done.

        >>> done = Estimate(fits=10, banks=1, fit_seconds=7200, bank_seconds=3600, wall=5400)
        >>> round(Prices(core=0.04, gpu=1.2).of_machines(done, Shape(cores=10, gpus=2)), 2)
        4.2
        """
        return (shape.cores * self.core + shape.gpus * self.gpu) * cost.wall / 3600

    def of_work(self, cost: Estimate, shape: Shape, gpu_share: float) -> float:
        """The fits' and banks' seconds alone, as if nothing ever stood idle; a bank has a share of a GPU.

        >>> done = Estimate(fits=10, banks=1, fit_seconds=7200, bank_seconds=3600, wall=5400)
        >>> round(Prices(core=0.04, gpu=1.2).of_work(done, Shape(cores=10, gpus=2), 0.25), 2)
        0.38
        """
        bank = gpu_share * self.gpu if shape.gpus else self.core
        return (cost.fit_seconds * self.core + cost.bank_seconds * bank) / 3600


def recorded_costs(study: Study, rows: Mapping[str, int], records: Iterable[Record]) -> Costs:
    """Medians of what was recorded, and the share of fits that passed their time limit at what those cost.

    rows: training rows of each data set.
    """
    costs = Costs.of(study, rows)
    fits: dict[tuple[str, str], list[float]] = {}
    late: dict[tuple[str, str], int] = {}
    networks: dict[tuple[str, Regime], list[float]] = {}
    for record in records:
        if record["dataset"] not in rows or record["student"] not in costs.limits:
            continue
        if str(record["reason"]).startswith(LATE):
            key = (record["dataset"], record["student"])
            late[key] = late.get(key, 0) + 1
        if record["student_seconds"] is None:
            continue
        fits.setdefault((record["dataset"], record["student"]), []).append(
            record["student_seconds"]
        )
        if record["teacher_seconds"] is not None:
            key = (record["dataset"], (record["penalty"], record["stopping"]))
            networks.setdefault(key, []).append(record["teacher_seconds"] / record["ensemble"])
    for key in {*fits, *late}:
        done, ended = fits.get(key, []), late.get(key, 0)
        share = ended / (len(done) + ended)
        usual = statistics.median(done) if done else 0.0
        costs.fits[key] = (1 - share) * usual + share * costs.late(key[1])
    costs.networks = {key: statistics.median(values) for key, values in networks.items()}
    return costs


def measure(study: Study, datasets: Mapping[str, Dataset], costs: Costs, seconds: float) -> None:
    """Time fits and banks of the study on this machine, one at a time, until `seconds` are over.

    Fits are timed as a study does them: in a process of their own, which is ended at their time limit.
    The smallest and the largest data sets come first, so that the rest lies between them. What is recorded
    already is not timed again. At least one fit of a student that can run here and one bank a penalty are.
    """
    import torch

    from smoothray.distillation.processes import start
    from smoothray.distillation.teaching import teach

    torch.set_num_threads(1)
    ending = time.monotonic() + seconds
    by_rows = sorted(datasets, key=lambda name: costs.rows[name])
    order = list(
        dict.fromkeys(name for pair in zip(by_rows, by_rows[::-1], strict=True) for name in pair)
    )
    students: dict[str, Student] = {}
    for settings in study.students:
        student = settings.build()
        unknown = any((name, settings.name) not in costs.fits for name in datasets)
        if unknown and not student.unavailable():
            students[settings.name] = student
            ready = start(student)
            costs.starts[settings.name] = max(ready.seconds, 0.1)
            costs.memory[settings.name] = ready.memory or costs.memory[settings.name]
    regimes_taught = [each for each in regimes(study) if find_penalty(each[0]).has_teacher]

    def time_fits(name: str) -> None:
        for settings in study.students:
            if (name, settings.name) in costs.fits or settings.name not in students:
                continue
            if costs.knows(settings.name) and time.monotonic() > ending:
                continue
            trial = Trial.of(datasets[name], 0, study.seed)
            took = _time_fit(trial, students[settings.name], settings)
            costs.fits[name, settings.name] = took

    def time_banks(name: str) -> None:
        for regime in regimes_taught:
            penalty, stopping = regime
            known = any(other == regime for _, other in costs.networks)
            if (name, regime) in costs.networks or (known and time.monotonic() > ending):
                continue
            trials = [
                Trial.of(datasets[name], i, study.seed)
                for i in range(min(BANK_MEASURED, study.trials))
            ]
            strength = _a_strength(study, name, penalty)
            began = time.perf_counter()
            teacher = study.teacher.regime(stopping)
            teach(trials, penalty, [strength] * len(trials), 1, study.augment, teacher)
            costs.networks[name, regime] = (time.perf_counter() - began) / len(trials)

    for name in order[:2]:  # from one alone nothing is known of how fits grow with rows
        time_fits(name)
    for name in order:
        time_banks(name)
        time_fits(name)


def _time_fit(trial: Trial, student: Student, settings: StudentSettings) -> float:
    """Seconds of a fit; a failed one took its time all the same."""
    from smoothray.distillation.processes import run_all

    limit = settings.timeout
    options = {
        "shorten": settings.shorten, "simplify": settings.simplify, "rows": settings.rows
    }  # fmt: skip
    call = (trial, None, 0, student, settings.selection, options)
    began = time.perf_counter()
    (outcome,) = run_all(_seconds_of, [call], student, 1, limit)
    return outcome if isinstance(outcome, float) else min(time.perf_counter() - began, limit)


def _seconds_of(*call: Any) -> float:
    from smoothray.distillation.distil import distil

    began = time.perf_counter()
    *place, options = call
    with suppress(Exception):  # whatever it is, the fit took its time
        distil(*place, **options)
    return time.perf_counter() - began


def estimate(
    study: Study, todo: Sequence[Job], costs: Costs | None, cores: int, gpus: float
) -> Estimate:
    """What the jobs come to on so many cores and GPUs, played through as the scheduler would.

    costs: None to count jobs alone.

    A bank goes before fits that are ready, and at most half of the cores train at a time, which without a GPU
    are the fits' too. GPUs are taken to train a bank as fast as this machine's device does.
    """
    slots = max(1, int(gpus / study.teacher.gpu_share) if gpus else cores // 2)
    banks: deque[tuple[float, list[float]]] = deque()
    ready: deque[float] = deque()
    for job in todo:
        fits = [costs.fit(key.dataset, key.student) if costs else 0.0 for key in job.fits]
        if find_penalty(job.penalty).has_teacher:
            network = costs.network(job.dataset, job.penalty, job.stopping) if costs else 0.0
            banks.append((network * len(job.trials) * job.ensemble, fits))
        else:
            ready.extend(fits)
    bank_seconds = sum(seconds for seconds, _ in banks)
    fit_seconds = sum(ready) + sum(sum(fits) for _, fits in banks)
    counts = (len(ready) + sum(len(fits) for _, fits in banks), len(banks))
    # What ends, and when: it gives back cores and slots, and has fits ready.
    ends: list[tuple[float, int, int, int, list[float]]] = []
    heapq.heappush(ends, (START_SECONDS + _slow_starts(study, costs), 0, cores, 0, []))
    now, free, order = START_SECONDS, 0, itertools.count(1)
    while True:
        while banks and slots and (gpus or free):
            seconds, fits = banks.popleft()
            core = 0 if gpus else 1
            slots, free = slots - 1, free - core
            heapq.heappush(ends, (now + seconds, next(order), core, 1, fits))
        while ready and free:
            free -= 1
            heapq.heappush(ends, (now + ready.popleft(), next(order), 1, 0, []))
        if not ends:
            break
        now, _, core, slot, fits = heapq.heappop(ends)
        free, slots = free + core, slots + slot
        ready.extend(fits)
    return Estimate(*counts, fit_seconds, bank_seconds, now if sum(counts) else 0.0)


def students_memory(study: Study, costs: Costs, processes: int) -> float:
    """Bytes that so many student processes hold once they are ready, each with all the study's students."""
    own = sum(max(0, costs.memory[student.name] - BARE_MEMORY) for student in study.students)
    return processes * float(BARE_MEMORY + own)


def _slow_starts(study: Study, costs: Costs | None) -> float:
    """Seconds that students with a process of their own take to start, beyond what all take."""
    slow = [s.name for s in study.students if find_student(s.name).needs_own_process]
    return sum(costs.starts.get(name, 0.0) for name in slow) if costs else 0.0


def _a_strength(study: Study, dataset: str, penalty: str) -> float:
    strengths = study.penalties.get(penalty)
    if strengths is None:
        return 0.0
    known = strengths.of(study.seed, dataset, penalty)
    return sorted(known)[len(known) // 2]


def training_rows(study: Study, datasets: Mapping[str, Dataset]) -> dict[str, int]:
    """Training rows of each data set."""
    return {name: len(Trial.of(d, 0, study.seed).y["train"]) for name, d in datasets.items()}


def _on_line(rows: int, pairs: Iterable[tuple[int, float]]) -> float:
    """Seconds for so many rows, by the measured numbers of rows around it; in proportion beyond them."""
    known: dict[int, list[float]] = {}
    for place, seconds in pairs:
        known.setdefault(place, []).append(seconds)
    if not known:
        return 0.0
    x = np.array(sorted(known), dtype=float)
    y = np.array([statistics.fmean(known[place]) for place in sorted(known)])
    if rows > x[-1]:
        return float(y[-1] * rows / x[-1])
    return float(np.interp(rows, x, y))
