"""One Ray Tune run for a whole study: a Tune trial is an arm on a data set, and only coordinates.

Its searcher and its scheduler ask the study's own Search. A Tune trial is a light process on the head that
hands an arm's block of trials to the desk and waits; without early stopping that is all of them. The teachers
and students that do the work are scheduled by the driver's loop. An arm that goes on after a block does so as
a new Tune trial: pausing one costs a process, a new one 0.2 s.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import tempfile
import threading
from typing import Any

os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")  # resuming is by our own records
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

from ray import tune
from ray.tune import PlacementGroupFactory, Stopper
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from smoothray.scheduling.arm_trial import ArmTrial
from smoothray.search import Search, Turn, Wait

# What a trial died of is dealt with by giving its turn again; at a stop, all of them end so.
for name in ("ray.tune", "ray.air"):
    logging.getLogger(name).setLevel(logging.CRITICAL)

# A core is held by a student each, so a trial may ask for none. Ray refuses a trial that asks for nothing;
# every head has this resource, and it keeps trials there.
RESOURCES = {"CPU": 0, "node:__internal_head__": 0.001}


Turns = dict[int, Turn]
"""What has been given to Tune, by number."""
_numbers = itertools.count()


class NotSaved:
    """Stays in this process. Tune pickles its parts for a resume that is never made: ours is by records."""

    def __reduce__(self) -> tuple[Any, ...]:
        return object, ()


class StudySearcher(NotSaved, Searcher):
    """Tune's way to ask a Search for the next arm."""

    def __init__(self, search: Search, desk: Any, turns: Turns) -> None:
        super().__init__(metric="score", mode="max")
        self.search, self.desk, self.turns = search, desk, turns

    def suggest(self, trial_id: str) -> Any:
        found = self.search.next()
        if found is None:
            return Searcher.FINISHED
        if isinstance(found, Wait):
            return None
        number = next(_numbers)
        self.turns[number] = found
        return {"number": number, "desk": self.desk}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The scheduler hears of it with the arm."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what was drawn and decided is in the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class StudyScheduler(NotSaved, FIFOScheduler):
    """Tune's way to tell a Search that a turn has ended; the Search stops the arm or has it go on."""

    def __init__(self, search: Search, turns: Turns) -> None:
        super().__init__()
        self.search, self.turns = search, turns

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self.search.done(self.turns[trial.config["number"]])

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self.search.given_up(self.turns[trial.config["number"]])


class Ended(NotSaved, Stopper):
    """Ends all trials once the driver says so."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.event.is_set()

    def stop_all(self) -> bool:
        return self.event.is_set()


class Tuning:
    """Tune at work in a thread of the driver."""

    def __init__(self, search: Search, desk: Any, concurrent: int) -> None:
        self.error: BaseException | None = None
        self.turns: Turns = {}
        self._ended = Ended()
        self._folder = tempfile.mkdtemp(prefix="smoothray-tune-")
        self._tuner = tune.Tuner(
            tune.with_resources(ArmTrial, PlacementGroupFactory([RESOURCES])),
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(search, desk, self.turns),
                scheduler=StudyScheduler(search, self.turns),
                num_samples=-1,
                max_concurrent_trials=concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=self._folder,
                verbose=0,
                stop=self._ended,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        self._thread = threading.Thread(target=self._fit, name="tune", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def close(self, timeout: float = 5.0) -> None:
        """End Tune; what it has under way is given up."""
        self._ended.event.set()
        self._thread.join(timeout)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _fit(self) -> None:
        try:
            self._tuner.fit()
        except BaseException as error:
            self.error = error
