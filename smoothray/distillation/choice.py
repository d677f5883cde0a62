"""Another choice from a fitted front: by size, or the next best that is monotone where it must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sympy import Symbol

from smoothray.distillation.attempts import Attempt
from smoothray.distillation.trial import PARTS
from smoothray.errors import StudentError, StudyError, did_you_mean
from smoothray.formulas import Program, parse
from smoothray.metrics.smoothness import alignment
from smoothray.students import select

Array = NDArray[np.float64]
Signs = Mapping[str, int]
"""column -> 1 where a formula may not fall with it, -1 where it may not rise."""
SLACK = 1e-9
"""Largest slope against the sign, as a part of the largest one: what rounding makes of none."""
LINES, STEPS = 200, 25
"""Rows from which a column is varied to look at a formula's slopes between rows, and in how many steps."""


def member_of_size(front: Sequence[Mapping[str, Any]], complexity: int) -> int:
    """The place of the front's best member on validation rows of at most so many nodes; one that the guard
    refuses only where all of these are such.

    Raises StudyError where none is so small.
    """
    small = [i for i, member in enumerate(front) if member["complexity"] <= complexity]
    if not small:
        least = min(member["complexity"] for member in front)
        raise StudyError(f"no formula has at most {complexity} nodes; the shortest has {least}")
    small = [i for i in small if not front[i].get("unsafe")] or small
    # Losses know the rows' weights; members that were saved before they were kept have R² alone.
    losses = [member.get("val_loss_accuracy", _negated(member["r2_val"])) for member in front]
    return min(small, key=lambda i: (_or_most(losses[i]), front[i]["complexity"]))


def _negated(value: float | None) -> float | None:
    return None if value is None else -value


def _or_most(value: float | None) -> float:
    return np.inf if value is None or np.isnan(value) else value


def of_member(smoothness: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, Any]:
    """A teacher's and its formula's smoothness, for another member of the front, which in a pooled one names
    its own teacher's."""
    told = {name: member[name] for name in smoothness if name in member}
    taught = {name: None if pd.isna(value) else float(value) for name, value in told.items()}
    rough = {**smoothness, **taught}["teacher_jacobian"]
    return {
        **smoothness,
        **taught,
        "student_jacobian": float(member["jacobian"]),
        "student_gradient_max": float(member["gradient_max"]),
        "alignment": None if rough is None else alignment(float(member["jacobian"]), rough),
    }


def strength_of(member: Mapping[str, Any]) -> float | None:
    """The strength of a pooled front's member; None where its penalty takes none."""
    return None if pd.isna(member["strength"]) else float(member["strength"])


def with_member(attempt: Attempt, place: int) -> Attempt:
    """The attempt with another member of its front as the one chosen."""
    source = attempt.origins[place] if attempt.origins else attempt
    fields = source.fields
    front = [{**member, "chosen": i == place} for i, member in enumerate(attempt.fields["front"])]
    member = front[place]
    changed = {
        "complexity": member["complexity"],
        "complexity_standard": member["complexity_standard"],
        "formula": member["formula"],
        **{f"student_r2_{part}": member[f"r2_{part}"] for part in PARTS},
        **{f"fidelity_{part}": member[f"fidelity_{part}"] for part in PARTS},
        "student_jacobian": member["jacobian"],
        "student_gradient_max": member["gradient_max"],
        "front": front,
    }
    if "alignment" in fields:
        changed["alignment"] = alignment(member["jacobian"], fields["teacher_jacobian"])
    kept = {name: value for name, value in fields.items() if name != "latex"}
    return replace(source, fields={**kept, **changed}, origins=attempt.origins)


def of_size(attempt: Attempt, complexity: int | None) -> Attempt:
    """The attempt with its front's best member of at most so many nodes, or where none is, its shortest."""
    if complexity is None:
        return attempt
    front = attempt.fields["front"]
    least = min(member["complexity"] for member in front)
    return with_member(attempt, member_of_size(front, max(complexity, least)))


def checked_signs(monotone: Mapping[Any, Any] | None, names: Sequence[str] | None) -> Signs:
    """The signs by column. Raises StudyError for what is no sign, or (with names) no column."""
    if not isinstance(monotone, Mapping | None):
        raise StudyError(
            f"monotone is {monotone!r}; give a dict of columns and 1 or -1, such as {{'x0': 1}}"
        )
    signs = {str(column): sign for column, sign in (monotone or {}).items()}
    for column, sign in signs.items():
        if sign not in (1, -1):
            raise StudyError(
                f"monotone says {sign!r} of column '{column}'; give 1 (rising) or -1 (falling)"
            )
        if names is not None and column not in names:
            raise StudyError(
                f"monotone names the column '{column}', which the data do not have"
                f"{did_you_mean(column, names)}"
            )
    return signs


def is_monotone(formula: str, names: Sequence[str], X: Array, signs: Signs) -> bool:
    """Whether the formula's slopes by these columns have their signs on rows X (n, d), and where a column
    alone goes through its range; nor may its values there jump against the sign, as beside a pole."""
    program = Program(parse(formula, {name: Symbol(name) for name in names}), names)
    for column, sign in signs.items():
        place = list(names).index(column)
        values, gradient = program.value_and_gradient(np.concatenate([X, _varied(X, place)]))
        with np.errstate(all="ignore"):
            jumps = np.diff(values[len(X) :].reshape(-1, STEPS))
        if _breaks(sign * gradient[:, place]) or _breaks(sign * jumps):
            return False
    return True


def _breaks(slopes: Array) -> bool:
    finite = slopes[np.isfinite(slopes)]
    return bool(len(finite) and finite.min() < -SLACK * np.abs(finite).max())


def _varied(X: Array, place: int) -> Array:
    """Rows of X spread over its length, each with one column set to values over that column's range."""
    rows = X[np.linspace(0, len(X) - 1, min(LINES, len(X))).astype(int)]
    varied = np.repeat(rows, STEPS, axis=0)
    varied[:, place] = np.tile(np.linspace(X[:, place].min(), X[:, place].max(), STEPS), len(rows))
    return varied


def monotone_attempts(
    attempts: Sequence[Attempt], names: Sequence[str], X: Array, signs: Signs, selection: str
) -> tuple[list[Attempt], bool]:
    """The attempts with the formulas that keep the signs, best first, and whether the first choice of all
    did. X: training rows (n, d).

    Fronts lose the members that do not. The choice is made again among those that do, by fidelity where that
    was the rule, else by accuracy. An attempt none of whose members does is left out.

    Raises StudentError where none is left.
    """
    kept, first_holds = [], False
    for position, attempt in enumerate(attempts):
        front = attempt.fields["front"]
        places = [
            i for i, member in enumerate(front) if is_monotone(member["formula"], names, X, signs)
        ]
        chosen = next(i for i, member in enumerate(front) if member["chosen"])
        if chosen in places:
            first_holds |= position == 0
            kept.append(_only(attempt, places))
        elif places:
            safe = [i for i in places if not front[i].get("unsafe")] or places
            best = safe[_best(front, safe, selection)]
            kept.append(_only(with_member(attempt, best), places))
    if not kept:
        told = ", ".join(f"{column}:{'+' if sign > 0 else '-'}" for column, sign in signs.items())
        raise StudentError(
            f"no formula is monotone as asked ({told}) on the training rows; leave a column out of it, or "
            "try a larger budget"
        )
    return sorted(kept, key=lambda attempt: attempt.loss), first_holds


def _only(attempt: Attempt, places: Sequence[int]) -> Attempt:
    front = [attempt.fields["front"][i] for i in places]
    origins = tuple(attempt.origins[i] for i in places) if attempt.origins else ()
    return replace(attempt, fields={**attempt.fields, "front": front}, origins=origins)


def _best(front: Sequence[Mapping[str, Any]], places: Sequence[int], selection: str) -> int:
    aim = (
        "fidelity"
        if selection == "fidelity" and front[0]["fidelity_val"] is not None
        else "accuracy"
    )
    members = [front[i] for i in places]
    return select(
        [member[f"val_loss_{aim}"] for member in members],
        [member["complexity"] for member in members],
        [member[f"val_error_{aim}"] for member in members],
    )
