"""Distil what a teacher says on a trial into a formula, and score it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smoothray.distillation.members import (
    Member,
    members_as_found,
    members_in_units,
    shortened_again,
    shortened_members,
)
from smoothray.distillation.trial import PARTS, TeacherOutputs, Trial
from smoothray.errors import StudentError, TeacherError
from smoothray.formulas import to_latex, to_mathml, to_text
from smoothray.metrics.scores import mean_squared_error, r2, sobolev_error
from smoothray.metrics.smoothness import alignment, largest_gradient, mean_squared_jacobian
from smoothray.students import Student, select

LONGER = 2
"""A student's formulas are shortened from where they are at most so many times as long as they may be."""


def distil(
    trial: Trial,
    teacher: TeacherOutputs | None,
    k: int,
    student: Student,
    selection: str,
    *,
    shorten: bool = True,
    simplify: bool = False,
    rows: int | None = None,
    again: Sequence[str] = (),
) -> dict[str, Any]:
    """Fit a student to a teacher (to the labels if there is none) and score the formula it comes to.

    k: new points per training row. selection: "fidelity", "accuracy" or "native"; or "sobolev", which also
    asks how well gradients match, on the test part: for trials whose test part is their validation rows.
    Formulas whose slopes were matched are not shortened, since refits to values would undo that.

    shorten: whether the front is made shorter before it is scored, sizes are those in the data's own units,
    and a formula that the guard refuses is chosen only where all are such; without it the front is the
    student's own, with sizes on the standard scale. simplify: whether its constants become simple within the
    validation loss's standard error, too. rows: the most that the student sees. again: formulas of earlier
    fits to the same target, in the data's units; instead of a search they are shortened once more.

    Returns the fields of a record that this trial decides. The choice from the front uses validation rows
    alone; test scores are taken after it and used for nothing.

    Raises StudentError if no formula comes of it.
    """
    started, worked = time.perf_counter(), time.process_time()
    inputs, target = trial.x["train"], (teacher.outputs if teacher else trial.y)["train"]
    if selection == "sobolev" and teacher and teacher.gradients is None:
        raise TeacherError(
            "selection 'sobolev' compares gradients, and this teacher has none; give a torch module, or "
            "choose by 'accuracy' or 'fidelity'"
        )
    new = trial.new_points(k) if teacher and k else None
    if teacher and new is not None:
        inputs = np.concatenate([inputs, new])
        target = np.concatenate([target, teacher.new[k]])
    more: dict[str, Any] = {}
    if selection == "sobolev" and student.matches_slopes and teacher and teacher.slopes:
        parts = [teacher.slopes["train"], *([teacher.slopes[k]] if k else [])]
        more["slopes"] = np.concatenate(parts)
    seen = trial.student_rows(rows, len(target))
    if seen is not None:
        inputs, target = inputs[seen], target[seen]
        more |= {name: values[seen] for name, values in more.items()}
    if trial.dataset.units and student.takes_units:
        more["units"] = trial.dataset.units
    names = trial.dataset.feature_names
    # Constants that were fitted to slopes too would lose that where they are refitted to values.
    refits = shorten and "slopes" not in more
    found: Sequence[Any] = again
    if not again:
        # Longer ones than are wanted may come to one that is.
        largest = LONGER * student.max_size if refits else None
        found = student.fit(inputs, target, names, trial.student_seed, largest=largest, **more)
    if refits or again:
        validation = (teacher.outputs if teacher else trial.y)["val"] if simplify else None
        shortened = shortened_again if again else shortened_members
        members = shortened(trial, found, student, target, new, validation, seen)
    elif shorten:
        members = members_in_units(trial, found, target, new, seen)
    else:
        members = members_as_found(trial, found)
    if not members:
        raise StudentError(
            f"none of the {len(found)} formulas could be put into the data's units; "
            "please report this with the data"
        )
    aims = {"accuracy": trial.y["val"]}
    if teacher:
        aims["fidelity"] = teacher.outputs["val"]
    weights = trial.weights["val"] if trial.weights else None
    losses = {
        aim: [mean_squared_error(values, member.outputs["val"], weights) for member in members]
        for aim, values in aims.items()
    }
    # Without a teacher the labels are what there is to be faithful to.
    rule = "accuracy" if selection in ("fidelity", "sobolev") and not teacher else selection
    if rule == "sobolev" and teacher:
        losses["sobolev"] = [_sobolev(teacher, member) for member in members]
    chosen = choose(members, losses, rule)
    front = [
        {
            "complexity": member.found.complexity,
            "complexity_standard": member.found.standard,
            "formula": to_text(member.found.expr),
            "mathml": to_mathml(member.found.expr),
            "loss": member.found.loss,
            "native": member.found.preferred,
            "chosen": place == chosen,
            "unsafe": member.unsafe,
            "simplified": member.found.simplified,
            **_scores(trial, teacher, member),
            **_validation(losses, place),
            **_smoothness(member),
        }
        for place, member in enumerate(members)
    ]
    best = front[chosen]
    fields: dict[str, Any] = {
        "student_rows": len(target),
        "complexity": best["complexity"],
        "complexity_standard": best["complexity_standard"],
        "formula": best["formula"],
        "latex": to_latex(members[chosen].found.expr),
        "undefined_test": int((~np.isfinite(members[chosen].outputs["test"])).sum()),
        **{f"student_r2_{part}": best[f"r2_{part}"] for part in PARTS},
        **{f"fidelity_{part}": best[f"fidelity_{part}"] for part in PARTS},
        "student_jacobian": best["jacobian"],
        "student_gradient_max": best["gradient_max"],
        "student_seconds": time.perf_counter() - started,
        "student_cpu_seconds": time.process_time() - worked,
        "front": front,
    }
    if teacher:
        fields["alignment"] = alignment(fields["student_jacobian"], teacher.jacobian)
    return fields


def teacher_fields(trial: Trial, teacher: TeacherOutputs) -> dict[str, Any]:
    """The fields of a record that the teacher decides."""
    return {
        **{f"teacher_r2_{part}": r2(trial.y[part], teacher.outputs[part]) for part in PARTS},
        "teacher_jacobian": teacher.jacobian,
        "teacher_gradient_max": teacher.gradient_max,
        "teacher_spectral": teacher.spectral,
        "teacher_seconds": teacher.seconds,
    }


def choose(
    members: Sequence[Member], losses: Mapping[str, Sequence[tuple[float, float]]], selection: str
) -> int:
    """The place of the chosen member: by the student's own rule, or the simplest within one standard error
    of the best validation loss, which `selection` names; an unsafe one only where no other can be."""
    places = [i for i, member in enumerate(members) if not member.unsafe] or [*range(len(members))]
    if selection == "native":
        # Where the preferred one was dropped, the largest is the nearest to it in loss.
        preferred = (i for i in places if members[i].found.preferred)
        return next(preferred, places[-1])
    if not any(np.isfinite(losses[selection][i][0]) for i in places):
        places = [*range(len(members))]
    values, errors = zip(*(losses[selection][i] for i in places), strict=True)
    return places[select(values, [members[i].found.complexity for i in places], errors)]


def _sobolev(teacher: TeacherOutputs, member: Member) -> tuple[float, float]:
    assert teacher.gradients is not None
    values = teacher.outputs["test"], member.outputs["test"]
    return sobolev_error(*values, teacher.gradients, member.gradients)


def _scores(
    trial: Trial, teacher: TeacherOutputs | None, member: Member
) -> dict[str, float | None]:
    scores: dict[str, float | None] = {}
    for part in PARTS:
        # Where a formula has no value, a user would fall back on the mean: 0 on the standard scale.
        outputs = np.nan_to_num(member.outputs[part], nan=0.0, posinf=0.0, neginf=0.0)
        scores[f"r2_{part}"] = r2(trial.y[part], outputs)
        scores[f"fidelity_{part}"] = r2(teacher.outputs[part], outputs) if teacher else None
    return scores


def _validation(
    losses: Mapping[str, Sequence[tuple[float, float]]], place: int
) -> dict[str, float | None]:
    fields: dict[str, float | None] = {}
    for aim in ("accuracy", "fidelity"):
        loss, error = losses[aim][place] if aim in losses else (None, None)
        fields |= {f"val_loss_{aim}": loss, f"val_error_{aim}": error}
    return fields


def _smoothness(member: Member) -> dict[str, float]:
    finite = member.gradients[np.isfinite(member.gradients).all(1)]
    if not len(finite):
        return {"jacobian": float("nan"), "gradient_max": float("nan")}
    return {"jacobian": mean_squared_jacobian(finite), "gradient_max": largest_gradient(finite)}
