"""What a study comes to: arms, trials, and the jobs that are still to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from smoothray.penalties import find_penalty
from smoothray.study import Study


@dataclass(frozen=True, order=True)
class Arm:
    """One penalty at one strength, with its augmentation and ensemble."""

    penalty: str
    strength: float | None = None
    augment: int = 0
    ensemble: int = 1

    def __str__(self) -> str:
        parts = [self.penalty]
        if self.strength is not None:
            parts.append(f"λ={self.strength:g}")
        if self.augment:
            parts.append(f"+{self.augment}×points")
        if self.ensemble > 1:
            parts.append(f"{self.ensemble} networks")
        return " ".join(parts)


@dataclass(frozen=True)
class Setting:
    """One teacher setting on one data set: a bank of teachers, with all that learns from it."""

    dataset: str
    penalty: str
    strength: float | None
    ensemble: int
    augments: tuple[int, ...]

    @property
    def arms(self) -> tuple[Arm, ...]:
        """One for each augmentation."""
        return tuple(Arm(self.penalty, self.strength, k, self.ensemble) for k in self.augments)

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


Teacher = tuple[str, str, float | None, int]
"""What a bank of teachers is trained for: data set, penalty, strength, ensemble."""


@dataclass(frozen=True)
class Key:
    """What names a trial's record."""

    dataset: str
    arm: Arm
    student: str
    trial: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Key:
        arm = Arm(
            record["penalty"], record["strength"], int(record["augment"]), int(record["ensemble"])
        )
        return cls(record["dataset"], arm, record["student"], int(record["trial"]))

    @property
    def teacher(self) -> Teacher:
        return self.dataset, self.arm.penalty, self.arm.strength, self.arm.ensemble

    @property
    def cell(self) -> tuple[str, Arm, str]:
        """The (dataset, arm, student) whose trials belong together."""
        return self.dataset, self.arm, self.student

    def __str__(self) -> str:
        strength = "" if self.arm.strength is None else repr(self.arm.strength)
        parts = (self.dataset, self.arm.penalty, strength, self.arm.augment, self.arm.ensemble)
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
    penalties += [
        (name, given.of(study.seed, dataset, name))
        for name, given in study.penalties.items()
        if given.searcher == "random"
    ]
    for penalty, strengths in penalties:
        if not find_penalty(penalty).has_teacher:
            listed.append(Arm(penalty))
            continue
        listed += [
            Arm(penalty, strength, augment, ensemble)
            for strength in strengths
            for augment in study.augment
            for ensemble in study.teacher.ensemble
        ]
    return list(dict.fromkeys(listed))


def settings(dataset: str, arms: Iterable[Arm]) -> list[Setting]:
    """The arms of a data set by their teachers, in the order in which these first come."""
    augments: dict[tuple[str, float | None, int], list[int]] = {}
    for arm in arms:
        augments.setdefault((arm.penalty, arm.strength, arm.ensemble), []).append(arm.augment)
    return [Setting(dataset, *teacher, tuple(points)) for teacher, points in augments.items()]


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
                todo.append(Job(*teacher, bank, alike))
                rest = [key for key in rest if key.trial not in bank]
        if rest:
            trials = tuple(sorted({key.trial for key in rest}))
            todo.append(Job(*teacher, trials, tuple(rest)))
    return todo
