"""Student actors: processes of one core that fit one formula after another, and never load torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ray

from smoothray.distillation.own_process import hush, memory
from smoothray.errors import SmoothrayError
from smoothray.records.schema import Record, failed
from smoothray.records.versions import completed
from smoothray.scheduling.cluster import STUDENT_CORES
from smoothray.study.plan import Key
from smoothray.study.settings import StudentSettings

if TYPE_CHECKING:
    from smoothray.datasets import Dataset
    from smoothray.distillation.trial import TeacherOutputs


@ray.remote(num_cpus=STUDENT_CORES, num_gpus=0, max_restarts=0, max_task_retries=0)
class StudentActor:
    """A process of one core that fits one formula after another, its programs loaded once."""

    def __init__(self, students: Sequence[StudentSettings], seed: int) -> None:
        self.settings = {settings.name: settings for settings in students}
        self.students = {settings.name: settings.build() for settings in students}
        self.seed = seed

    def ready(self) -> tuple[int, str]:
        """Load the programs and let them compile, so that no fit's time limit pays for it.

        Returns the process's memory in bytes, as `fit` does, and the node that it runs on.
        """
        import smoothray.distillation.distil  # noqa: F401  (seconds of loading, before the first fit comes)

        if any(student.needs_own_process for student in self.students.values()):
            hush()
        for student in self.students.values():
            student.warm_up()
        return memory(), ray.get_runtime_context().get_node_id()

    def alive(self) -> None:
        """Answers if there is a process to answer."""

    def fit(
        self, dataset: Dataset, key: Key, outputs: TeacherOutputs | None, blank: Record
    ) -> tuple[Record, int]:
        """The record of a trial, failed where no formula came of it, and the process's memory after it."""
        return self._record(dataset, key, outputs, blank), memory()

    def _record(
        self, dataset: Dataset, key: Key, outputs: TeacherOutputs | None, blank: Record
    ) -> Record:
        from smoothray.distillation.distil import distil, teacher_fields
        from smoothray.distillation.trial import Trial

        trial = Trial.of(dataset, key.trial, self.seed, key.arm.restart)
        taught = teacher_fields(trial, outputs) if outputs else {}
        record = {**blank, **taught}
        student, settings = self.students[key.student], self.settings[key.student]
        try:
            told = completed(blank["versions"] or "", key.student)
            record["versions"] = told or None
            fields = distil(
                trial,
                outputs,
                key.arm.augment,
                student,
                settings.selection,
                shorten=settings.shorten,
                simplify=settings.simplify,
                rows=settings.rows,
            )
        except SmoothrayError as error:
            return failed(record, str(error))
        except Exception as error:  # a study of thousands of fits must outlive one of them
            return failed(record, f"{type(error).__name__}: {error}")
        return {**record, **fields}


def environment_of(students: Sequence[StudentSettings]) -> dict[str, str]:
    """The environment that suits every student of a study."""
    from smoothray.students import find_student

    environment = {"CUDA_VISIBLE_DEVICES": ""}
    for settings in students:
        environment |= find_student(settings.name).environment
    return environment


def start_student(
    students: Sequence[StudentSettings], seed: int, environment: Mapping[str, str]
) -> Any:
    """A new actor in an environment."""
    options = StudentActor.options(runtime_env={"env_vars": dict(environment)})  # type: ignore[attr-defined]
    return options.remote(students, seed)
