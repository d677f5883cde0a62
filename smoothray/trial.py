"""One trial, pure Python: split and scale the data, then distil a teacher's lesson and score the result."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sympy import Expr

from smoothray.datasets import Dataset, Scaler, TargetScaler, augment, split
from smoothray.errors import StudentError, TeacherError
from smoothray.formulas import Program, round_constants, to_latex, to_mathml, to_text, unscale
from smoothray.scores import mean_squared_error, r2, sobolev_error
from smoothray.seeds import generator, seed
from smoothray.smoothness import alignment, largest_gradient, mean_squared_jacobian
from smoothray.students import Candidate, Student, select

Array = NDArray[np.float64]
logger = logging.getLogger(__name__)
PARTS = ("train", "val", "test")
ROUNDING = 1e-5
"""Largest change of a prediction that rounding a formula's constants may make, in standard deviations."""

AGREEMENT = 1e-3
"""Largest root mean square difference of a formula from the student's own, on the standard scale."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One split of one data set. `raw` is in the data's units; x and y are standardised on train alone.

    weights: the rows' weights for each part, of mean 1; None: all count the same.
    """

    dataset: Dataset
    number: int
    seed: int
    raw: dict[str, Array]
    x: dict[str, Array]
    y: dict[str, Array]
    x_scaler: Scaler
    y_scaler: TargetScaler
    weights: dict[str, Array] | None = None

    @classmethod
    def of(cls, dataset: Dataset, number: int, seed: int) -> Trial:
        """A study's trial: the rows are split by its seed, the data set's name and the trial's number."""
        rows = split(len(dataset.y), dataset.name, number, seed)
        return cls.on(dataset, number, seed, {part: getattr(rows, part) for part in PARTS})

    @classmethod
    def on(
        cls,
        dataset: Dataset,
        number: int,
        seed: int,
        index: Mapping[str, NDArray[np.int64]],
        weights: Array | None = None,
    ) -> Trial:
        """A trial on given rows. index: the rows of each of PARTS. weights: (n,), of all rows."""
        x_scaler = Scaler.fit(dataset.X[index["train"]])
        y_scaler = TargetScaler.fit(dataset.y[index["train"]])
        return cls(
            dataset,
            number,
            seed,
            {part: dataset.X[i] for part, i in index.items()},
            {part: x_scaler.transform(dataset.X[i]) for part, i in index.items()},
            {part: y_scaler.transform(dataset.y[i]) for part, i in index.items()},
            x_scaler,
            y_scaler,
            None if weights is None else {p: _of_mean_1(weights[i]) for p, i in index.items()},
        )

    def new_points(self, k: int) -> Array:
        """k new standardised inputs per training row, (k·n, d); the same for every arm of the trial."""
        rng = generator(self.seed, self.dataset.name, self.number, "augment", k)
        return augment(self.x["train"], k, rng)

    @property
    def student_seed(self) -> int:
        return seed(self.seed, self.dataset.name, self.number, "student")

    def teacher_seeds(self, ensemble: int) -> list[int]:
        names = (self.seed, self.dataset.name, self.number, "teacher")
        return [seed(*names, member) for member in range(ensemble)]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a teacher hands to its students, all standardised.

    outputs: its predictions for each part, (n_part,). new: for each k its labels of `new_points(k)`.
    jacobian, gradient_max: on the test rows; nan where a teacher gives no gradients. spectral: the layers'
    bound, None where there is none. seconds: its share of the bank's training time. gradients: on the test
    rows, (n_test, d). slopes: where a student is to match them, those on the train rows and, by k, on
    `new_points(k)`.
    """

    outputs: dict[str, Array]
    new: dict[int, Array]
    jacobian: float
    gradient_max: float
    spectral: float | None
    seconds: float
    gradients: Array | None = field(default=None, repr=False)
    slopes: dict[str | int, Array] | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Member:
    """A member of a front, in the data's own units, with its predictions back on the standard scale."""

    candidate: Candidate
    expr: Expr
    outputs: dict[str, Array]
    gradients: Array = field(repr=False)


def distil(
    trial: Trial, lesson: Lesson | None, k: int, student: Student, selection: str
) -> dict[str, Any]:
    """Fit a student to a lesson (to the labels if there is none) and score the formula it comes to.

    k: new points per training row. selection: "fidelity", "accuracy" or "native"; or "sobolev", which also
    asks how well gradients match, on the test part: for trials whose test part is their validation rows.

    Returns the fields of a record that this trial decides. The choice from the front uses validation rows
    alone; test scores are taken after it and used for nothing.

    Raises StudentError if no formula comes of it.
    """
    started = time.perf_counter()
    inputs, target = trial.x["train"], (lesson.outputs if lesson else trial.y)["train"]
    if lesson and k:
        inputs = np.concatenate([inputs, trial.new_points(k)])
        target = np.concatenate([target, lesson.new[k]])
    more = {}
    if selection == "sobolev" and student.matches_slopes and lesson and lesson.slopes:
        parts = [lesson.slopes["train"], *([lesson.slopes[k]] if k else [])]
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
    if lesson:
        aims["fidelity"] = lesson.outputs["val"]
    weights = trial.weights["val"] if trial.weights else None
    losses = {
        aim: [mean_squared_error(values, member.outputs["val"], weights) for member in members]
        for aim, values in aims.items()
    }
    # Without a teacher the labels are what there is to be faithful to.
    rule = "accuracy" if selection in ("fidelity", "sobolev") and not lesson else selection
    if rule == "sobolev" and lesson:
        losses["sobolev"] = [_sobolev(lesson, member) for member in members]
    chosen = choose(members, losses, rule)
    front = [
        {
            "complexity": member.candidate.complexity,
            "formula": to_text(member.expr),
            "mathml": to_mathml(member.expr),
            "loss": member.candidate.loss,
            "native": member.candidate.preferred,
            "chosen": place == chosen,
            **_scores(trial, lesson, member),
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
        "front": front,
    }
    if lesson:
        fields["alignment"] = alignment(fields["student_jacobian"], lesson.jacobian)
    return fields


def teacher_fields(trial: Trial, lesson: Lesson) -> dict[str, Any]:
    """The fields of a record that the teacher decides."""
    return {
        **{f"teacher_r2_{part}": r2(trial.y[part], lesson.outputs[part]) for part in PARTS},
        "teacher_jacobian": lesson.jacobian,
        "teacher_gradient_max": lesson.gradient_max,
        "teacher_spectral": lesson.spectral,
        "teacher_seconds": lesson.seconds,
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
    """A candidate in the data's units; None where it is not the same function there."""
    names, x, y = trial.dataset.feature_names, trial.x_scaler, trial.y_scaler
    # Rows from all over the table: where it is sorted, the first ones show little of it.
    rows = trial.raw["train"][:: -(-len(trial.raw["train"]) // 256)]
    expr = unscale(candidate.expr, x.mean, x.scale, y.mean, y.scale, names, rows)
    expr = round_constants(expr, rows, names, ROUNDING)
    program = Program(expr, names)
    outputs = {part: y.transform(program.values(trial.raw[part])) for part in ("train", "val")}
    values, gradients = program.value_and_gradient(trial.raw["test"])
    outputs["test"] = y.transform(values)
    gradients[~np.isfinite(values)] = np.nan
    difference = Program(candidate.expr).values(trial.x["train"]) - outputs["train"]
    if not np.sqrt(np.mean(difference**2)) <= AGREEMENT:
        logger.debug("dropped %s: in the data's units it is another function", to_text(expr))
        return None
    return Member(candidate, expr, outputs, gradients * x.scale / y.scale)


def _sobolev(lesson: Lesson, member: Member) -> tuple[float, float]:
    if lesson.gradients is None:
        raise TeacherError(
            "selection 'sobolev' compares gradients, and this teacher has none; give a torch module, or "
            "choose by 'accuracy' or 'fidelity'"
        )
    values = lesson.outputs["test"], member.outputs["test"]
    return sobolev_error(*values, lesson.gradients, member.gradients)


def _of_mean_1(weights: Array) -> Array:
    mean = weights.mean()
    return weights / mean if mean > 0 else np.ones_like(weights)


def _scores(trial: Trial, lesson: Lesson | None, member: Member) -> dict[str, float | None]:
    scores: dict[str, float | None] = {}
    for part in PARTS:
        # Where a formula has no value, a user would fall back on the mean: 0 on the standard scale.
        outputs = np.nan_to_num(member.outputs[part], nan=0.0, posinf=0.0, neginf=0.0)
        scores[f"r2_{part}"] = r2(trial.y[part], outputs)
        scores[f"fidelity_{part}"] = r2(lesson.outputs[part], outputs) if lesson else None
    return scores


def _validation(
    losses: Mapping[str, Sequence[tuple[float, float]]], place: int
) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for aim in ("accuracy", "fidelity"):
        loss, error = losses[aim][place] if aim in losses else (None, None)
        found |= {f"val_loss_{aim}": loss, f"val_error_{aim}": error}
    return found


def _smoothness(member: Member) -> dict[str, float]:
    finite = member.gradients[np.isfinite(member.gradients).all(1)]
    if not len(finite):
        return {"jacobian": float("nan"), "gradient_max": float("nan")}
    return {"jacobian": mean_squared_jacobian(finite), "gradient_max": largest_gradient(finite)}
