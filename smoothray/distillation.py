"""Distil one table: one split, every candidate strength in one bank, the best formula by validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
from joblib.externals.loky import get_reusable_executor

from smoothray.datasets import Dataset
from smoothray.errors import SmoothrayError, StudentError, StudyError, TeacherError
from smoothray.penalties import PENALTIES
from smoothray.plan import Arm
from smoothray.settings import StudentSettings, TeacherSettings, default_strengths
from smoothray.trial import Lesson, Trial, distil, teacher_fields

AUTO_PENALTIES = ("none", "jacobian", "lipschitz")


@dataclass(frozen=True)
class Distillation:
    """What came of it, as the fields of records.

    best: the chosen arm. direct: the student fitted to the labels. tried: every arm, best first by its
    validation R². trial: the split that all of them share.
    """

    trial: Trial
    best: dict[str, Any]
    direct: dict[str, Any]
    tried: list[dict[str, Any]]


def candidate_arms(penalty: str, strength: float | str, augment: int) -> list[Arm]:
    """The arms to try. penalty: a name or "auto". strength: a number or "auto".

    Raises StudyError for what does not fit together.
    """
    if penalty == "direct":
        raise StudyError("the direct fit is always done beside the distillation; name a penalty")
    if penalty != "auto" and penalty not in PENALTIES:
        known = ", ".join(name for name, p in PENALTIES.items() if p.has_teacher)
        raise StudyError(f"unknown penalty '{penalty}'; use auto or one of {known}")
    if penalty == "auto" and strength != "auto":
        raise StudyError("a strength belongs to one penalty; name it with --penalty")
    if strength != "auto" and not PENALTIES[penalty].has_strength():
        raise StudyError(f"the penalty '{penalty}' takes no strength")
    if isinstance(strength, float) and not 0 <= strength < float("inf"):
        raise StudyError(f"the strength is {strength:g}; give a number of at least 0")
    arms = []
    for name in AUTO_PENALTIES if penalty == "auto" else (penalty,):
        if not PENALTIES[name].has_strength():
            arms.append(Arm(name, None, augment))
        else:
            strengths = default_strengths(name) if strength == "auto" else (float(strength),)
            arms += [Arm(name, value, augment) for value in strengths]
    return arms


def distill(
    dataset: Dataset,
    arms: Sequence[Arm],
    student: StudentSettings,
    teacher: TeacherSettings,
    seed: int = 0,
    *,
    n_jobs: int = -1,
    progress: Callable[[str], None] = lambda text: None,
) -> Distillation:
    """Train a teacher for each arm, distil each, and choose by the student's validation R².

    n_jobs: processes that fit students (joblib's meaning). Each is free of torch.

    Raises SmoothrayError if no arm gives a formula.
    """
    trial = Trial.of(dataset, 0, seed)
    lessons = _teach(trial, arms, teacher, progress)
    progress(f"fitting {len(arms) + 1} formulas with {student.name} ({student.budget})")
    work = [(None, 0), *((lesson, arm.augment) for arm, lesson in lessons.items())]
    # Processes of their own, also where there is but one: Julia and torch cannot share any.
    with get_reusable_executor(max_workers=joblib.effective_n_jobs(n_jobs)) as processes:
        futures = [processes.submit(_fit, trial, lesson, k, student) for lesson, k in work]
        fits = [future.result() for future in futures]
    direct, *distilled = fits
    if isinstance(direct, str):
        raise StudentError(direct)
    tried = []
    for arm, fields in zip(lessons, distilled, strict=True):
        if isinstance(fields, dict):
            about = {"penalty": arm.penalty, "strength": arm.strength, "augment": arm.augment}
            tried.append({**about, **teacher_fields(trial, lessons[arm]), **fields})
    if not tried:
        raise StudentError(f"no teacher could be distilled: {distilled[0]}")
    # The sort is stable, so of equally good arms the first and weakest stays ahead.
    tried.sort(key=lambda fields: -fields["student_r2_val"])
    return Distillation(trial, tried[0], direct, tried)


def _teach(
    trial: Trial, arms: Sequence[Arm], teacher: TeacherSettings, progress: Callable[[str], None]
) -> dict[Arm, Lesson]:
    from smoothray.teachers.teach import teach

    lessons: dict[Arm, Lesson] = {}
    reasons = []
    for penalty in dict.fromkeys(arm.penalty for arm in arms):
        alike = [arm for arm in arms if arm.penalty == penalty]
        progress(f"training {len(alike)} teacher{'s' * (len(alike) > 1)}: {penalty}")
        strengths = [arm.strength or 0.0 for arm in alike]
        augments = sorted({arm.augment for arm in alike})
        trials = [trial] * len(alike)
        found = teach(trials, penalty, strengths, teacher.ensemble[0], augments, teacher)
        for arm, lesson in zip(alike, found, strict=True):
            if isinstance(lesson, str):
                reasons.append(f"{arm}: {lesson}")
            else:
                lessons[arm] = lesson
    if not lessons:
        raise TeacherError("no teacher could be trained; " + "; ".join(reasons))
    return lessons


def _fit(
    trial: Trial, lesson: Lesson | None, k: int, student: StudentSettings
) -> dict[str, Any] | str:
    """The fields of a record, or why there is no formula."""
    try:
        return distil(trial, lesson, k, student.build(), student.selection)
    except SmoothrayError as error:
        return str(error)
    except Exception as error:  # one arm's failure must not end the others
        return f"{type(error).__name__}: {error}"
