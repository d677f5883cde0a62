"""What fits and banks of a study cost: seconds, as they were recorded, and memory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from smoothray.datasets import Dataset
from smoothray.distillation.trial import Trial
from smoothray.errors import LATE
from smoothray.records.schema import Record
from smoothray.students import find_student
from smoothray.study import Study

STOP_SECONDS = 1.0
"""What it takes to end a student's process and have the cluster give its core to another."""
BARE_MEMORY = 140 * 2**20
"""Bytes that a student's process holds before it has loaded the student's program."""
Regime = tuple[str, str]


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


def students_memory(study: Study, costs: Costs, processes: int) -> float:
    """Bytes that so many student processes hold once they are ready, each with all the study's students."""
    own = sum(max(0, costs.memory[student.name] - BARE_MEMORY) for student in study.students)
    return processes * float(BARE_MEMORY + own)


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
