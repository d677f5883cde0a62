"""A search that goes on for as long as it may: an agenda's fits, in processes, one front that grows.

Each restart has teachers with first weights of their own; whichever process is free takes the agenda's next
fit. All fronts are pooled as they come.
"""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import joblib

from smoothray.distillation.agenda import Agenda, Bank
from smoothray.distillation.attempts import (
    Attempt,
    attempt_of,
    fit_one,
    logger,
    taught_by_arm,
    told_once,
)
from smoothray.distillation.processes import Process, run_one, warm
from smoothray.distillation.race import Fit, Pool
from smoothray.distillation.trial import Trial
from smoothray.errors import Failure, StudentError, TeacherError, plural
from smoothray.penalties import find_penalty
from smoothray.students import Student
from smoothray.study.plan import Arm
from smoothray.study.settings import StudentSettings, TeacherSettings

TICK = 0.25
SAID_EVERY = 1.0
SHOWN = 3
"""How many shorter formulas are shown of the front as it grows."""
CUT = "the search's time was over"

Keep = Callable[[int, Attempt], tuple[Attempt | None, bool]]
"""Of a trial's place and an attempt: the attempt with the formulas that may be taken, None where there are
none, and whether its own choice is among them."""


@dataclass(frozen=True)
class Spent:
    """What a search took: fits that gave a formula, restarts, how often a network's formulas were shortened
    at the end, seconds, whether Ctrl-C ended it, and whether the best single choice of some trial was a
    formula that may not be taken.
    """

    fits: int
    restarts: int
    shortened: int
    seconds: float
    interrupted: bool = False
    refused_best: bool = False

    def told(self) -> dict[str, Any]:
        """What a user is told of it."""
        names = ("fits", "restarts", "shortened", "seconds", "interrupted")
        return {name: getattr(self, name) for name in names}


def one_kept(
    filtered: Callable[[int, list[Attempt]], tuple[list[Attempt], bool]],
) -> Keep:
    """A filter of several attempts, which raises StudentError where none is left, for one at a time."""

    def keep(place: int, attempt: Attempt) -> tuple[Attempt | None, bool]:
        try:
            kept, holds = filtered(place, [attempt])
        except StudentError:
            return None, False
        return kept[0], holds

    return keep


def search(
    trials: Sequence[Trial],
    arms: Sequence[Arm],
    student: StudentSettings,
    selection: str,
    teacher: TeacherSettings,
    seconds: float,
    *,
    factory: Callable[[int], Any] | None = None,
    trained: Sequence[Any] | None = None,
    n_jobs: int | None = None,
    timeout: float | None = None,
    all_needed: bool = True,
    keep: Keep | None = None,
) -> tuple[list[list[Attempt]], Spent]:
    """The attempts of each trial, the chosen one first, after so many seconds of fits, and what they took.

    The first attempt's front is pooled from all fits; the others are the best single fits of each other arm.
    A first fit of each trial is made whatever it takes. What is fitted hangs on the time that fits take; the
    same fits give the same. Ctrl-C ends the search with what it has, if each trial has a formula.
    Parameters: as `attempt_all` takes them. keep: leaves out formulas that may not be taken.

    Raises SmoothrayError if a trial that needs one has no formula.
    """
    race = _Race(
        trials, arms, student, selection, teacher, seconds,
        factory, trained, timeout, keep or (lambda place, attempt: (attempt, True)),
    )  # fmt: skip
    race.run(joblib.effective_n_jobs(n_jobs))
    return race.results(all_needed)


def shorter_ones(fields: Mapping[str, Any]) -> str:
    """What a few of the front's formulas that are shorter than the chosen one come to.

    >>> front = [{"complexity": n, "r2_val": n / 10} for n in (1, 3, 4, 6, 7, 9)]
    >>> shorter_ones({"complexity": 9, "front": front})
    ' (0.300 with 3, 0.600 with 6, 0.700 with 7)'
    >>> shorter_ones({"complexity": 3, "front": front})
    ''
    """
    shorter = [each for each in fields["front"] if 1 < each["complexity"] < fields["complexity"]]
    places = sorted({round(i * (len(shorter) - 1) / (SHOWN - 1)) for i in range(SHOWN)})
    told = [
        f"{shorter[i]['r2_val']:.3f} with {shorter[i]['complexity']}" for i in places if shorter
    ]
    return f" ({', '.join(told)})" if told else ""


def ladder(student: StudentSettings) -> list[Student]:
    """The student with each of its budgets that is another one, from the shortest.

    Raises StudentError for single settings that one of them has not.
    """
    levels: list[Student] = []
    for budget in type(student.build()).budgets:
        built = student.model_copy(update={"budget": budget}).build()
        if all(built.settings != other.settings for other in levels):
            levels.append(built)
    return levels


class _Race:
    """A search at work. Threads, one for each process, make the agenda's fits; the main thread trains
    teachers meanwhile, so that Ctrl-C ends at once whatever is done. `_changed` guards all that both touch.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        arms: Sequence[Arm],
        student: StudentSettings,
        selection: str,
        teacher: TeacherSettings,
        seconds: float,
        factory: Callable[[int], Any] | None,
        trained: Sequence[Any] | None,
        timeout: float | None,
        keep: Keep,
    ) -> None:
        self.trials, self.arms, self.selection, self.teacher = trials, arms, selection, teacher
        self.factory, self.trained, self.timeout, self.keep = factory, trained, timeout, keep
        self.levels = ladder(student)
        self.made: dict[str, Any] = {"shorten": student.shorten, "simplify": student.simplify}
        self.has_teachers = any(find_penalty(arm.penalty).has_teacher for arm in arms)
        one_target = trained is not None or not self.has_teachers
        pooled = selection == "accuracy" or (selection == "fidelity" and one_target)
        # A direct fit has nothing but the labels to be faithful to.
        aim = "fidelity" if selection == "fidelity" and trained else "accuracy"
        self.pools = [Pool(pooled, aim) for _ in trials]
        self.matching = selection == "sobolev" and self.levels[0].matches_slopes
        self.agenda = Agenda(
            arms,
            len(self.levels),
            self.pools,
            seconds,
            one_teacher=trained is not None,
            # Another front would lose the choice that was the student's own, or the slopes that it matched.
            shortens=student.shorten and selection != "native" and not self.matching,
        )
        self._changed = threading.Condition()
        self._taught: dict[tuple[int, int, int], tuple[Any, Any]] = {}
        self._reasons: list[tuple[Arm, str]] = []
        self._first: list[tuple[float, Fit, bool] | None] = [None for _ in trials]
        self._interrupted = self._stopped = False
        self._error: BaseException | None = None
        self._busy: set[Process] = set()
        self._said, self._said_of = 0.0, 0

    def run(self, workers: int) -> None:
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        try:
            self._lead(workers)
        except KeyboardInterrupt:
            if not all(self.pools):
                raise
            self._interrupted = True
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            self._end(threads)

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        """End the threads, and what their processes are at."""
        ended: set[Process] = set()
        while any(thread.is_alive() for thread in threads):
            # A process is not ended while it is handed a fit, which its program would complain of.
            for thread in threads:
                thread.join(TICK / len(threads))
            for process in self._busy - ended:
                process.end()
                ended.add(process)

    def _lead(self, workers: int) -> None:
        """Train teachers where fits would run out, until the time is over."""
        if self.trained is None and self.has_teachers:
            import smoothray.distillation.teaching  # noqa: F401  (no bank's time is to pay for torch)
        while True:
            with self._changed:
                if self._error is not None:
                    raise self._error
                bank = self.agenda.bank(workers)
                if bank is None:
                    if self.agenda.is_over():
                        return
                    self._changed.wait(TICK)
                    self._say()
                    continue
            self._teach(bank)

    def _teach(self, bank: Bank) -> None:
        started = time.monotonic()
        restart, penalty = bank
        alike = [i for i, arm in enumerate(self.arms) if arm.penalty == penalty]
        trials = [replace(trial, number=restart) for trial in self.trials]
        taught = taught_by_arm(
            trials,
            [self.arms[i] for i in alike],
            self.teacher,
            self.factory,
            self.trained,
            self.matching,
        )
        with self._changed:
            # For each trial all arms, in their order.
            for (place, arm, outputs, network), i in zip(
                taught, alike * len(self.trials), strict=True
            ):
                if isinstance(outputs, Failure):
                    self._reasons.append((arm, outputs.reason))
                else:
                    self._taught[restart, place, i] = outputs, network
                self.agenda.enter(restart, place, i, not isinstance(outputs, Failure))
            self.agenda.bank_done(bank, time.monotonic() - started)
            self._changed.notify_all()

    def _work(self) -> None:
        """A thread: one fit after the other."""
        try:
            warm(self.levels[0], self._busy, self.matching)
            while (taken := self._taken()) is not None:
                fit, (outputs, network) = taken
                trial, arm = self._trial(fit), self.arms[fit.arm]
                student, made = self._how(fit)
                call = (trial, outputs, arm.augment, student, self.selection, made)
                started = time.monotonic()
                outcome = run_one(
                    fit_one, call, student, self._busy, *self._limit(fit), self.matching
                )
                took = time.monotonic() - started
                with self._changed:
                    self.agenda.running.remove(fit)
                    if self._stopped:
                        return
                    if not isinstance(outcome, Failure):
                        outcome = attempt_of(trial, arm, outputs, network, outcome)
                    self._record(fit, outcome, took)
                    self._changed.notify_all()
        except BaseException as error:  # the main thread is to know
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _taken(self) -> tuple[Fit, tuple[Any, Any]] | None:
        """The next fit, which is under way from now on, and its teacher; None where there will be none."""
        with self._changed:
            while not self._stopped:
                fit = self.agenda.take()
                if fit is not None:
                    return fit, self._taught[fit.restart, fit.place, fit.arm]
                self._changed.wait(TICK)
        return None

    def _trial(self, fit: Fit) -> Trial:
        return replace(self.trials[fit.place], number=fit.restart, draw=fit.draw)

    def _how(self, fit: Fit) -> tuple[Student, dict[str, Any]]:
        """The student of a fit, and the options of what becomes of its formulas."""
        if self.agenda.is_shortening(fit):
            return self.levels[-1], {**self.made, "again": self.agenda.to_shorten(fit)}
        return self.levels[fit.level], self.made

    def _limit(self, fit: Fit) -> tuple[float | None, str | None]:
        """After how many seconds a fit is ended, and what is said then."""
        left = self.agenda.limit(fit)
        if self.timeout is not None and self.timeout <= left:
            return self.timeout, None
        return (None, None) if math.isinf(left) else (left, CUT)

    def _record(self, fit: Fit, outcome: Attempt | Failure, took: float) -> None:
        if isinstance(outcome, Failure):
            if outcome.reason != CUT and not self.agenda.is_shortening(fit):
                self._reasons.append((self.arms[fit.arm], outcome.reason))
            ended = self.agenda.record(fit, None, None)
        else:
            kept, holds = self.keep(fit.place, outcome)
            first = self._first[fit.place]
            if first is None or (outcome.loss, fit) < first[:2]:
                self._first[fit.place] = outcome.loss, fit, holds
            ended = self.agenda.record(fit, kept, took)
        if ended:
            self._taught = {
                key: one for key, one in self._taught.items() if self.agenda.needs(*key)
            }

    def _say(self) -> None:
        """How far the search is, to whom it may concern."""
        now = time.monotonic()
        every = SAID_EVERY if self.agenda.fits > self._said_of else 5 * SAID_EVERY
        if now - self._said < every or not any(self.pools):
            return
        self._said, self._said_of = now, self.agenda.fits
        fields = [pool.chosen().fields for pool in self.pools if pool]
        best = ", ".join(f"{f['student_r2_val']:.3f} with {f['complexity']} nodes" for f in fields)
        if len(fields) == 1:
            best += shorter_ones(fields[0])
        left = max(0, round(self.agenda.left()))
        logger.info(
            "best R² on validation rows %s; %s done, %d:%02d left",
            best, plural(self.agenda.fits, "fit"), *divmod(left, 60),
        )  # fmt: skip

    def results(self, all_needed: bool) -> tuple[list[list[Attempt]], Spent]:
        if not self._taught:
            raise TeacherError(f"no teacher could be trained; {told_once(self._reasons)}")
        if all_needed and not all(self.pools):
            raise StudentError(f"no formula came of it; {told_once(self._reasons)}")
        seconds = time.monotonic() - self.agenda.start
        if self._reasons:
            warnings.warn(
                f"not all was tried; {told_once(self._reasons)}", UserWarning, stacklevel=5
            )
        if self._interrupted:
            warnings.warn(
                f"the search was stopped after {seconds:.0f} of {self.agenda.seconds:g} s and "
                f"{plural(self.agenda.fits, 'fit')}; the best so far is taken",
                UserWarning,
                stacklevel=5,
            )
        refused = any(first is not None and not first[2] for first in self._first)
        done = self.agenda.fits, self.agenda.restarts, self.agenda.shortened
        spent = Spent(*done, seconds, self._interrupted, refused)
        return [pool.attempts() for pool in self.pools], spent
