"""What a distiller's parameters come to, looked at before there are data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from smoothray.distillation.attempts import candidate_arms
from smoothray.distillation.choice import checked_signs
from smoothray.errors import StudyError, did_you_mean
from smoothray.formulas.dimensions import parse_unit
from smoothray.study.explain import validated
from smoothray.study.plan import Arm
from smoothray.study.settings import StudentSettings, TeacherSettings

if TYPE_CHECKING:
    from smoothray.distillation.distiller import SymbolicDistiller

SELECTIONS = ("accuracy", "fidelity", "native", "sobolev")


def checked_units(
    model: SymbolicDistiller, names: Sequence[str] | None
) -> tuple[dict[str, Any], Any]:
    """The columns' units and the target's, as `parse_unit` gives them.

    Raises StudyError for what is no unit, or (with names) no column.
    """
    if not isinstance(model.units, Mapping | None):
        raise StudyError(f"units is {model.units!r}; give a dict of columns and their units")
    units = {str(column): parse_unit(str(text)) for column, text in (model.units or {}).items()}
    for column in units:
        if names is not None and column not in names:
            raise StudyError(
                f"units names the column '{column}', which the data do not have"
                f"{did_you_mean(column, names)}"
            )
    return units, parse_unit(model.target_unit)


def settings_of(
    model: SymbolicDistiller,
) -> tuple[list[Arm], StudentSettings, TeacherSettings]:
    """What the parameters come to. Raises SmoothrayError for those that cannot be used."""
    if model.selection is not None and model.selection not in SELECTIONS:
        raise StudyError(
            f"the selection is '{model.selection}'; use one of {', '.join(SELECTIONS)}"
            f"{did_you_mean(str(model.selection), SELECTIONS)}"
        )
    checked_signs(model.monotone, None)
    checked_units(model, None)
    if model.max_seconds is not None and not (
        isinstance(model.max_seconds, Real) and 0 < float(model.max_seconds) < math.inf
    ):
        raise StudyError(f"max_seconds is {model.max_seconds}; give a number of seconds above 0")
    if model.n_jobs == 0:
        raise StudyError("n_jobs is 0; give a number of processes, or -1 for one a core")
    for name in model.teacher_options or {}:
        if name not in TeacherSettings.model_fields:
            known = list(TeacherSettings.model_fields)
            raise StudyError(
                f"teacher_options has no '{name}'; it takes {', '.join(known)}"
                f"{did_you_mean(str(name), known)}"
            )
    part = model.validation_fraction
    if not (isinstance(part, Real) and 0 < float(part) < 1):
        raise StudyError(
            f"validation_fraction is {model.validation_fraction}; give a part between 0 and 1"
        )
    if not isinstance(model.augment, int | np.integer) or model.augment < 0:
        raise StudyError(
            f"augment is {model.augment}; give a whole number of new points per row, at least 0"
        )
    student = validated(
        StudentSettings,
        {
            "name": model.student,
            "budget": model.budget,
            "max_size": model.max_size,
            "nesting": model.nesting,
            "shorten": model.shorten,
            "simplify": model.simplify,
            "operators": None if model.operators is None else tuple(model.operators),
            **({} if model.timeout is None else {"timeout": model.timeout}),
            "options": dict(model.student_options or {}),
        },
    )
    built = student.build()
    if model.selection == "sobolev" and built.matches_slopes:
        built.check_matching()
    reason = built.unavailable()
    if reason:
        raise StudyError(f"the student '{model.student}' cannot run here: {reason}")
    teacher = validated(TeacherSettings, dict(model.teacher_options or {}))
    if len(teacher.stopping) > 1:
        raise StudyError("a fit has one regime; give teacher_options one way of stopping")
    if len(teacher.ensemble) > 1:
        raise StudyError("a fit has one ensemble size; give teacher_options one number")
    if hasattr(model.teacher, "state_dict") and not model.prefit and teacher.ensemble[0] > 1:
        raise StudyError(
            "all networks would start from the module's weights, so an ensemble would be the same "
            "network several times; give a function that makes a module"
        )
    if model.prefit:
        return [Arm("none", None, model.augment)], student, teacher
    return candidate_arms(model.penalty, model.strength, model.augment), student, teacher
