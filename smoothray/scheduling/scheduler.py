"""What tells Tune which trials go on, for each group of a study: all of them, Tune's ASHA, or a race."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from smoothray.scheduling.searcher import NotSaved
from smoothray.scheduling.trial import setting_of
from smoothray.search import Search
from smoothray.search.board import ETA
from smoothray.search.search import Group
from smoothray.study.plan import Setting


class StudyScheduler(NotSaved, FIFOScheduler):
    """Hands each trial to the scheduler of its group.

    refresh: brings the search's board up to what is recorded. room: whether one more may be under way.
    gpu: a setting's share of one on the cluster as it is now.
    """

    def __init__(
        self,
        search: Search,
        refresh: Callable[[], None],
        room: Callable[[], bool],
        gpu: Callable[[Setting], float],
    ) -> None:
        super().__init__()
        self.search, self.refresh, self.room, self.gpu = search, refresh, room, gpu
        self._groups = {
            (group.dataset, group.penalty, group.stopping): scheduler_of(search, group)
            for group in search.groups
        }
        self._paused: dict[Setting, Trial] = {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_error(tune_controller, trial)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self.refresh()
        self._of(trial).on_trial_complete(tune_controller, trial, {})

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_remove(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        self.refresh()
        setting = setting_of(trial.config)
        if result["trials"] not in self.search.board.blocks:
            return TrialScheduler.STOP  # the study has ended
        block = self.search.board.blocks.index(result["trials"])
        # The score that a restart would find, over the trials that every student finished.
        score = self.search.board.median(setting, block)
        told = {"trials": result["trials"], "score": math.nan if score is None else score}
        decision: str = self._of(trial).on_trial_result(tune_controller, trial, told)
        if decision == TrialScheduler.STOP:
            reason = (
                "every trial failed" if score is None else "not in the best third so far (ASHA)"
            )
            self.search.stop(setting, block, reason)
        elif decision == TrialScheduler.PAUSE:
            self.search.waits(setting)
            self._paused[setting] = trial
            # A trial's state is its records, so there is nothing to save first.
            tune_controller.pause_trial(trial, should_checkpoint=False)
            return TrialScheduler.NOOP
        return decision

    def choose_trial_to_run(self, tune_controller: Any, **kwargs: Any) -> Trial | None:
        """A trial that was let through to its next block, or the next new one."""
        for setting, trial in list(self._paused.items()):
            if self.search.stopped(setting):
                del self._paused[setting]
                tune_controller.stop_trial(trial)
        if self._paused and self.room():
            for group in self.search.groups:
                released = self.search.released(group, given=True)
                if released is not None:
                    return self._paused.pop(released)
        for trial in tune_controller.get_live_trials():
            if trial.status == Trial.PENDING:
                # One that waits for a GPU that is there no more is given again, to take what there is.
                if trial.config["gpu"] == self.gpu(setting_of(trial.config)):
                    return trial
                tune_controller.stop_trial(trial)
                break
        return None

    def _of(self, trial: Trial) -> TrialScheduler:
        setting = setting_of(trial.config)
        return self._groups[setting.dataset, setting.penalty, setting.stopping]


class RaceScheduler(FIFOScheduler):
    """Has every trial wait after each block, until it is judged beside all that had the same block."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return TrialScheduler.PAUSE


class StudyAsha(ASHAScheduler):
    """Tune's ASHA, which would have a trial without a score go on."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if math.isnan(result["score"]):
            return TrialScheduler.STOP
        decision: str = super().on_trial_result(tune_controller, trial, result)
        return decision


def scheduler_of(search: Search, group: Group) -> TrialScheduler:
    """The scheduler of a group, which knows what earlier starts recorded."""
    if group.raced:
        return RaceScheduler()
    if search.study.scheduler != "asha" or group.penalty not in search.study.penalties:
        return FIFOScheduler()
    looks = search.board.blocks
    scheduler = StudyAsha(
        time_attr="trials", metric="score", mode="max", max_t=looks[-1], grace_period=looks[0],
        reduction_factor=ETA, stop_last_trials=False,
    )  # fmt: skip
    _replay(scheduler, search, group)
    return scheduler


def _replay(scheduler: StudyAsha, search: Search, group: Group) -> None:
    """Tell ASHA what earlier starts recorded; what it decided then is kept as it was."""
    board: Any = search.board
    nobody: Any = None  # the controller, which ASHA does not look at
    again = board.again(group.dataset)
    for setting in group.settings:
        if again & set(setting.arms):
            continue  # it will report for itself
        stand_in = Trial("recorded", stub=True, trial_id=str(setting))
        scheduler.on_trial_add(nobody, stand_in)
        for block, trials in enumerate(board.blocks[:-1]):
            score = board.median(setting, block)
            if board.had(setting, block) and score is not None:
                scheduler.on_trial_result(nobody, stand_in, {"trials": trials, "score": score})
