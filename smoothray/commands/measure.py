"""Timing fits and banks of a study on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from smoothray.commands.costs import Costs
from smoothray.datasets import Dataset
from smoothray.distillation.trial import Trial
from smoothray.errors import SmoothrayError, StudyError
from smoothray.penalties import find_penalty
from smoothray.search.search import regimes
from smoothray.students import Student
from smoothray.study import Study
from smoothray.study.settings import StudentSettings

BANK_MEASURED = 4
"""Networks in a bank that is trained to be timed; larger ones take time in proportion."""


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
            if not torch.cuda.is_available():  # a plan for a cluster's GPUs is made anywhere
                teacher = teacher.model_copy(update={"device": "cpu"})
            try:
                teach(trials, penalty, [strength] * len(trials), 1, study.augment, teacher)
            except SmoothrayError:
                raise
            except Exception as error:
                raise StudyError(
                    f"teachers of {penalty} on {name} cannot be trained: {type(error).__name__}: {error}"
                ) from None
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


def _a_strength(study: Study, dataset: str, penalty: str) -> float:
    strengths = study.penalties.get(penalty)
    if strengths is None:
        return 0.0
    known = strengths.of(study.seed, dataset, penalty)
    return sorted(known)[len(known) // 2]
