"""What a study will cost: seconds of fits and banks, measured or recorded, and the time they take
together."""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from smoothray.datasets import Dataset
from smoothray.distillation.distil import distil
from smoothray.distillation.trial import Trial
from smoothray.errors import SmoothrayError
from smoothray.penalties import find_penalty
from smoothray.records.schema import Record
from smoothray.study import Study
from smoothray.study.plan import Job

START_SECONDS = 12.0
"""What starting Ray, Tune and the students' processes takes before the first fit."""
BANK_MEASURED = 4
"""Networks in a bank that is trained to be timed; larger ones take time in proportion."""


@dataclass
class Costs:
    """Seconds of a fit by (data set, student), of a network in a bank by (data set, penalty).

    What is not known is taken from the line through what is, by rows of a gradient step or a fit.
    """

    rows: Mapping[str, int]
    fits: dict[tuple[str, str], float] = field(default_factory=dict)
    networks: dict[tuple[str, str], float] = field(default_factory=dict)
    batch: int = 1024

    def fit(self, dataset: str, student: str) -> float:
        known = {d: s for (d, name), s in self.fits.items() if name == student}
        return _on_line(self.rows[dataset], {self.rows[d]: s for d, s in known.items()})

    def network(self, dataset: str, penalty: str) -> float:
        known = {d: s for (d, name), s in self.networks.items() if name == penalty}
        known = known or {d: s for (d, _), s in self.networks.items()}
        steps = {min(self.rows[d], self.batch): s for d, s in known.items()}
        return _on_line(min(self.rows[dataset], self.batch), steps)


@dataclass(frozen=True)
class Estimate:
    """fit_seconds, bank_seconds: of all fits and banks, one after another. wall: on these cores and GPUs."""

    fits: int
    banks: int
    fit_seconds: float
    bank_seconds: float
    wall: float


def recorded_costs(study: Study, rows: Mapping[str, int], records: Iterable[Record]) -> Costs:
    """Medians of what was recorded. rows: training rows of each data set."""
    fits: dict[tuple[str, str], list[float]] = {}
    networks: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if record["dataset"] not in rows or record["student_seconds"] is None:
            continue
        fits.setdefault((record["dataset"], record["student"]), []).append(
            record["student_seconds"]
        )
        if record["teacher_seconds"] is not None:
            key = (record["dataset"], record["penalty"])
            networks.setdefault(key, []).append(record["teacher_seconds"] / record["ensemble"])
    costs = Costs(rows, batch=study.teacher.batch_size)
    costs.fits = {key: statistics.median(values) for key, values in fits.items()}
    costs.networks = {key: statistics.median(values) for key, values in networks.items()}
    return costs


def measure(study: Study, datasets: Mapping[str, Dataset], costs: Costs, seconds: float) -> None:
    """Time fits and banks of the study on this machine, one at a time, until `seconds` are over.

    The smallest and the largest data sets come first, so that the rest lies between them. What is recorded
    already is not timed again. At least one fit a student and one bank a penalty are.
    """
    import torch

    from smoothray.distillation.teaching import teach

    torch.set_num_threads(1)
    ending = time.monotonic() + seconds
    by_rows = sorted(datasets, key=lambda name: costs.rows[name])
    order = list(
        dict.fromkeys(name for pair in zip(by_rows, by_rows[::-1], strict=True) for name in pair)
    )
    students = {settings.name: settings.build() for settings in study.students}
    for student in students.values():
        student.warm_up()
    penalties = [p for p in (*study.baselines, *study.penalties) if find_penalty(p).has_teacher]
    for name in order:
        for settings in study.students:
            known = any(student == settings.name for _, student in costs.fits)
            if (name, settings.name) in costs.fits or (known and time.monotonic() > ending):
                continue
            trial = Trial.of(datasets[name], 0, study.seed)
            start = time.perf_counter()
            with suppress(SmoothrayError):  # a fit that fails took its time all the same
                distil(
                    trial, None, 0, students[settings.name], settings.selection,
                    shorten=settings.shorten, simplify=settings.simplify,
                )  # fmt: skip
            costs.fits[name, settings.name] = time.perf_counter() - start
        for penalty in penalties:
            known = any(other == penalty for _, other in costs.networks)
            if (name, penalty) in costs.networks or (known and time.monotonic() > ending):
                continue
            trials = [
                Trial.of(datasets[name], i, study.seed)
                for i in range(min(BANK_MEASURED, study.trials))
            ]
            strength = _a_strength(study, name, penalty)
            start = time.perf_counter()
            teach(trials, penalty, [strength] * len(trials), 1, study.augment, study.teacher)
            costs.networks[name, penalty] = (time.perf_counter() - start) / len(trials)


def estimate(
    study: Study, todo: Sequence[Job], costs: Costs | None, cores: int, gpus: float
) -> Estimate:
    """What the jobs come to on so many cores and GPUs, played through as the scheduler would.

    costs: None to count jobs alone.

    Without a GPU, banks take cores from the fits. GPUs are taken to train a bank as fast as this machine's
    device does.
    """
    slots = max(1, int(gpus / study.teacher.gpu_share) if gpus else cores // 2)
    teachers = [0.0] * slots
    workers = [START_SECONDS] * cores
    heapq.heapify(teachers)
    heapq.heapify(workers)
    total_fit = total_bank = last = 0.0
    banks = fits = 0
    for job in sorted(todo, key=lambda job: find_penalty(job.penalty).has_teacher):
        ready = START_SECONDS
        if find_penalty(job.penalty).has_teacher:
            network = costs.network(job.dataset, job.penalty) if costs else 0.0
            seconds = network * len(job.trials) * job.ensemble
            begin = max(heapq.heappop(teachers), START_SECONDS)
            if not gpus:
                begin = max(begin, heapq.heappop(workers))
                heapq.heappush(workers, begin + seconds)
            ready = begin + seconds
            heapq.heappush(teachers, ready)
            total_bank += seconds
            banks += 1
        for key in job.fits:
            seconds = costs.fit(key.dataset, key.student) if costs else 0.0
            end = max(heapq.heappop(workers), ready) + seconds
            heapq.heappush(workers, end)
            total_fit += seconds
            last = max(last, end)
            fits += 1
    return Estimate(fits, banks, total_fit, total_bank, last)


def _a_strength(study: Study, dataset: str, penalty: str) -> float:
    strengths = study.penalties.get(penalty)
    if strengths is None:
        return 0.0
    known = strengths.of(study.seed, dataset, penalty)
    return sorted(known)[len(known) // 2]


def training_rows(study: Study, datasets: Mapping[str, Dataset]) -> dict[str, int]:
    """Training rows of each data set."""
    return {name: len(Trial.of(d, 0, study.seed).y["train"]) for name, d in datasets.items()}


def _on_line(rows: int, known: Mapping[int, float]) -> float:
    """Seconds for so many rows, by the measured numbers of rows around it; in proportion beyond them."""
    if not known:
        return 0.0
    x = np.array(sorted(known), dtype=float)
    y = np.array([known[int(place)] for place in x])
    if rows > x[-1]:
        return float(y[-1] * rows / x[-1])
    return float(np.interp(rows, x, y))
