"""What Tune asks for the next trial: one searcher that serves every group of a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.tune.search import Searcher

from smoothray.scheduling.trial import config_of
from smoothray.search import Search, Wait
from smoothray.seeds import seed
from smoothray.study import Study
from smoothray.study.plan import Arm, Setting

GIVE_AGAIN = 3
"""How often a setting is given once more to a new trial of Tune, each of which tries again by itself."""


class NotSaved:
    """Stays in this process. Tune pickles its parts for a resume that is never made: ours is by records."""

    def __reduce__(self) -> tuple[Any, ...]:
        return object, ()


class StudySearcher(NotSaved, Searcher):
    """Gives Tune the settings of a Search.

    room: whether one more may be under way on the cluster as it is now. gpu: a setting's share of
    one. settle: is told of a setting that gets no more trials, lost: of one that cannot be done, however
    often it is tried.
    """

    def __init__(
        self,
        search: Search,
        room: Callable[[], bool],
        gpu: Callable[[Setting], float],
        settle: Callable[[Setting], None],
        lost: Callable[[Setting], None],
    ) -> None:
        super().__init__(metric="score", mode="max")
        self.search, self.room, self.gpu = search, room, gpu
        self.settle, self.lost = settle, lost
        self.settings: dict[str, Setting] = {}
        self._failures: dict[Setting, int] = {}

    def suggest(self, trial_id: str) -> Any:
        if not self.room():
            return None
        setting = self.search.next()
        if setting is None:
            return Searcher.FINISHED
        if isinstance(setting, Wait):
            return None
        self.settings[trial_id] = setting
        return config_of(setting, self.gpu(setting))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        setting = self.settings[trial_id]
        over = self.search.stopped(setting) or self.search.board.done(setting)
        self._failures[setting] = self._failures.get(setting, 0) + error
        if not over and self._failures[setting] <= GIVE_AGAIN:
            self.search.given_up(setting)
            return
        if not over:
            self.lost(setting)
        self.search.ended(setting)
        self.settle(setting)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what was drawn and decided is in the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class OptunaSuggests:
    """Arms by Tune's OptunaSearch with a tree-structured Parzen estimator (Bergstra et al. 2011).

    The strength is one dimension; augmentation and ensemble are others where the study gives several. Each
    draw learns from the scores of all arms as they are then, so it does not hang on what this process has
    seen: a study that goes on draws as if it had not stopped.
    """

    def __init__(self, study: Study) -> None:
        self.study = study

    def __call__(
        self,
        dataset: str,
        penalty: str,
        stopping: str,
        scores: Mapping[Arm, float | None],
        attempt: int,
    ) -> Arm:
        # Optuna takes a second to load, which most studies need not wait for.
        from optuna.samplers import TPESampler
        from ray.tune.search.optuna import OptunaSearch

        study = self.study
        scored = {arm: score for arm, score in scores.items() if score is not None}
        regime = () if stopping == "early" else (stopping,)
        names = (study.seed, dataset, penalty, *regime, "tpe", len(scores), attempt)
        first = max(2, min(5, study.penalties[penalty].samples // 2))
        with _hushed():
            search = OptunaSearch(
                space=self._space(penalty),
                metric="score",
                mode="max",
                sampler=TPESampler(seed=seed(*names), n_startup_trials=first),
                points_to_evaluate=[_point(arm) for arm in scored] or None,
                evaluated_rewards=list(scored.values()) or None,
            )
            drawn: Any = search.suggest("next")
        strength = float(f"{drawn['strength']:.3g}")
        return Arm(penalty, strength, int(drawn["augment"]), int(drawn["ensemble"]), stopping)

    def _space(self, penalty: str) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        strengths = self.study.penalties[penalty]
        low, high = strengths.bounds
        return {
            "strength": FloatDistribution(low, high, log=bool(strengths.loguniform)),
            "augment": CategoricalDistribution(self.study.augment),
            "ensemble": CategoricalDistribution(self.study.teacher.ensemble),
        }


@contextmanager
def _hushed() -> Iterator[None]:
    """Without Optuna's word on each draw."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _point(arm: Arm) -> dict[str, Any]:
    assert arm.strength is not None and math.isfinite(arm.strength)
    return {"strength": arm.strength, "augment": arm.augment, "ensemble": arm.ensemble}
