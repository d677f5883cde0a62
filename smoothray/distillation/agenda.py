"""What a search that has so many seconds does next: which teachers, which fit, and when it is over.

All settings are fitted by the student's shortest budget, the best third of them by the next one, and so on;
what is next is the first fit of the oldest restart that is ready and that ends in time, by what fits of its
budget have taken. Where none is, other seeds of the student are fitted to the first restart's best teachers.
In the last part of the time the formulas of the front are shortened once more.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import count

from smoothray.distillation.attempts import Attempt
from smoothray.distillation.race import Bracket, Fit, Pool
from smoothray.penalties import find_penalty
from smoothray.study.plan import Arm

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

Bank = tuple[int, str]
"""The teachers of a restart under a penalty, of every target and strength."""


class Agenda:
    """The fits of a search that wait, that are under way, and what came of those that are done.

    arms: the settings. levels: how many budgets there are. one_teacher: whether every restart has the same
    network. pools: each target's formulas. shortens: whether the last part of the time is for that; such a
    fit has the level after the last budget's. Nothing here waits or starts anything.
    """

    def __init__(
        self,
        arms: Sequence[Arm],
        levels: int,
        pools: Sequence[Pool],
        seconds: float,
        *,
        one_teacher: bool = False,
        shortens: bool = True,
    ) -> None:
        self.arms, self.levels, self.pools = arms, levels, pools
        self.seconds, self.shortens = seconds, shortens
        self.start = time.monotonic()
        self.end = self.start + seconds
        self.fits = self.restarts = self.shortened = 0
        self.running: list[Fit] = []
        # Where a restart has no other target than the first had.
        self._same_target = [
            one_teacher or not find_penalty(arm.penalty).has_teacher for arm in arms
        ]
        self._ready: list[Fit] = []
        self._brackets: dict[tuple[int, int], Bracket] = {}
        self._draws: Counter[tuple[int, int]] = Counter()
        self._again: dict[tuple[int, int, int], list[str]] = {}
        self._times: list[deque[float]] = [deque(maxlen=20) for _ in range(levels + 1)]
        self._bank_times: dict[str, float] = {}
        self._banks = self._all_banks()
        self._next_bank: Bank | None = next(self._banks)

    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def is_over(self) -> bool:
        return not self.running and self._choose() is None

    # Teachers.

    def bank(self, workers: int) -> Bank | None:
        """The teachers that are to be trained now, so that so many processes have fits to make; None where
        there are enough, or where they are not worth their time."""
        if self._next_bank is None or all(pool.is_perfect for pool in self.pools):
            return None
        restart, penalty = self._next_bank
        if not self._brackets:
            return self._next_bank
        slowest = max(self._bank_times.values())
        expected = self._bank_times.get(penalty, TEACHING * slowest) + self._expected(0)
        if expected > self.left() - self.last():
            self._teach_no_more(restart)
            return None
        if restart == 0 or (
            (any(self.pools) or restart * len(self.arms) < workers)
            and sum(self._ends_in_time(fit) for fit in self._ready) < workers
        ):
            return self._next_bank
        return None

    def enter(self, restart: int, place: int, arm: int, is_taught: bool) -> None:
        """A target has a teacher under this setting, or will have none."""
        bracket = self._brackets.setdefault(
            (restart, place), Bracket(restart, place, range(len(self.arms)), self.levels)
        )
        self._ready += bracket.enter(arm) if is_taught else bracket.leave_out([arm])

    def bank_done(self, bank: Bank, took: float) -> None:
        """A bank of teachers was trained in so many seconds."""
        restart, penalty = bank
        self._bank_times[penalty] = took
        self.restarts = restart + 1
        self._next_bank = next(self._banks)

    def needs(self, restart: int, place: int, arm: int) -> bool:
        """Whether a teacher may be fitted to, or its formulas be shortened, again."""
        in_race = restart == 0 or (restart, place) in self._brackets
        return in_race or (restart, arm) in self._formulas(place)

    def _all_banks(self) -> Iterator[Bank]:
        for restart in count():
            for penalty in dict.fromkeys(arm.penalty for arm in self.arms):
                yield restart, penalty

    def _teach_no_more(self, restart: int) -> None:
        self._next_bank = None
        for place in range(len(self.pools)):
            bracket = self._brackets.get((restart, place))
            if bracket is not None:
                self._ready += bracket.leave_out(range(len(self.arms)))

    # Fits.

    def take(self) -> Fit | None:
        """The fit that a free process makes, which is under way from now on; None where there is none yet."""
        fit = self._choose()
        if fit is None:
            return None
        if self.is_shortening(fit):
            self._again[fit.restart, fit.place, fit.arm] = self._formulas(fit.place)[
                fit.restart, fit.arm
            ]
        elif fit.draw:
            self._draws[fit.place, fit.arm] = fit.draw
        else:
            self._ready.remove(fit)
        self.running.append(fit)
        return fit

    def record(self, fit: Fit, attempt: Attempt | None, took: float | None) -> bool:
        """What came of a fit that is no longer under way; returns whether a race of a restart ended with it.

        attempt: the formulas that may be taken. took: seconds, None where the fit failed.
        """
        if took is not None:
            self._times[fit.level].append(took)
            if self.is_shortening(fit):
                self.shortened += 1
            else:
                self.fits += 1
        loss = math.inf
        if attempt is not None:
            loss = self.pools[fit.place].add(fit, attempt, counts=not self.is_shortening(fit))
        if fit.draw or self.is_shortening(fit):
            return False
        bracket = self._brackets[fit.restart, fit.place]
        self._ready += bracket.record(fit, loss)
        if fit.restart and bracket.is_done:
            del self._brackets[fit.restart, fit.place]
            return True
        return False

    def is_shortening(self, fit: Fit) -> bool:
        return fit.level == self.levels

    def to_shorten(self, fit: Fit) -> list[str]:
        """The formulas that such a fit shortens, the chosen one first."""
        return self._again[fit.restart, fit.place, fit.arm]

    def limit(self, fit: Fit) -> float:
        """After how many seconds from now a fit is to be ended; infinity for a target's first one."""
        return math.inf if self._is_first(fit) else self.left() + SLACK * self.seconds

    def last(self) -> float:
        """Seconds at the end that are for shortening."""
        needed = self._expected(self.levels)
        if not self.shortens or needed > MOST_LAST * self.seconds:
            return 0.0
        return max(LAST * self.seconds, needed)

    def _expected(self, level: int) -> float:
        if self._times[level]:
            return max(self._times[level])
        if level == self.levels:
            return SHORTENING
        return STEP * self._expected(level - 1) if level else 0.0

    def _ends_in_time(self, fit: Fit, last: float = 0.0) -> bool:
        """last: seconds that are to be left then."""
        return self._expected(fit.level) <= self.left() - last

    def _is_first(self, fit: Fit) -> bool:
        """Whether its target has no formula yet, nor another fit that may give one."""
        others = (other for other in self.running if other != fit)
        return not self.pools[fit.place] and all(other.place != fit.place for other in others)

    def _choose(self) -> Fit | None:
        if all(pool.is_perfect for pool in self.pools):
            return None
        return self._search(self.last()) or self._shortening() or self._search(0.0)

    def _search(self, last: float) -> Fit | None:
        """The next fit of those that leave so many seconds."""
        for fit in sorted(self._ready):
            if (self.left() > last and self._ends_in_time(fit, last)) or self._is_first(fit):
                return fit
        return self._another_seed(last)

    def _another_seed(self, last: float) -> Fit | None:
        """One more fit to a teacher of the first restart that did well, of those that had the fewest."""
        level, left = 0, self.left() - last
        for longer in range(1, self.levels) if self._next_bank is None else ():
            if self._times[longer] and self._expected(longer) <= left:
                level = longer
        if not self._times[0] or self._expected(level) > left:
            return None
        candidates = [
            (self._draws[place, arm], rank, place, arm)
            for place in range(len(self.pools))
            if (0, place) in self._brackets and self._brackets[0, place].is_first_pass_done
            for rank, arm in enumerate(self._brackets[0, place].best_arms())
        ]
        if not candidates:
            return None
        draws, _, place, arm = min(candidates)
        return Fit(0, level, draws + 1, place, arm)

    def _shortening(self) -> Fit | None:
        """Those of a teacher's formulas in a front that are to be shortened once more, in the last part."""
        left, last = self.left(), self.last()
        if not last or left - last > self._expected(0) or self._expected(self.levels) > left:
            return None
        done = Counter(place for _, place, _ in self._again)
        for place in sorted(range(len(self.pools)), key=lambda place: done[place]):
            for restart, arm in self._formulas(place):
                if (restart, place, arm) not in self._again:
                    return Fit(restart, self.levels, 0, place, arm)
        return None

    def _formulas(self, place: int) -> dict[tuple[int, int], list[str]]:
        """The formulas that a choice is made from, by the restart and arm of their target; the chosen one's
        first."""
        formulas: dict[tuple[int, int], list[str]] = {}
        for fit, text in self.pools[place].formulas():
            restart = 0 if self._same_target[fit.arm] else fit.restart
            formulas.setdefault((restart, fit.arm), []).append(text)
        return formulas
