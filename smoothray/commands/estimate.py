"""The time that a study takes on so many cores and GPUs, and its price."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from smoothray.commands.costs import Costs
from smoothray.penalties import find_penalty
from smoothray.students import find_student
from smoothray.study import Study
from smoothray.study.plan import Job

START_SECONDS = 12.0
"""What starting Ray, Tune and the students' processes takes before the first fit."""


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


def _slow_starts(study: Study, costs: Costs | None) -> float:
    """Seconds that students with a process of their own take to start, beyond what all take."""
    slow = [s.name for s in study.students if find_student(s.name).needs_own_process]
    return sum(costs.starts.get(name, 0.0) for name in slow) if costs else 0.0
