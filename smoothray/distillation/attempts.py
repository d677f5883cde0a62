"""Distil trials: a penalty's strengths in one bank, a formula for each, the best by validation."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import joblib

from smoothray.distillation.distil import distil, teacher_fields
from smoothray.distillation.processes import run_all
from smoothray.distillation.trial import TeacherOutputs, Trial
from smoothray.errors import (
    Failure,
    SmoothrayError,
    StudentError,
    StudyError,
    TeacherError,
)
from smoothray.penalties import PENALTIES, find_penalty, try_penalty
from smoothray.students import Student
from smoothray.study.plan import Arm
from smoothray.study.settings import StudentSettings, TeacherSettings, default_strengths

AUTO_PENALTIES = ("none", "jacobian_between", "lipschitz")
FOR_ANY_NETWORK = {"lipschitz": "lipschitz_sampled"}
"""Of penalties for plain chains of layers: what measures the same of any network."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Attempt:
    """One arm on one trial. teacher: a `smoothray.teachers.fitted.Teacher`; None for the direct fit.

    fields: those of a record (see `smoothray.distillation.trial`). origins: of a front that was pooled from
    several attempts, the one that each member is from.
    """

    arm: Arm
    teacher: Any
    fields: dict[str, Any]
    origins: tuple[Attempt, ...] = ()

    @property
    def loss(self) -> float:
        """The chosen formula's validation loss against the labels."""
        chosen = next(member for member in self.fields["front"] if member["chosen"])
        return float(chosen["val_loss_accuracy"])


def candidate_arms(
    penalty: str, strength: float | str | Sequence[float], augment: int
) -> list[Arm]:
    """The arms to try.

    penalty: what `find_penalty` takes, or "auto". strength: a number, several, or "auto".

    Raises StudyError for what does not fit together.
    """
    automatic = isinstance(strength, str) and strength == "auto"
    names = AUTO_PENALTIES if penalty == "auto" else (penalty,)
    if penalty == "auto":
        if not automatic:
            raise StudyError("a strength belongs to one penalty; name the penalty")
    elif not find_penalty(penalty, ["auto", *PENALTIES]).has_strength() and not automatic:
        raise StudyError(f"the penalty '{penalty}' takes no strength")
    arms = []
    for name in names:
        try_penalty(name)
        strengths = _strengths(name, strength)
        k = augment if find_penalty(name).has_teacher else 0
        arms += [Arm(name, value, k) for value in strengths]
    return arms


def _strengths(penalty: str, strength: Any) -> Sequence[float | None]:
    if not find_penalty(penalty).has_strength():
        return (None,)
    if isinstance(strength, str):
        if strength != "auto":
            raise StudyError(f"the strength is '{strength}'; give 'auto', a number, or several")
        return default_strengths(penalty)
    try:
        given = [
            float(value) for value in (strength if hasattr(strength, "__len__") else [strength])
        ]
    except (TypeError, ValueError):
        raise StudyError(
            f"the strength is {strength!r}; give 'auto', a number, or several"
        ) from None
    for value in given:
        if not 0 <= value < math.inf:
            raise StudyError(f"the strength is {value:g}; give a number of at least 0")
    if not given:
        raise StudyError("there is no strength; give 'auto', a number, or several")
    return given


def suited(arms: Sequence[Arm], network: Any) -> list[Arm]:
    """The same arms, with another penalty for one that a torch network's layers do not allow."""
    from smoothray.teachers.layers import chain_weights

    if chain_weights(network) is not None:
        return list(arms)
    return [replace(arm, penalty=FOR_ANY_NETWORK.get(arm.penalty, arm.penalty)) for arm in arms]


def attempt_all(
    trials: Sequence[Trial],
    arms: Sequence[Arm],
    student: StudentSettings,
    selection: str,
    teacher: TeacherSettings,
    *,
    factory: Callable[[int], Any] | None = None,
    trained: Sequence[Any] | None = None,
    n_jobs: int | None = None,
    timeout: float | None = None,
    all_needed: bool = True,
) -> list[list[Attempt]]:
    """Train a teacher for each arm on each trial, and distil each: the attempts that succeeded, best first.

    trials: each of as many rows. factory: makes networks for so many inputs; None: the settings' perceptron.
    trained: a trained teacher for each trial, in place of training any. n_jobs: processes that fit students
    (joblib's meaning); they are free of torch. timeout: seconds after which a fit has failed.
    all_needed: whether each trial needs a formula; else those without one have no attempts.

    Raises SmoothrayError if a trial that needs one has no formula.
    """
    built = student.build()
    with_slopes = selection == "sobolev" and built.matches_slopes
    taught = taught_by_arm(trials, arms, teacher, factory, trained, with_slopes)
    work = [
        (trials[place], arm, outputs, network)
        for place, arm, outputs, network in taught
        if not isinstance(outputs, Failure)
    ]
    reasons = [
        (arm, outputs.reason) for _, arm, outputs, _ in taught if isinstance(outputs, Failure)
    ]
    if not work:
        raise TeacherError(f"no teacher could be trained; {told_once(reasons)}")
    count = f"{len(work)} formula{'s' * (len(work) > 1)}"
    logger.info("fitting %s with %s (%s)", count, student.name, student.budget)
    options = {"shorten": student.shorten, "simplify": student.simplify}
    calls = [
        (trial, outputs, arm.augment, built, selection, options) for trial, arm, outputs, _ in work
    ]
    by_trial: list[list[Attempt]] = [[] for _ in trials]
    results = _fit_all(calls, built, n_jobs, timeout, with_slopes)
    for (trial, arm, outputs, network), fields in zip(work, results, strict=True):
        if isinstance(fields, Failure):
            reasons.append((arm, fields.reason))
            continue
        place = next(i for i, other in enumerate(trials) if other is trial)
        by_trial[place].append(attempt_of(trial, arm, outputs, network, fields))
    for attempts in by_trial:
        if not attempts and all_needed:
            raise StudentError(f"no formula came of it; {told_once(reasons)}")
        if reasons:
            warnings.warn(f"not all was tried; {told_once(reasons)}", UserWarning, stacklevel=4)
            reasons = []
        # The sort is stable, so of equally good arms the first and weakest stays ahead.
        attempts.sort(key=lambda attempt: attempt.loss)
    return by_trial


def attempt_of(
    trial: Trial,
    arm: Arm,
    outputs: TeacherOutputs | None,
    network: Any,
    fields: dict[str, Any],
) -> Attempt:
    """The attempt that a student's fields belong to."""
    about = {"penalty": arm.penalty, "strength": arm.strength, "augment": arm.augment}
    taught_by = teacher_fields(trial, outputs) if outputs else {}
    return Attempt(arm, network, {**about, **taught_by, **fields})


def told_once(reasons: Sequence[tuple[Arm, str]]) -> str:
    """Each reason once, with the arms that it is for."""
    by_reason: dict[str, list[str]] = {}
    for arm, reason in reasons:
        by_reason.setdefault(reason, []).append(str(arm))
    return "; ".join(
        f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in by_reason.items()
    )


Taught = tuple[int, Arm, Any, Any]
"""A trial's place, an arm, its outputs (None: the labels; a Failure: there are none) and its teacher."""


def taught_by_arm(
    trials: Sequence[Trial],
    arms: Sequence[Arm],
    settings: TeacherSettings,
    factory: Callable[[int], Any] | None,
    trained: Sequence[Any] | None,
    with_slopes: bool,
) -> list[Taught]:
    """A teacher for each arm on each trial, those of one penalty in one bank. Parameters: as `attempt_all`
    takes them."""
    results: list[Taught] = []
    for penalty in dict.fromkeys(arm.penalty for arm in arms):
        alike = [arm for arm in arms if arm.penalty == penalty]
        pairs = [(place, arm) for place in range(len(trials)) for arm in alike]
        if trained is not None:
            from smoothray.distillation.teaching import outputs_of

            for place, arm in pairs:
                outputs = outputs_of(trained[place], trials[place], [arm.augment], with_slopes)
                results.append((place, arm, outputs, trained[place]))
        elif not find_penalty(penalty).has_teacher:
            results += [(place, arm, None, None) for place, arm in pairs]
        else:
            try:
                results += _trained(trials, pairs, penalty, settings, factory, with_slopes)
            except (
                TeacherError
            ) as error:  # a network that one penalty does not suit may suit others
                results += [(place, arm, Failure(str(error)), None) for place, arm in pairs]
    return results


def _trained(
    trials: Sequence[Trial],
    pairs: Sequence[tuple[int, Arm]],
    penalty: str,
    settings: TeacherSettings,
    factory: Callable[[int], Any] | None,
    with_slopes: bool,
) -> Iterator[Taught]:
    """All teachers of one penalty, in one bank."""
    from smoothray.distillation.teaching import teach_bank
    from smoothray.teachers.fitted import InDataUnits, Teacher
    from smoothray.teachers.training import one_thread

    logger.info("training %d teacher%s: %s", len(pairs), "s" * (len(pairs) > 1), penalty)
    members = settings.ensemble[0]
    with one_thread():
        all_outputs, bank = teach_bank(
            [trials[place] for place, _ in pairs],
            penalty,
            [arm.strength or 0.0 for _, arm in pairs],
            members,
            sorted({arm.augment for _, arm in pairs}),
            settings,
            factory,
            with_slopes,
        )
    for i, ((place, arm), outputs) in enumerate(zip(pairs, all_outputs, strict=True)):
        networks = [bank.module(m) for m in range(i * members, (i + 1) * members)]
        trial = trials[place]
        module = InDataUnits(networks, trial.x_scaler, trial.y_scaler).eval()
        yield place, arm, outputs, Teacher(module)


def _fit_all(
    calls: Sequence[Any],
    student: Student,
    n_jobs: int | None,
    timeout: float | None,
    matching: bool,
) -> list[dict[str, Any] | Failure]:
    workers = min(joblib.effective_n_jobs(n_jobs), len(calls))
    # Only a process can be ended at any time.
    if workers == 1 and timeout is None and not student.needs_own_process:
        return [fit_one(*call) for call in calls]
    return run_all(fit_one, calls, student, workers, timeout, matching)


def fit_one(
    trial: Trial,
    outputs: TeacherOutputs | None,
    k: int,
    student: Student,
    selection: str,
    options: dict[str, Any],
) -> dict[str, Any] | Failure:
    """The fields of a record, or why there is no formula."""
    try:
        return distil(trial, outputs, k, student, selection, **options)
    except SmoothrayError as error:
        return Failure(str(error))
    except Exception as error:  # one arm's failure must not end the others
        return Failure(f"{type(error).__name__}: {error}")
