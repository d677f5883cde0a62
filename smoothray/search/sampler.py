"""Where the settings of one (data set, penalty, regime) come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

from smoothray.search.board import Board
from smoothray.study import Study
from smoothray.study.plan import Arm, Setting, settings

ATTEMPTS = 50
"""Draws of arms that there are already, before it is taken that there are no others."""


class Sampler(Protocol):
    """What gives settings, one at a time.

    total: how many arms it gives in all. parallel: how many settings may be under way. listed: arms that
    were known from the start. before: those it has given in an earlier start and gives again.
    """

    total: int
    parallel: float
    listed: tuple[Arm, ...]
    before: list[Arm]

    def draw(self) -> Setting | None:
        """The next setting; None where there is no more."""
        ...


class Listed:
    """Settings that were known from the start: a grid, or strengths drawn by the study's seed alone."""

    parallel = math.inf

    def __init__(self, dataset: str, arms: Iterable[Arm], before: Iterable[Arm] = ()) -> None:
        self.listed = tuple(arms)
        self.before = [arm for arm in before if arm in set(self.listed)]
        self._left = settings(dataset, self.listed)
        self.total = len(self.listed)

    def draw(self) -> Setting | None:
        return self._left.pop(0) if self._left else None


Suggest = Callable[[str, str, str, dict[Arm, float | None], int], Arm]
"""(data set, penalty, regime, the score of each arm so far, attempt) -> an arm, perhaps one that there is
already."""


class Searched:
    """Settings that something suggests by the scores of those before, one augmentation each.

    before: the arms given before, in order; they are given again first, so that a restart draws none anew.
    """

    parallel: float = 3
    """Settings under way at a time: with more, most would be drawn before anything is known."""
    listed: tuple[Arm, ...] = ()

    def __init__(
        self,
        study: Study,
        dataset: str,
        penalty: str,
        stopping: str,
        before: Iterable[Arm],
        board: Board,
    ) -> None:
        self.dataset, self.penalty, self.stopping = dataset, penalty, stopping
        self.total = study.penalties[penalty].samples
        # Arms that the study has left since are no draws of this search.
        within = [arm for arm in before if in_space(study, penalty, arm)]
        self.before = within[: self.total]
        self._given: list[Arm] = []
        self.suggest: Suggest | None = None
        self._board = board

    def draw(self) -> Setting | None:
        if len(self._given) >= self.total:
            return None
        arm = self._next()
        if arm is None:
            self.total = len(self._given)
            return None
        self._given.append(arm)
        return self._alone(arm)

    def _next(self) -> Arm | None:
        if len(self._given) < len(self.before):
            return self.before[len(self._given)]
        assert self.suggest is not None  # `Search.use` gives one
        scores = {arm: self._board.median(self._alone(arm)) for arm in self._given}
        for attempt in range(ATTEMPTS):
            arm = self.suggest(self.dataset, self.penalty, self.stopping, scores, attempt)
            # The same to three digits: nothing would be learnt.
            if arm not in scores:
                return arm
        return None

    def _alone(self, arm: Arm) -> Setting:
        return settings(self.dataset, [arm])[0]


def in_space(study: Study, penalty: str, arm: Arm) -> bool:
    """Whether an arm could be drawn by the study as it is now."""
    low, high = study.penalties[penalty].bounds
    return (
        arm.strength is not None
        and low <= arm.strength <= high
        and arm.augment in study.augment
        and arm.ensemble in study.teacher.ensemble
    )
