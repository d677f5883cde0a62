"""What a study comes to: arms, trials, and the jobs that are still to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from smoothray.penalties import find_penalty
from smoothray.penalties.jacobian import Placebo
from smoothray.study import Study


@dataclass(frozen=True, order=True)
class Arm:
    """One penalty at one strength, with its augmentation, ensemble and regime.

    stopping: "early", or "none" for teachers that are trained to the end. restart: which of several attempts
    on the same splits, each with first weights and student seeds of its own.
    """

    penalty: str
    strength: float | None = None
    augment: int = 0
    ensemble: int = 1
    stopping: str = "early"
    restart: int = 0

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Arm:
        """The arm that a record or a decision is about; earlier ones lack its last fields."""
        return cls(
            fields["penalty"],
            fields["strength"],
            int(fields["augment"]),
            int(fields["ensemble"]),
            fields.get("stopping") or "early",
            int(fields.get("restart") or 0),
        )

    def __str__(self) -> str:
        parts = [self.penalty]
        if self.strength is not None:
            parts.append(f"λ={self.strength:g}")
        if self.augment:
            parts.append(f"+{self.augment}×points")
        if self.ensemble > 1:
            parts.append(f"{self.ensemble} networks")
        if self.stopping != "early":
            parts.append("to the end")
        if self.restart:
            parts.append(f"restart {self.restart}")
        return " ".join(parts)


class Teacher(NamedTuple):
    """What a bank of teachers is trained for."""

    dataset: str
    penalty: str
    strength: float | None
    ensemble: int
    stopping: str = "early"
    restart: int = 0


@dataclass(frozen=True)
class Setting:
    """One teacher setting on one data set: a bank of teachers, with all that learns from it."""

    dataset: str
    penalty: str
    strength: float | None
    ensemble: int
    augments: tuple[int, ...]
    stopping: str = "early"
    restart: int = 0

    @property
    def arms(self) -> tuple[Arm, ...]:
        """One for each augmentation."""
        return tuple(
            Arm(self.penalty, self.strength, k, self.ensemble, self.stopping, self.restart)
            for k in self.augments
        )

    @property
    def has_teacher(self) -> bool:
        return find_penalty(self.penalty).has_teacher

    def without(self, arms: Collection[Arm]) -> Setting:
        """The setting without some of its arms."""
        return replace(self, augments=tuple(a.augment for a in self.arms if a not in arms))

    def keys(self, students: Sequence[str], trials: int) -> list[Key]:
        """Every trial of the setting's arms."""
        return [
            Key(self.dataset, arm, student, trial)
            for arm in self.arms
            for student in students
            for trial in range(trials)
        ]

    def __str__(self) -> str:
        return f"{self.dataset} {self.arms[0]}"


@dataclass(frozen=True)
class Key:
    """What names a trial's record."""

    dataset: str
    arm: Arm
    student: str
    trial: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Key:
        return cls(record["dataset"], Arm.of(record), record["student"], int(record["trial"]))

    @property
    def teacher(self) -> Teacher:
        arm = self.arm
        return Teacher(
            self.dataset, arm.penalty, arm.strength, arm.ensemble, arm.stopping, arm.restart
        )

    @property
    def cell(self) -> tuple[str, Arm, str]:
        """The (dataset, arm, student) whose trials belong together."""
        return self.dataset, self.arm, self.student

    def __str__(self) -> str:
        strength = "" if self.arm.strength is None else repr(self.arm.strength)
        arm = self.arm
        parts = [self.dataset, arm.penalty, strength, arm.augment, arm.ensemble]
        parts += ["to the end"] if arm.stopping != "early" else []
        parts += [f"restart {arm.restart}"] if arm.restart else []
        return "/".join(map(str, (*parts, self.student, self.trial)))


@dataclass(frozen=True)
class Job:
    """One bank of teachers and the fits that learn from it.

    trials: the trials trained together. `fits` may be fewer: in float32 a network's last digits change
    with the company it is trained in, so what is trained again is trained in its original bank.
    """

    dataset: str
    penalty: str
    strength: float | None
    ensemble: int
    trials: tuple[int, ...]
    fits: tuple[Key, ...]
    stopping: str = "early"
    restart: int = 0

    @classmethod
    def of(cls, teacher: Teacher, trials: tuple[int, ...], fits: Iterable[Key]) -> Job:
        dataset, penalty, strength, ensemble, stopping, restart = teacher
        fits = tuple(fits)
        return cls(dataset, penalty, strength, ensemble, trials, fits, stopping, restart)

    @property
    def bank(self) -> tuple[int, ...]:
        """The trials whose teachers are trained together; none without a teacher."""
        return self.trials if find_penalty(self.penalty).has_teacher else ()


def arms(study: Study, dataset: str) -> list[Arm]:
    """The study's arms on one data set, baselines first, but for those that Optuna is still to draw.

    `direct` has no teacher to vary.
    """
    listed: list[Arm] = []
    penalties: list[tuple[str, tuple[float | None, ...]]] = [(b, (None,)) for b in study.baselines]
    if study.placebo:
        penalties.append((Placebo.name, (Placebo.strength,)))
    penalties += [
        (name, given.of(study.seed, dataset, name))
        for name, given in study.penalties.items()
        if given.searcher == "random"
    ]
    for penalty, strengths in penalties:
        restarts = range(study.restarts_of(penalty))
        if not find_penalty(penalty).has_teacher:
            listed += [Arm(penalty, restart=restart) for restart in restarts]
            continue
        listed += [
            Arm(penalty, strength, augment, ensemble, stopping, restart)
            for restart in restarts
            for strength in strengths
            for augment in study.augment
            for ensemble in study.teacher.ensemble
            for stopping in study.teacher.stopping
        ]
    return list(dict.fromkeys(listed))


def settings(dataset: str, arms: Iterable[Arm]) -> list[Setting]:
    """The arms of a data set by their teachers, in the order in which these first come."""
    augments: dict[Arm, list[int]] = {}
    for arm in arms:
        augments.setdefault(replace(arm, augment=0), []).append(arm.augment)
    return [
        Setting(
            dataset, arm.penalty, arm.strength, arm.ensemble, tuple(points), arm.stopping, arm.restart
        )
        for arm, points in augments.items()
    ]  # fmt: skip


def jobs(
    wanted: Iterable[Key],
    recorded: Mapping[Key, Collection[int]],
    again: Collection[Key] = (),
) -> list[Job]:
    """What is missing, as one job per bank of teachers.

    recorded: the keys that have a record, each with the trials of the bank it was trained in.
    again: recorded keys that are to be done again, in their original banks.
    """
    banks: dict[Teacher, set[tuple[int, ...]]] = {}
    for key, bank in recorded.items():
        if bank:
            banks.setdefault(key.teacher, set()).add(tuple(sorted(bank)))
    missing: dict[Teacher, list[Key]] = {}
    for key in wanted:
        if key not in recorded or key in again:
            missing.setdefault(key.teacher, []).append(key)
    todo: list[Job] = []
    for teacher, lacking in missing.items():
        rest = lacking
        for bank in sorted(banks.get(teacher, ())):
            alike = tuple(key for key in rest if key.trial in bank)
            if alike:
                todo.append(Job.of(teacher, bank, alike))
                rest = [key for key in rest if key.trial not in bank]
        if rest:
            trials = tuple(sorted({key.trial for key in rest}))
            todo.append(Job.of(teacher, trials, rest))
    return todo
