"""Distil what a teacher says on a trial into a formula, and score it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sympy import Expr

from smoothray.distillation.trial import PARTS, Array, TeacherOutputs, Trial
from smoothray.errors import StudentError, TeacherError
from smoothray.formulas import Program, round_constants, to_latex, to_mathml, to_text, unscale
from smoothray.metrics.scores import mean_squared_error, r2, sobolev_error
from smoothray.metrics.smoothness import alignment, largest_gradient, mean_squared_jacobian
from smoothray.students import Candidate, Student, select

logger = logging.getLogger(__name__)
ROUNDING = 1e-5
"""Largest change of a prediction that rounding a formula's constants may make, in standard deviations."""

AGREEMENT = 1e-3
"""Largest root mean square difference of a formula from the student's own, on the standard scale."""


@dataclass(frozen=True, eq=False)
class Member:
    """A member of a front, in the data's own units, with its predictions back on the standard scale."""

    candidate: Candidate
    expr: Expr
    outputs: dict[str, Array]
    gradients: Array = field(repr=False)


def distil(
    trial: Trial, teacher: TeacherOutputs | None, k: int, student: Student, selection: str
) -> dict[str, Any]:
    """Fit a student to a teacher (to the labels if there is none) and score the formula it comes to.

    k: new points per training row. selection: "fidelity", "accuracy" or "native"; or "sobolev", which also
    asks how well gradients match, on the test part: for trials whose test part is their validation rows.

    Returns the fields of a record that this trial decides. The choice from the front uses validation rows
    alone; test scores are taken after it and used for nothing.

    Raises StudentError if no formula comes of it.
    """
    started, worked = time.perf_counter(), time.process_time()
    inputs, target = trial.x["train"], (teacher.outputs if teacher else trial.y)["train"]
    if teacher and k:
        inputs = np.concatenate([inputs, trial.new_points(k)])
        target = np.concatenate([target, teacher.new[k]])
    more = {}
    if selection == "sobolev" and student.matches_slopes and teacher and teacher.slopes:
        parts = [teacher.slopes["train"], *([teacher.slopes[k]] if k else [])]
        more["slopes"] = np.concatenate(parts)
    names = trial.dataset.feature_names
    candidates = student.fit(inputs, target, names, trial.student_seed, **more)
    members = [m for m in (_member(trial, candidate) for candidate in candidates) if m]
    if not members:
        raise StudentError(
            f"none of the {len(candidates)} formulas could be put into the data's units; "
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
            "complexity": member.candidate.complexity,
            "formula": to_text(member.expr),
            "mathml": to_mathml(member.expr),
            "loss": member.candidate.loss,
            "native": member.candidate.preferred,
            "chosen": place == chosen,
            **_scores(trial, teacher, member),
            **_validation(losses, place),
            **_smoothness(member),
        }
        for place, member in enumerate(members)
    ]
    best = front[chosen]
    fields: dict[str, Any] = {
        "complexity": best["complexity"],
        "formula": best["formula"],
        "latex": to_latex(members[chosen].expr),
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
    of the best validation loss, which `selection` names."""
    sizes = [member.candidate.complexity for member in members]
    if selection == "native":
        # Where the preferred one was dropped, the largest is the nearest to it in loss.
        preferred = (i for i, member in enumerate(members) if member.candidate.preferred)
        return next(preferred, len(members) - 1)
    values, errors = zip(*losses[selection], strict=True)
    return select(values, sizes, errors)


def _member(trial: Trial, candidate: Candidate) -> Member | None:
    """A candidate in the data's units; None where it has no value or another one there."""
    names, x, y = trial.dataset.feature_names, trial.x_scaler, trial.y_scaler
    # Rows from all over the table: where it is sorted, the first ones show little of it.
    rows = trial.raw["train"][:: -(-len(trial.raw["train"]) // 256)]
    try:
        expr = unscale(candidate.expr, x.mean, x.scale, y.mean, y.scale, names, rows)
        expr = round_constants(expr, rows, names, ROUNDING)
        program = Program(expr, names)
    except (StudentError, ArithmeticError) as error:
        logger.debug("dropped %s: %s", candidate.expr, error)
        return None
    outputs = {part: y.transform(program.values(trial.raw[part])) for part in ("train", "val")}
    values, gradients = program.value_and_gradient(trial.raw["test"])
    outputs["test"] = y.transform(values)
    gradients[~np.isfinite(values)] = np.nan
    difference = Program(candidate.expr).values(trial.x["train"]) - outputs["train"]
    if not np.sqrt(np.mean(difference**2)) <= AGREEMENT:
        logger.debug("dropped %s: in the data's units it is another function", to_text(expr))
        return None
    return Member(candidate, expr, outputs, gradients * x.scale / y.scale)


def _sobolev(teacher: TeacherOutputs, member: Member) -> tuple[float, float]:
    if teacher.gradients is None:
        raise TeacherError(
            "selection 'sobolev' compares gradients, and this teacher has none; give a torch module, or "
            "choose by 'accuracy' or 'fidelity'"
        )
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
