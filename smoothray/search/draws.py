"""Where the arms of one (data set, penalty) come from: a list, or Optuna's TPE sampler."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

from smoothray.seeds import seed
from smoothray.study import Study
from smoothray.study.plan import Arm
from smoothray.study.settings import Strengths

ATTEMPTS = 50
"""Draws of arms that are known already, before it is taken that there are no others."""


class Draws(Protocol):
    """What gives arms, one at a time."""

    total: int
    parallel: float
    listed: tuple[Arm, ...]
    known: list[Arm]

    def draw(self) -> Arm | None:
        """The next arm; None where there is no more."""
        ...

    def tell(self, arm: Arm, score: float | None) -> None:
        """An arm's score, when it has come to its end; None where all its trials failed."""
        ...


class Listed:
    """Arms that were known from the start: a grid, or strengths drawn by the study's seed alone."""

    parallel = math.inf

    def __init__(self, arms: Iterable[Arm], known: Iterable[Arm] = ()) -> None:
        self.listed = tuple(arms)
        self.known = [arm for arm in known if arm in set(self.listed)]
        self._left = list(self.listed)
        self.total = len(self.listed)

    def draw(self) -> Arm | None:
        return self._left.pop(0) if self._left else None

    def tell(self, arm: Arm, score: float | None) -> None:
        pass


class Tpe:
    """Arms drawn by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011).

    The strength is one dimension; augmentation and ensemble are others where the study gives several.
    known: the arms drawn before, in order; they are given again first, so that a restart draws none anew.
    """

    parallel: float = 3
    """Arms under way at a time: with more, most would be drawn before anything is known."""
    listed: tuple[Arm, ...] = ()

    def __init__(self, study: Study, dataset: str, penalty: str, known: Iterable[Arm]) -> None:
        import optuna
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        strengths = study.penalties[penalty]
        low, high = bounds(strengths)
        self._space: dict[str, Any] = {
            "strength": FloatDistribution(low, high, log=bool(strengths.loguniform)),
            "augment": CategoricalDistribution(study.augment),
            "ensemble": CategoricalDistribution(study.teacher.ensemble),
        }
        sampler = optuna.samplers.TPESampler(
            seed=seed(study.seed, dataset, penalty, "tpe"),
            n_startup_trials=max(2, min(5, strengths.samples // 2)),
        )
        self._optuna = optuna.create_study(direction="maximize", sampler=sampler)
        self._penalty = penalty
        self.total = strengths.samples
        # Arms that the study has left since are no draws of this search.
        self.known = [arm for arm in known if self._within(arm)][: self.total]
        self._known = list(self.known)
        self._drawn = 0
        self._asked: dict[Arm, Any] = {}

    def draw(self) -> Arm | None:
        if self._drawn >= self.total:
            return None
        self._drawn += 1
        if self._known:
            arm = self._known.pop(0)
            # What was drawn before is asked for as it was; TPE learns of it when it is told its score.
            self._optuna.enqueue_trial(
                {"strength": arm.strength, "augment": arm.augment, "ensemble": arm.ensemble}
            )
            self._asked[arm] = self._optuna.ask(self._space)
            return arm
        for _ in range(ATTEMPTS):
            trial = self._optuna.ask(self._space)
            chosen = trial.params
            strength = float(f"{chosen['strength']:.3g}")
            arm = Arm(self._penalty, strength, chosen["augment"], chosen["ensemble"])
            if arm not in self._asked:
                self._asked[arm] = trial
                return arm
            # The same to three digits: nothing would be learnt.
            self._optuna.tell(trial, state=_failed())
        return None

    def _within(self, arm: Arm) -> bool:
        low, high = self._space["strength"].low, self._space["strength"].high
        return (
            arm.strength is not None
            and low <= arm.strength <= high
            and arm.augment in self._space["augment"].choices
            and arm.ensemble in self._space["ensemble"].choices
        )

    def tell(self, arm: Arm, score: float | None) -> None:
        trial = self._asked.pop(arm, None)
        if trial is not None:
            self._optuna.tell(trial, score, state=None if score is not None else _failed())
            self._asked[arm] = None


def bounds(strengths: Strengths) -> tuple[float, float]:
    found = strengths.loguniform or strengths.uniform
    assert found is not None
    return found


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL
