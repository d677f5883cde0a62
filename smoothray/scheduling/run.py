"""Run a study's search on Ray: start the actors, have Tune run the trials, and watch."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")  # resuming is by our own records
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "8")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")

import ray
from ray import tune
from ray.exceptions import RayError, RayTaskError
from ray.tune import Stopper

from smoothray.datasets import Dataset
from smoothray.distillation.trial import Trial
from smoothray.errors import StudentError, StudyError
from smoothray.records.recorder import Lacking
from smoothray.records.schema import Record, failed
from smoothray.records.versions import versions
from smoothray.scheduling.cluster import Cluster, here, on_cluster, teachers_at_once
from smoothray.scheduling.pool import StudentPool
from smoothray.scheduling.recording import RecorderActor
from smoothray.scheduling.scheduler import StudyScheduler
from smoothray.scheduling.searcher import NotSaved, OptunaSuggests, StudySearcher
from smoothray.scheduling.session import hushed
from smoothray.scheduling.students import environment_of
from smoothray.scheduling.trial import Shared, TeacherTrial, setting_of
from smoothray.search import Score, Search
from smoothray.study import Study
from smoothray.study.plan import Key, Setting

if "torch" not in sys.modules:
    # Tune writes files for TensorBoard; their writer loads torch where it can: seconds, for nothing.
    sys.modules["torch"] = None  # type: ignore[assignment]
    with suppress(ImportError):
        import tensorboardX.writer  # noqa: F401
    del sys.modules["torch"]

# What a trial died of is dealt with by trying again; at a stop, all of them end so.
for name in ("ray.tune", "ray.air", "ray.train"):
    logging.getLogger(name).setLevel(logging.CRITICAL)

MAX_FAILURES = 4
"""How often Tune begins a trial again whose process was lost."""
TICK = 0.25
"""Seconds between looks at what was recorded."""
ASKED = 100_000
"""Calls that may wait at an actor at a time."""


class StudyRun:
    """A study's search at work inside a `ray_session`; a context manager, at whose end its actors end.

    again: recorded keys that are to be done once more. folder: where Tune keeps its results.

    Raises StudyError where the recorder cannot take over the journal, or where a GPU is asked for in vain.
    """

    def __init__(
        self,
        study: Study,
        search: Search,
        datasets: Mapping[str, Dataset],
        identity: Mapping[str, Any],
        again: Collection[Key],
        folder: Path,
    ) -> None:
        self.study, self.search = study, search
        self._cluster = Cluster()
        # A cluster may start its GPU nodes when they are asked for.
        if study.teacher.device == "cuda" and not self._cluster.gpus and not on_cluster():
            raise StudyError("teacher.device is 'cuda', but Ray sees no GPU here; use auto or cpu")
        actors = here()
        self.recorder = RecorderActor.options(max_concurrency=1, **actors).remote(  # type: ignore[attr-defined]
            study.name, identity, search.settled(), again, os.getcwd(), environment()
        )
        pool: Any = ray.remote(max_restarts=-1, max_task_retries=-1)(StudentPool)
        self.pool = pool.options(max_concurrency=ASKED, **actors).remote(
            study.students, study.seed, on_cluster(), environment_of(study.students)
        )
        expected = sum(search.to_draw().values()) + len(search.open_keys())
        self.pool.expect.remote(expected)
        shared = Shared(
            study.model_copy(update={"datasets": tuple(datasets)}),  # the data go their own way
            {name: ray.put(dataset) for name, dataset in datasets.items()},
            {name: sizes(dataset, study.seed) for name, dataset in datasets.items()},
            {name: dataset.fingerprint for name, dataset in datasets.items()},
            {student.name: versions(student) for student in study.students},
            self.pool,
            self.recorder,
        )
        self._shared = shared
        opening = self.recorder.open.remote()  # takes seconds, while Tune and the students start
        self._seen = 0
        search.use(OptunaSuggests(study), self._keep)
        self.results: tune.ResultGrid | None = None
        self._error: BaseException | None = None
        self._ended = Ended()
        self._tuner = self._make_tuner(folder)
        self._thread = threading.Thread(target=self._tune, name="tune", daemon=True)
        self._thread.start()
        try:
            refused = ray.get(opening)
            if refused:
                raise StudyError(refused)
        except BaseException:  # Ctrl-C too: Ray may be the user's own, and go on
            self.close()
            self.__exit__()
            raise

    def _make_tuner(self, folder: Path) -> tune.Tuner:
        searcher = StudySearcher(self.search, self._room, self._gpu, self._settle, self._lost)
        trainable = tune.with_parameters(TeacherTrial, shared=self._shared)
        return tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=StudyScheduler(self.search, self._refresh, self._room, self._gpu),
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=lambda trial: str(setting_of(trial.config)),
                trial_dirname_creator=_folder_name,
            ),
            run_config=tune.RunConfig(
                name=folder.name,
                storage_path=str(folder.parent.resolve()),
                verbose=0,
                stop=self._ended,
                failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )

    def scores(self, stopping: Callable[[], bool] = lambda: False) -> Iterator[Score]:
        """The score of each trial as it is recorded, until the search has come to its end.

        stopping: asked now and then whether to end, by KeyboardInterrupt.
        """
        told = 0
        while True:
            running = self._thread.is_alive()
            news = self._news(told)
            told += len(news)
            yield from news
            if stopping():
                raise KeyboardInterrupt
            if not running:
                break
            state = ray.get(self.pool.state.remote())
            if state["problem"]:
                raise StudentError(str(state["problem"]))
            self._thread.join(TICK)
        if self._error is not None:
            raise StudyError(f"Ray Tune came to an end by itself: {self._error}")

    def rows(self, keys: Collection[Key]) -> dict[Key, Record] | None:
        """The records of these trials, without their fronts; None where the head has ended meanwhile."""
        try:
            rows: list[Record] = ray.get(self.recorder.rows.remote(keys))
        except RayError:
            return None
        return {Key.of(row): row for row in rows}

    def finish(self, timeout: float | None) -> Lacking | None:
        """Have what is left delivered to MLflow; what it still lacks, None where nobody knows any more."""
        try:
            lacking: Lacking = ray.get(self.recorder.finish.remote(timeout))
        except RayError:
            return None
        return lacking

    def close(self) -> None:
        """End Tune; what it has under way is given up."""
        self._ended.event.set()
        with suppress(RayError):
            ray.get(self.pool.close.remote(), timeout=5.0)  # so that no trial waits for its fits
        self._thread.join(10.0)

    def __enter__(self) -> StudyRun:
        return self

    def __exit__(self, *details: object) -> None:
        """End the actors, and with them the students: Ray may be the user's own, and go on."""
        with hushed():  # Ray tells of calls that this ends
            for actor in (self._shared.pool, self._shared.recorder):
                ray.kill(actor)
            time.sleep(TICK)

    def _tune(self) -> None:
        try:
            self.results = self._tuner.fit()
        except BaseException as error:
            self._error = error

    def _news(self, seen: int) -> list[Score]:
        try:
            news: list[Score] = ray.get(self.recorder.news.remote(seen))
        except RayTaskError as error:
            raise StudyError(
                f"{error.cause}; mend that, and start the same command again"
            ) from None
        except RayError as error:
            raise StudyError(
                f"the recorder's process died ({error}); start the same command again to go on"
            ) from None
        return news

    def _refresh(self) -> None:
        """Bring the board up to what is recorded; in Tune's thread, whose the search is."""
        news = self._news(self._seen)
        self._seen += len(news)
        for score in news:
            self.search.board.add(score)

    def _keep(self, decision: Mapping[str, Any]) -> None:
        ray.get(self.recorder.decide.remote(decision))

    def _room(self) -> bool:
        """Whether one more setting may be under way on the cluster as it is now."""
        study = self.study
        fits = self.search.board.blocks[0] * len(study.students) * len(study.augment)
        gpus = self._cluster.gpus if self._on_gpu() else 0.0
        most = teachers_at_once(self._cluster.cores, gpus, study.teacher.gpu_share, fits)
        return sum(len(group.running) for group in self.search.groups) < most

    def _on_gpu(self) -> bool:
        device = self.study.teacher.device
        return device == "cuda" or (device == "auto" and self._cluster.gpus > 0)

    def _gpu(self, setting: Setting) -> float:
        """A setting's share of a GPU on the cluster as it is now."""
        return self.study.teacher.gpu_share if setting.has_teacher and self._on_gpu() else 0.0

    def _settle(self, setting: Setting) -> None:
        self.recorder.settle.remote(setting.dataset, setting.arms)

    def _lost(self, setting: Setting) -> None:
        """Record what is missing of a setting that fails, or whose processes die, again and again."""
        said = ray.get(self.recorder.trouble.remote(setting))
        reason = (
            f"the teachers could not be trained: {said or 'their process died again and again'}"
        )
        for job in ray.get(self.recorder.todo.remote(self.search.board.keys(setting))):
            for key in job.fits:
                record = failed(self._shared.blank(job, key), reason)
                ray.get(self.recorder.add.remote(record))


class Ended(NotSaved, Stopper):
    """Ends all trials once the driver says so."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return self.event.is_set()

    def stop_all(self) -> bool:
        return self.event.is_set()


def environment() -> dict[str, str]:
    """What says where the journal and MLflow are: a cluster's processes have an environment of their own."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("MLFLOW_", "SMOOTHRAY_"))
    }


def sizes(dataset: Dataset, seed: int) -> dict[str, int]:
    """Rows of each part of a trial, and columns."""
    parts = Trial.of(dataset, 0, seed).y
    return {**{part: len(rows) for part, rows in parts.items()}, "columns": dataset.X.shape[1]}


def _folder_name(trial: Any) -> str:
    """The folder of a Tune trial's results."""
    setting = str(setting_of(trial.config)).replace("λ", "strength")
    return f"{re.sub(r'[^A-Za-z0-9_.=-]+', '_', setting)}_{trial.trial_id}"
