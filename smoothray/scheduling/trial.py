"""What a trial of Tune does: it trains the teachers of one setting and has the students fit them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayTaskError
from ray.tune import PlacementGroupFactory, Trainable

from smoothray.distillation.trial import Trial
from smoothray.errors import Failure
from smoothray.records.schema import Record, failed, new_record
from smoothray.scheduling.cluster import TEACHER_CORES
from smoothray.scheduling.fit import Fit, LostOutputs, StudyEnded
from smoothray.search.board import blocks
from smoothray.study import Study
from smoothray.study.plan import Job, Key, Setting


@dataclass(frozen=True)
class Shared:
    """What all trials of a study share.

    datasets: references to them, by name. sizes: rows of each part, and columns. versions: what a student's
    records are made with. pool, recorder: actors.
    """

    study: Study
    datasets: Mapping[str, Any]
    sizes: Mapping[str, Mapping[str, int]]
    fingerprints: Mapping[str, str]
    versions: Mapping[str, str]
    pool: Any
    recorder: Any

    def blank(self, job: Job, key: Key) -> Record:
        """A trial's record before it is done."""
        settings = next(each for each in self.study.students if each.name == key.student)
        return new_record(
            self.study.name,
            key,
            self.sizes[key.dataset],
            self.fingerprints[key.dataset],
            job.bank,
            settings.selection,
            self.versions[key.student],
        )


class TeacherTrial(Trainable):
    """One teacher setting on one data set; a step is a block of its trials.

    What is recorded is not done again: after its process was lost, a trial does the rest.
    """

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """Next to nothing of a core, and the setting's share of a GPU."""
        gpu = {"GPU": config["gpu"]} if config["gpu"] else {}
        return PlacementGroupFactory([{"CPU": TEACHER_CORES, **gpu}])

    def setup(self, config: dict[str, Any], shared: Shared) -> None:  # type: ignore[override]
        self.shared = shared
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setting = setting_of(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Do the first block of which something is missing."""
        shared = self.shared
        students = [student.name for student in shared.study.students]
        looks = blocks(shared.study)
        for look in looks:
            wanted = self.setting.keys(students, look)
            todo = ray.get(shared.recorder.todo.remote(wanted))
            if todo:
                break
        try:
            for job in todo:
                self._do(job)
        except RayTaskError as error:
            if isinstance(error.cause, StudyEnded):
                return {"score": math.nan, "trials": 0, "done": True}
            self._note(error.cause)
            raise
        except Exception as error:
            self._note(error)
            raise
        summary = ray.get(shared.recorder.summary.remote(wanted))
        return {**summary, "trials": look, "done": look == looks[-1]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: a trial's state is its records."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing."""

    def _note(self, error: BaseException) -> None:
        """Leave word of why this try ended, should all of them end so."""
        reason = f"{type(error).__name__}: {error}"
        ray.get(self.shared.recorder.note.remote(self.setting, reason))

    def _do(self, job: Job) -> None:
        outputs = self._teach(job)
        waiting = {}
        anew: set[Key] = set()
        kept = []
        for key in job.fits:
            said = outputs.get(key.trial)
            if isinstance(said, Failure):
                record = failed(self.shared.blank(job, key), said.reason)
                kept.append(self.shared.recorder.add.remote(record))
            else:
                waiting[self._submit(job, key, said)] = key
        while waiting:
            (done, *_), _ = ray.wait(list(waiting), num_returns=1)
            key = waiting.pop(done)
            try:
                record = ray.get(done)
            except RayTaskError as error:
                if not isinstance(error.cause, LostOutputs) or key in anew:
                    raise
                anew.add(key)  # a process that is gone had asked for it, and this joined it
                waiting[self._submit(job, key, outputs.get(key.trial))] = key
                continue
            kept.append(self.shared.recorder.add.remote(record))
        ray.get(kept)

    def _submit(self, job: Job, key: Key, outputs: Any) -> Any:
        settings = {each.name: each for each in self.shared.study.students}
        fit = Fit(
            key,
            self.shared.datasets[key.dataset],
            outputs,
            self.shared.blank(job, key),
            settings[key.student].timeout,
        )
        return self.shared.pool.fit.remote(fit)

    def _teach(self, job: Job) -> dict[int, Any]:
        """References to what each trial's teacher says, or why it says nothing; empty without teachers."""
        if not self.setting.has_teacher:
            return {}
        study = self.shared.study
        dataset = ray.get(self.shared.datasets[job.dataset])
        trials = [Trial.of(dataset, number, study.seed, job.restart) for number in job.trials]
        taught = teach(trials, job, self.setting.augments, study)
        return {
            number: said if isinstance(said, Failure) else ray.put(said)
            for number, said in zip(job.trials, taught, strict=True)
        }


def teach(
    trials: Sequence[Trial], job: Job, augments: Sequence[int], study: Study
) -> Sequence[Any]:
    """The outputs of a bank's teachers, with new points for every augmentation, or why there are none."""
    import torch

    from smoothray.distillation import teaching

    # One thread, so that a bank trains to the same bits however many cores the machine has.
    torch.set_num_threads(1)
    strengths = [job.strength or 0.0] * len(trials)
    try:
        return teaching.teach(
            trials,
            job.penalty,
            strengths,
            job.ensemble,
            augments,
            study.teacher.regime(job.stopping),
        )
    except Exception as error:
        if isinstance(error, torch.AcceleratorError) or "CUDA" in str(error):
            raise  # a failed kernel spoils a process's GPU for good: Tune tries in another one
        reason = f"the teachers could not be trained: {type(error).__name__}: {error}"
        return [Failure(reason)] * len(trials)


def setting_of(config: Mapping[str, Any]) -> Setting:
    """The setting that a trial's configuration says."""
    return Setting(
        config["dataset"],
        config["penalty"],
        config["strength"],
        config["ensemble"],
        tuple(config["augment"]),
        config["stopping"],
        config["restart"],
    )


def config_of(setting: Setting, gpu: float) -> dict[str, Any]:
    """A setting as Tune, its result table and its files show it. gpu: its share of one."""
    return {
        "dataset": setting.dataset,
        "penalty": setting.penalty,
        "strength": setting.strength,
        "ensemble": setting.ensemble,
        "augment": list(setting.augments),
        "stopping": setting.stopping,
        "restart": setting.restart,
        "gpu": gpu,
    }
