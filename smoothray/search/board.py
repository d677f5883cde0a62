"""What is recorded and decided of a study, as its search sees it."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any, NamedTuple

from smoothray.records.schema import Record
from smoothray.study import Study
from smoothray.study.plan import Arm, Key, Setting

Decision = dict[str, Any]
"""What a search decided, as it is kept: `what` is "drawn" or "stopped", and the arm's fields."""


class Score(NamedTuple):
    """A trial's validation R² of the student against the labels; None: it failed."""

    key: Key
    value: float | None

    @classmethod
    def of(cls, record: Record) -> Score:
        scored = record["status"] == "ok" and record["student_r2_val"] is not None
        return cls(Key.of(record), float(record["student_r2_val"]) if scored else None)


class Board:
    """The scores that there are.

    again: the keys that are recorded and to be done once more.
    """

    def __init__(
        self, study: Study, scores: Iterable[Score] = (), again: Iterable[Key] = ()
    ) -> None:
        self.students = [student.name for student in study.students]
        self.blocks = blocks(study)
        self._again = set(again)
        self._seen: set[Key] = set()
        self._values: dict[tuple[str, Arm], dict[int, dict[str, float]]] = {}
        for score in scores:
            self._take(score)

    def add(self, score: Score) -> None:
        """Take in a trial that was done."""
        self._again.discard(score.key)
        self._take(score)

    def _take(self, score: Score) -> None:
        key = score.key
        self._seen.add(key)
        by_student = self._values.setdefault((key.dataset, key.arm), {}).setdefault(key.trial, {})
        by_student.pop(key.student, None)
        if score.value is not None:
            by_student[key.student] = score.value

    def seen(self, key: Key) -> bool:
        """Whether a trial was ever recorded."""
        return key in self._seen

    def has(self, key: Key) -> bool:
        """Whether a trial is recorded and need not be done once more."""
        return key in self._seen and key not in self._again

    def again(self, dataset: str) -> set[Arm]:
        """The arms of which trials are to be done once more."""
        return {key.arm for key in self._again if key.dataset == dataset}

    @property
    def recorded(self) -> list[tuple[str, Arm]]:
        """The data sets and arms that have a record."""
        return list(self._values)

    def arms(self, dataset: str, penalty: str, stopping: str) -> list[Arm]:
        """The arms that have a record."""
        wanted = (dataset, penalty, stopping)
        return [arm for name, arm in self._values if (name, arm.penalty, arm.stopping) == wanted]

    def keys(self, setting: Setting, block: int = -1) -> list[Key]:
        """A setting's trials up to the end of a block, the last one by default."""
        return setting.keys(self.students, self.blocks[block])

    def done(self, setting: Setting, block: int = -1) -> bool:
        """Whether a setting has all its trials up to the end of a block."""
        keys = self.keys(setting, block)
        return self._seen.issuperset(keys) and self._again.isdisjoint(keys)

    def had(self, setting: Setting, block: int) -> bool:
        """Whether a setting ever had all its trials up to the end of a block, if some are done once more."""
        return self._seen.issuperset(self.keys(setting, block))

    def first_open_block(self, setting: Setting) -> int:
        """The first block of which something is missing; the last one if nothing is."""
        last = len(self.blocks) - 1
        return next((b for b in range(last) if not self.done(setting, b)), last)

    def begun(self, setting: Setting, block: int) -> bool:
        """Whether anything of a block was recorded, which says that the setting was let through to it."""
        before = set(self.keys(setting, block - 1)) if block else set()
        return any(key in self._seen for key in self.keys(setting, block) if key not in before)

    def by_trial(self, setting: Setting, trials: int | None = None) -> dict[int, float]:
        """The mean over students and augmentations of each trial (< trials) that all of them finished."""
        wanted = len(setting.augments) * len(self.students)
        values: dict[int, list[float]] = {}
        for arm in setting.arms:
            for trial, by_student in self._values.get((setting.dataset, arm), {}).items():
                if trials is None or trial < trials:
                    values.setdefault(trial, []).extend(by_student.values())
        return {t: statistics.fmean(each) for t, each in values.items() if len(each) == wanted}

    def median(self, setting: Setting, block: int = -1) -> float | None:
        """The median over the trials up to the end of a block; None where none finished."""
        values = self.by_trial(setting, self.blocks[block]).values()
        return statistics.median(values) if values else None


def blocks(study: Study) -> tuple[int, ...]:
    """The numbers of trials after which a setting is looked at; the last is all of them.

    ASHA looks at the first of the study's blocks and at each three times as many.
    """
    if study.scheduler == "none":
        return (study.trials,)
    looks = study.blocks
    if study.scheduler == "asha":
        looks = tuple(looks[0] * ETA**k for k in range(10))
    return (*(look for look in looks if look < study.trials), study.trials)


ETA = 3
"""ASHA lets the best of ETA go on, to ETA times as many trials."""


def decision(what: str, dataset: str, arm: Arm, **more: Any) -> Decision:
    return {
        "what": what, "dataset": dataset, "penalty": arm.penalty, "strength": arm.strength,
        "augment": arm.augment, "ensemble": arm.ensemble, "stopping": arm.stopping,
        "restart": arm.restart, **more,
    }  # fmt: skip
