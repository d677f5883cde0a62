"""Train the teachers of one bank on their trials and write down what they teach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from smoothray.distillation.trial import Array, TeacherOutputs, Trial
from smoothray.errors import Failure, TeacherError
from smoothray.metrics.smoothness import largest_gradient, mean_squared_jacobian
from smoothray.penalties import find_penalty
from smoothray.study.settings import TeacherSettings
from smoothray.teachers.bank import Bank, train_bank
from smoothray.teachers.device import choose_device
from smoothray.teachers.fitted import Teacher
from smoothray.teachers.mlp import MLP
from smoothray.teachers.training import Rows


def teach(
    trials: Sequence[Trial],
    penalty: str,
    strengths: Sequence[float],
    ensemble: int,
    augments: Sequence[int],
    settings: TeacherSettings,
) -> list[TeacherOutputs | Failure]:
    """Train `ensemble` networks for each trial at its strength, all in one bank.

    Returns each trial's outputs, or a Failure where its teacher failed.
    """
    all_outputs, _ = teach_bank(trials, penalty, strengths, ensemble, augments, settings)
    # A study chooses nothing by gradients, and they may be large.
    return [
        each if isinstance(each, Failure) else replace(each, gradients=None) for each in all_outputs
    ]


def teach_bank(
    trials: Sequence[Trial],
    penalty: str,
    strengths: Sequence[float],
    ensemble: int,
    augments: Sequence[int],
    settings: TeacherSettings,
    factory: Callable[[int], nn.Module] | None = None,
    with_slopes: bool = False,
) -> tuple[list[TeacherOutputs | Failure], Bank]:
    """What `teach` returns, and the bank itself, `ensemble` networks a trial.

    factory: makes a network for so many inputs; the settings' perceptron by default. with_slopes: the outputs
    are to hold the gradients on all that students learn from.
    """
    device = choose_device(settings.device)
    parts = {
        (axis, part): _stack([getattr(trial, axis)[part] for trial in trials], ensemble, device)
        for axis in ("x", "y")
        for part in ("train", "val")
    }
    weights = {}
    if trials[0].weights:
        for part in ("train", "val"):
            given = [trial.weights[part] for trial in trials if trial.weights]
            weights[f"w_{part}"] = _stack(given, ensemble, device)
    rows = Rows(**{f"{axis}_{part}": value for (axis, part), value in parts.items()}, **weights)
    make = factory or (lambda d: MLP(d, settings.hidden, settings.activation))
    bank = train_bank(
        lambda: make(rows.x_train.shape[2]),
        rows,
        find_penalty(penalty)(),
        np.repeat(strengths, ensemble).tolist(),
        [member for trial in trials for member in trial.teacher_seeds(ensemble)],
        settings.training,
    )
    return _outputs_by_trial(bank, trials, rows, ensemble, augments, with_slopes), bank


def _outputs_by_trial(
    bank: Bank,
    trials: Sequence[Trial],
    rows: Rows,
    ensemble: int,
    augments: Sequence[int],
    with_slopes: bool,
) -> list[TeacherOutputs | Failure]:
    device = rows.x_train.device

    def mean_of_members(values: Tensor) -> np.ndarray:
        array = values.double().cpu().numpy()
        mean: np.ndarray = array.reshape(len(trials), ensemble, *array.shape[1:]).mean(1)
        return mean

    def predict(inputs: list[np.ndarray]) -> np.ndarray:
        return mean_of_members(bank.predict(_stack(inputs, ensemble, device)))

    test = _stack([trial.x["test"] for trial in trials], ensemble, device)
    values, gradients = map(mean_of_members, bank.value_and_gradient(test))
    outputs = {
        "train": mean_of_members(bank.predict(rows.x_train)),
        "val": mean_of_members(bank.predict(rows.x_val)),
        "test": values,
    }
    new = {k: predict([trial.new_points(k) for trial in trials]) for k in augments if k}
    slopes: dict[str | int, np.ndarray] = {}
    if with_slopes:
        slopes["train"] = mean_of_members(bank.value_and_gradient(rows.x_train)[1])
        for k in new:
            points = _stack([trial.new_points(k) for trial in trials], ensemble, device)
            slopes[k] = mean_of_members(bank.value_and_gradient(points)[1])
    bounds = bank.spectral_bounds()
    all_outputs: list[TeacherOutputs | Failure] = []
    for place in range(len(trials)):
        members = range(place * ensemble, (place + 1) * ensemble)
        reasons = [bank.failures[m] for m in members if m in bank.failures]
        all_outputs.append(
            Failure(reasons[0])
            if reasons
            else TeacherOutputs(
                outputs={part: array[place] for part, array in outputs.items()},
                new={k: array[place] for k, array in new.items()},
                jacobian=mean_squared_jacobian(gradients[place]),
                gradient_max=largest_gradient(gradients[place]),
                # The mean of functions is at most as steep as the mean of their bounds.
                spectral=None if bounds is None else float(bounds[list(members)].mean()),
                seconds=bank.seconds / len(trials),
                gradients=gradients[place],
                slopes={part: array[place] for part, array in slopes.items()} or None,
            )
        )
    return all_outputs


def _stack(arrays: Sequence[np.ndarray], ensemble: int, device: torch.device) -> Tensor:
    stacked = torch.as_tensor(np.stack(arrays), dtype=torch.float32, device=device)
    return stacked.repeat_interleave(ensemble, 0) if ensemble > 1 else stacked


def outputs_of(
    teacher: Teacher, trial: Trial, augments: Sequence[int], with_slopes: bool = False
) -> TeacherOutputs:
    """What a trained teacher teaches on a trial. with_slopes: with the gradients on all that students learn
    from. Raises TeacherError.
    """
    x, y = trial.x_scaler, trial.y_scaler

    def slopes_on(rows: Array) -> Array | None:
        gradients = teacher.gradients(rows)
        return None if gradients is None else gradients * x.scale / y.scale

    outputs = {part: y.transform(teacher.predict(rows)) for part, rows in trial.raw.items()}
    new = {k: y.transform(teacher.predict(x.inverse(trial.new_points(k)))) for k in augments if k}
    places: dict[str | int, Array] = {"train": trial.raw["train"]}
    places |= {k: x.inverse(trial.new_points(k)) for k in new}
    try:
        gradients = slopes_on(trial.raw["test"])
        held = {part: slopes_on(rows) for part, rows in places.items()} if with_slopes else {}
    except TeacherError:
        gradients, held = None, {}
    slopes = {part: values for part, values in held.items() if values is not None}
    return TeacherOutputs(
        outputs,
        new,
        math.nan if gradients is None else mean_squared_jacobian(gradients),
        math.nan if gradients is None else largest_gradient(gradients),
        None,
        0.0,
        gradients,
        slopes or None,
    )
