"""A search that goes on for as long as it may: a race over settings, again and again with other seeds.

Each restart has teachers with first weights of their own. All settings are fitted by the student's shortest
budget, the best third of them by the next one, and so on; whichever process is free takes the first fit of
the oldest restart that is ready and that ends in time, by what fits of its budget have taken. Where none is,
other seeds of the student are fitted to the first restart's best teachers. All fronts are pooled as they
come. In the last part of the time the formulas of this one front are shortened once more, as far as the
longest budget goes.
"""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import joblib

from smoothray.distillation.attempts import (
    Attempt,
    attempt_of,
    fit_one,
    logger,
    taught_by_arm,
    told_once,
)
from smoothray.distillation.processes import Process, run_one, warm
from smoothray.distillation.race import Bracket, Fit, Pool
from smoothray.distillation.trial import Trial
from smoothray.errors import Failure, StudentError, TeacherError, plural
from smoothray.penalties import find_penalty
from smoothray.students import Student
from smoothray.study.plan import Arm
from smoothray.study.settings import StudentSettings, TeacherSettings

STEP = 6.0
"""How many times as long the next budget is taken to be, before a fit of it has been timed."""
TEACHING = 2.0
"""The same of a bank of teachers under another penalty."""
SLACK = 0.08
"""The part of the time that a fit may go on past the end before it is ended."""
LAST, MOST_LAST = 0.1, 0.25
"""The last part of the time, which is for shortening: as much as it takes, but no more than the second."""
SHORTENING = 1.5
"""Seconds that shortening is taken to need, before it has been timed."""
TICK = 0.25
SAID_EVERY = 1.0
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
    race = _Race(trials, arms, student, selection, teacher, seconds)
    race.factory, race.trained, race.timeout = factory, trained, timeout
    race.keep = keep or (lambda place, attempt: (attempt, True))
    race.run(joblib.effective_n_jobs(n_jobs))
    return race.results(all_needed)


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
    """The state of a search. Threads, one for each process, take fits from it; the main thread trains
    teachers meanwhile, so that Ctrl-C ends at once whatever is done. `_changed` guards all that both touch.
    """

    factory: Callable[[int], Any] | None
    trained: Sequence[Any] | None
    timeout: float | None
    keep: Keep

    def __init__(
        self,
        trials: Sequence[Trial],
        arms: Sequence[Arm],
        student: StudentSettings,
        selection: str,
        teacher: TeacherSettings,
        seconds: float,
    ) -> None:
        self.trials, self.arms, self.selection, self.teacher = trials, arms, selection, teacher
        self.levels = ladder(student)
        self.made: dict[str, Any] = {"shorten": student.shorten, "simplify": student.simplify}
        # Another front would lose the choice that was the student's own.
        self.may_shorten = student.shorten and selection != "native"
        self.seconds = seconds
        self.start = time.monotonic()
        self.end = self.start + seconds
        self.pools: list[Pool] = []
        self.fits = self.restarts = 0
        self._changed = threading.Condition()
        self._ready: list[Fit] = []
        self._running: list[Fit] = []
        self._brackets: dict[tuple[int, int], Bracket] = {}
        self._taught: dict[tuple[int, int, int], tuple[Any, Any]] = {}
        self._draws: Counter[tuple[int, int]] = Counter()
        self._fit_times: list[deque[float]] = [deque(maxlen=20) for _ in (*self.levels, "last")]
        self._shortened: dict[tuple[int, int, int], list[str]] = {}
        self.shortened = 0
        self._bank_times: dict[str, float] = {}
        self._banks = self._all_banks()
        self._next_bank: tuple[int, str] | None = next(self._banks)
        self._reasons: list[tuple[Arm, str]] = []
        self._first: list[tuple[float, Fit, bool] | None] = [None for _ in trials]
        self._interrupted = self._stopped = False
        self._error: BaseException | None = None
        self._busy: set[Process] = set()
        self._said, self._said_of = 0.0, 0

    def run(self, workers: int) -> None:
        one_teacher = self.trained is not None or not any(
            find_penalty(arm.penalty).has_teacher for arm in self.arms
        )
        pooled = self.selection == "accuracy" or (self.selection == "fidelity" and one_teacher)
        # A direct fit has nothing but the labels to be faithful to.
        aim = "fidelity" if self.selection == "fidelity" and self.trained else "accuracy"
        self.pools = [Pool(pooled, aim) for _ in self.trials]
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
        if self.trained is None and any(find_penalty(arm.penalty).has_teacher for arm in self.arms):
            import smoothray.distillation.teaching  # noqa: F401  (no bank's time is to pay for torch)
        while True:
            with self._changed:
                if self._error is not None:
                    raise self._error
                bank = self._wanted_bank(workers)
                if bank is None:
                    if self._is_over():
                        return
                    self._changed.wait(TICK)
                    self._say()
                    continue
            self._teach(*bank)
            with self._changed:
                self._next_bank = next(self._banks)
                self._changed.notify_all()

    def _all_banks(self) -> Iterator[tuple[int, str]]:
        for restart in count():
            for penalty in dict.fromkeys(arm.penalty for arm in self.arms):
                yield restart, penalty

    def _left(self) -> float:
        return self.end - time.monotonic()

    def _wanted_bank(self, workers: int) -> tuple[int, str] | None:
        """The next teachers, if they are worth their time."""
        if self._next_bank is None or all(pool.is_perfect for pool in self.pools):
            return None
        restart, penalty = self._next_bank
        if not self._brackets:
            return self._next_bank
        slowest = max(self._bank_times.values())
        expected = self._bank_times.get(penalty, TEACHING * slowest) + self._expected(0)
        if expected > self._left() - self._last():
            self._teach_no_more(restart)
            return None
        if restart == 0 or (
            (any(self.pools) or restart * len(self.arms) < workers)
            and sum(self._ends_in_time(fit) for fit in self._ready) < workers
        ):
            return self._next_bank
        return None

    def _teach_no_more(self, restart: int) -> None:
        self._next_bank = None
        for place in range(len(self.trials)):
            bracket = self._brackets.get((restart, place))
            if bracket is not None:
                self._ready += bracket.leave_out(range(len(self.arms)))
        self._changed.notify_all()

    def _teach(self, restart: int, penalty: str) -> None:
        started = time.monotonic()
        alike = [i for i, arm in enumerate(self.arms) if arm.penalty == penalty]
        trials = [replace(trial, number=restart) for trial in self.trials]
        with_slopes = self.selection == "sobolev" and self.levels[0].matches_slopes
        taught = taught_by_arm(
            trials,
            [self.arms[i] for i in alike],
            self.teacher,
            self.factory,
            self.trained,
            with_slopes,
        )
        with self._changed:
            self._bank_times[penalty] = time.monotonic() - started
            self.restarts = restart + 1
            # For each trial all arms, in their order.
            for (place, arm, outputs, network), i in zip(
                taught, alike * len(self.trials), strict=True
            ):
                bracket = self._brackets.setdefault(
                    (restart, place),
                    Bracket(restart, place, range(len(self.arms)), len(self.levels)),
                )
                if isinstance(outputs, Failure):
                    self._reasons.append((arm, outputs.reason))
                    self._ready += bracket.leave_out([i])
                else:
                    self._taught[restart, place, i] = outputs, network
                    self._ready += bracket.enter(i)
            self._changed.notify_all()

    def _expected(self, level: int) -> float:
        if self._fit_times[level]:
            return max(self._fit_times[level])
        if level == len(self.levels):
            return SHORTENING
        return STEP * self._expected(level - 1) if level else 0.0

    def _last(self) -> float:
        """Seconds that are for shortening."""
        needed = self._expected(len(self.levels))
        if not self.may_shorten or needed > MOST_LAST * self.seconds:
            return 0.0
        return max(LAST * self.seconds, needed)

    def _ends_in_time(self, fit: Fit, last: float = 0.0) -> bool:
        """last: seconds that are to be left then."""
        return self._expected(fit.level) <= self._left() - last

    def _is_first(self, fit: Fit) -> bool:
        """Whether its trial has no formula yet, nor another fit that may give one."""
        others = (other for other in self._running if other != fit)
        return not self.pools[fit.place] and all(other.place != fit.place for other in others)

    def _choose(self) -> Fit | None:
        """The fit that a free process takes."""
        if all(pool.is_perfect for pool in self.pools):
            return None
        return self._search(self._last()) or self._shortening() or self._search(0.0)

    def _search(self, last: float) -> Fit | None:
        """The next fit of those that leave so many seconds."""
        for fit in sorted(self._ready):
            if (self._left() > last and self._ends_in_time(fit, last)) or self._is_first(fit):
                return fit
        return self._another_seed(last)

    def _another_seed(self, last: float) -> Fit | None:
        """One more fit to a teacher of the first restart that did well, of those that had the fewest."""
        level, left = 0, self._left() - last
        for longer in range(1, len(self.levels)) if self._next_bank is None else ():
            if self._fit_times[longer] and self._expected(longer) <= left:
                level = longer
        if not self._fit_times[0] or self._expected(level) > left:
            return None
        candidates = [
            (self._draws[place, arm], rank, place, arm)
            for place in range(len(self.trials))
            if (0, place) in self._brackets and self._brackets[0, place].is_first_pass_done
            for rank, arm in enumerate(self._brackets[0, place].best_arms())
        ]
        if not candidates:
            return None
        draws, _, place, arm = min(candidates)
        return Fit(0, level, draws + 1, place, arm)

    def _shortening(self) -> Fit | None:
        """Those of a teacher's formulas in a front that are to be shortened once more, in the last part."""
        left, last = self._left(), self._last()
        if not last or left - last > self._expected(0) or self._expected(len(self.levels)) > left:
            return None
        done = Counter(place for _, place, _ in self._shortened)
        for place in sorted(range(len(self.pools)), key=lambda place: done[place]):
            for restart, arm in self._formulas(place):
                if (restart, place, arm) not in self._shortened:
                    return Fit(restart, len(self.levels), 0, place, arm)
        return None

    def _formulas(self, place: int) -> dict[tuple[int, int], list[str]]:
        """The formulas that a choice is made from, by the restart and arm of their target; the chosen one's
        first."""
        formulas: dict[tuple[int, int], list[str]] = {}
        for fit, text in self.pools[place].formulas():
            one = (
                self.trained is not None or not find_penalty(self.arms[fit.arm].penalty).has_teacher
            )
            formulas.setdefault((0 if one else fit.restart, fit.arm), []).append(text)
        return formulas

    def _is_over(self) -> bool:
        return not self._running and self._choose() is None

    def _work(self) -> None:
        """A thread: one fit after the other."""
        try:
            warm(self.levels[0], self._busy)
            while (taken := self._taken()) is not None:
                fit, (outputs, network) = taken
                trial, arm = self._trial(fit), self.arms[fit.arm]
                student, made = self._how(fit)
                call = (trial, outputs, arm.augment, student, self.selection, made)
                started = time.monotonic()
                outcome = run_one(fit_one, call, student, self._busy, *self._limit(fit))
                took = time.monotonic() - started
                with self._changed:
                    self._running.remove(fit)
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
        """The next fit, which is running from now on, and its teacher; None where there will be none."""
        with self._changed:
            while not self._stopped:
                fit = self._choose()
                if fit is not None:
                    if fit.level == len(self.levels):
                        formulas = self._formulas(fit.place)[fit.restart, fit.arm]
                        self._shortened[fit.restart, fit.place, fit.arm] = formulas
                    elif fit.draw:
                        self._draws[fit.place, fit.arm] = fit.draw
                    else:
                        self._ready.remove(fit)
                    self._running.append(fit)
                    return fit, self._taught[fit.restart, fit.place, fit.arm]
                self._changed.wait(TICK)
        return None

    def _trial(self, fit: Fit) -> Trial:
        return replace(self.trials[fit.place], number=fit.restart, draw=fit.draw)

    def _how(self, fit: Fit) -> tuple[Student, dict[str, Any]]:
        """The student of a fit, and the options of what becomes of its formulas."""
        if fit.level < len(self.levels):
            return self.levels[fit.level], self.made
        formulas = self._shortened[fit.restart, fit.place, fit.arm]
        return self.levels[-1], {**self.made, "again": formulas}

    def _limit(self, fit: Fit) -> tuple[float | None, str | None]:
        """After how many seconds a fit is ended, and what is said then."""
        left = math.inf if self._is_first(fit) else self._left() + SLACK * self.seconds
        if self.timeout is not None and self.timeout <= left:
            return self.timeout, None
        return (None, None) if math.isinf(left) else (left, CUT)

    def _record(self, fit: Fit, outcome: Attempt | Failure, took: float) -> None:
        loss = math.inf
        if isinstance(outcome, Failure):
            if outcome.reason != CUT and fit.level < len(self.levels):
                self._reasons.append((self.arms[fit.arm], outcome.reason))
        else:
            is_search = fit.level < len(self.levels)
            self.fits += is_search
            self.shortened += not is_search
            self._fit_times[fit.level].append(took)
            kept, holds = self.keep(fit.place, outcome)
            first = self._first[fit.place]
            if first is None or (outcome.loss, fit) < first[:2]:
                self._first[fit.place] = outcome.loss, fit, holds
            if kept is not None:
                loss = self.pools[fit.place].add(fit, kept, counts=is_search)
        if not fit.draw and fit.level < len(self.levels):
            bracket = self._brackets[fit.restart, fit.place]
            self._ready += bracket.record(fit, loss)
            if fit.restart and bracket.is_done:
                del self._brackets[fit.restart, fit.place]
                self._forget()

    def _forget(self) -> None:
        """Let go the teachers of races that are done, but those whose formulas may be shortened."""
        kept = [self._formulas(place) for place in range(len(self.pools))]
        for restart, place, arm in list(self._taught):
            is_done = restart > 0 and (restart, place) not in self._brackets
            if is_done and (restart, arm) not in kept[place]:
                del self._taught[restart, place, arm]

    def _say(self) -> None:
        """How far the search is, to whom it may concern."""
        now = time.monotonic()
        every = SAID_EVERY if self.fits > self._said_of else 5 * SAID_EVERY
        if now - self._said < every or not any(self.pools):
            return
        self._said, self._said_of = now, self.fits
        fields = [pool.chosen().fields for pool in self.pools if pool]
        best = ", ".join(f"{f['student_r2_val']:.3f} with {f['complexity']} nodes" for f in fields)
        left = max(0, round(self._left()))
        logger.info(
            "best R² on validation rows %s; %s done, %d:%02d left",
            best, plural(self.fits, "fit"), *divmod(left, 60),
        )  # fmt: skip

    def results(self, all_needed: bool) -> tuple[list[list[Attempt]], Spent]:
        if not self._taught:
            raise TeacherError(f"no teacher could be trained; {told_once(self._reasons)}")
        if all_needed and not all(self.pools):
            raise StudentError(f"no formula came of it; {told_once(self._reasons)}")
        seconds = time.monotonic() - self.start
        if self._reasons:
            warnings.warn(
                f"not all was tried; {told_once(self._reasons)}", UserWarning, stacklevel=5
            )
        if self._interrupted:
            warnings.warn(
                f"the search was stopped after {seconds:.0f} of {self.seconds:g} s and "
                f"{plural(self.fits, 'fit')}; the best so far is taken",
                UserWarning,
                stacklevel=5,
            )
        refused = any(first is not None and not first[2] for first in self._first)
        spent = Spent(self.fits, self.restarts, self.shortened, seconds, self._interrupted, refused)
        return [pool.attempts() for pool in self.pools], spent
