"""What runs in Ray's processes: teacher actors (torch, never a student) and student actors (never torch)."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from smoothray.datasets import Dataset
from smoothray.distillation.distil import distil, teacher_fields
from smoothray.distillation.trial import TeacherOutputs, Trial
from smoothray.errors import Failure, SmoothrayError
from smoothray.records.schema import Record, failed
from smoothray.study.plan import Job, Key
from smoothray.study.settings import StudentSettings, TeacherSettings


# No cores are asked for: the student actors hold them all for the whole study, and neither kind of work
# may wait for the other. The runner bounds how many teacher actors there are.
@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=4)
class TeacherActor:
    """A process that trains one bank after another, torch loaded once."""

    def __init__(self, augments: Sequence[int], settings: TeacherSettings, seed: int) -> None:
        import torch

        import smoothray.distillation.teaching  # noqa: F401  (a second of loading, before the first bank comes)

        # One thread, so that a bank trains to the same bits however many cores the machine has.
        torch.set_num_threads(1)
        self.augments, self.settings, self.seed = augments, settings, seed

    def teach(self, dataset: Dataset, job: Job) -> list[TeacherOutputs | Failure]:
        """The all_outputs of a job's trials with new points for every augmentation, or why there are none."""
        from smoothray.distillation.teaching import teach

        trials = [Trial.of(dataset, number, self.seed) for number in job.trials]
        strengths = [job.strength or 0.0] * len(trials)
        return teach(trials, job.penalty, strengths, job.ensemble, self.augments, self.settings)


@ray.remote(num_cpus=1, num_gpus=0, max_restarts=0, max_task_retries=0)
class StudentActor:
    """A process of one core that fits one formula after another, its programs loaded once."""

    def __init__(self, students: Sequence[StudentSettings], seed: int) -> None:
        self.settings = {settings.name: settings for settings in students}
        self.students = {settings.name: settings.build() for settings in students}
        self.seed = seed

    def ready(self) -> int:
        """Load the programs and let them compile, so that no fit's time limit pays for it.

        Returns the process's memory in bytes, as `fit` does.
        """
        for student in self.students.values():
            student.warm_up()
        return memory()

    def fit(
        self, dataset: Dataset, key: Key, outputs: TeacherOutputs | None, blank: Record
    ) -> tuple[Record, int]:
        """The record of a trial, failed where no formula came of it, and the process's memory after it."""
        return self._record(dataset, key, outputs, blank), memory()

    def _record(
        self, dataset: Dataset, key: Key, outputs: TeacherOutputs | None, blank: Record
    ) -> Record:
        trial = Trial.of(dataset, key.trial, self.seed)
        record = {**blank, **(teacher_fields(trial, outputs) if outputs else {})}
        student, settings = self.students[key.student], self.settings[key.student]
        try:
            return {
                **record,
                **distil(trial, outputs, key.arm.augment, student, settings.selection),
            }
        except SmoothrayError as error:
            return failed(record, str(error))
        except Exception as error:  # a study of thousands of fits must outlive one of them
            return failed(record, f"{type(error).__name__}: {error}")


def memory() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def start_student(students: Sequence[StudentSettings], seed: int) -> Any:
    """A new actor, in an environment that suits every student of the study."""
    from smoothray.students import find_student

    environment = {"CUDA_VISIBLE_DEVICES": ""}
    for settings in students:
        environment |= find_student(settings.name).environment
    options = StudentActor.options(runtime_env={"env_vars": environment})  # type: ignore[attr-defined]
    return options.remote(students, seed)
