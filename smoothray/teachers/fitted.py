"""Teachers that are trained already, in the data's own units: predictions, gradients, and what they teach."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from smoothray.datasets import Scaler, TargetScaler
from smoothray.errors import TeacherError
from smoothray.metrics.smoothness import Array, gradients_of, values_of


class Teacher:
    """A trained teacher of one target.

    function: a torch module, an object with a `predict` method, or a callable on arrays; it takes (n, d)
    and gives (n,) or (n, outputs), of which `output` is the column. `module` is the torch module, None
    where there is none. names: the d columns' names, for an object that was fitted to a frame.
    """

    def __init__(
        self, function: Any, output: int = 0, outputs: int = 1, names: Sequence[str] | None = None
    ) -> None:
        self.function, self.output, self.outputs, self.names = function, output, outputs, names
        self.module = function if isinstance(function, nn.Module) else None

    def predict(self, X: Array) -> Array:
        """Predictions (n,) on rows X (n, d), in the data's units. Raises TeacherError."""
        X = np.asarray(X, dtype=np.float64)
        if self.module is not None:
            return self._finite(values_of(self.module, X, self.output, self.outputs))
        rows: Any = X
        if self.names is not None and hasattr(self.function, "feature_names_in_"):
            rows = pd.DataFrame(X, columns=list(self.names))
        try:
            predicted = getattr(self.function, "predict", self.function)(rows)
            predicted = predicted.detach() if isinstance(predicted, Tensor) else predicted
            values = np.asarray(predicted, dtype=np.float64)
        except Exception as error:  # whatever a user's own function raises
            raise TeacherError(
                f"the teacher cannot predict on {len(X)} rows of {X.shape[1]} columns: "
                f"{type(error).__name__}: {error}"
            ) from error
        if values.shape == (len(X), self.outputs):
            values = values[:, self.output]
        elif values.shape != (len(X),) or self.outputs > 1:
            raise TeacherError(
                f"the teacher must map {X.shape} to {'' if self.outputs > 1 else f'({len(X)},) or '}"
                f"({len(X)}, {self.outputs}), but gave {values.shape}"
            )
        return self._finite(values)

    def _finite(self, values: Array) -> Array:
        undefined = int((~np.isfinite(values)).sum())
        if undefined:
            raise TeacherError(
                f"the teacher's predictions are not finite on {undefined} of {len(values)} rows"
            )
        return values

    def gradients(self, X: Array) -> Array | None:
        """Derivatives (n, d) of the predictions by the inputs; None for a function that is not of torch.

        Raises TeacherError for a module that gives none.
        """
        return None if self.module is None else self.value_and_gradient(X)[1]

    def value_and_gradient(self, X: Array) -> tuple[Array, Array]:
        """Predictions (n,) and their derivatives (n, d) by the inputs, finite or not.

        Raises TeacherError for a function that is not of torch, or a module that gives none.
        """
        if self.module is None:
            raise TeacherError("the teacher is no torch module, so it has no gradients")
        return gradients_of(self.module, X, self.output, self.outputs)


class InDataUnits(nn.Module):
    """The mean of networks on standardised rows, as one module in the data's own units: (n, d) -> (n,)."""

    mean: Tensor
    scale: Tensor

    def __init__(self, networks: Sequence[nn.Module], x: Scaler, y: TargetScaler) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.register_buffer("mean", torch.as_tensor(x.mean))
        self.register_buffer("scale", torch.as_tensor(x.scale))
        self.y_mean, self.y_scale = y.mean, y.scale

    def forward(self, x: Tensor) -> Tensor:
        like = next(self.networks.parameters())
        # Standardised in double precision: columns such as years would lose their digits.
        rows = ((x.to(self.mean) - self.mean) / self.scale).to(like)
        total = torch.stack([network(rows) for network in self.networks]).mean(0)
        return (total.to(self.mean) * self.y_scale + self.y_mean).to(x.dtype)


def factory_of(teacher: nn.Module | Callable[..., nn.Module], d: int) -> Callable[[int], nn.Module]:
    """A maker of networks (n, d) -> (n,) from what a user gives: a module, whose weights all of them start
    from, or a function that makes one, of the number of inputs or of nothing.

    Raises TeacherError for anything else.
    """
    make = _maker(teacher)
    try:
        first = make(d)
        shape = first(torch.zeros(2, d, dtype=_precision(first))).shape
    except TeacherError:
        raise
    except Exception as error:  # whatever a user's own module raises
        raise TeacherError(
            f"the teacher cannot be made, or take {d} inputs: {type(error).__name__}: {error} "
            "(for a function that is trained already say prefit=True)"
        ) from error
    if shape not in ((2,), (2, 1)):
        raise TeacherError(
            f"the teacher must map (n, {d}) to (n,) or (n, 1), but mapped (2, {d}) to {tuple(shape)}"
        )
    return make if shape == (2,) else lambda d: nn.Sequential(make(d), nn.Flatten(0))


def _maker(teacher: Any) -> Callable[[int], nn.Module]:
    if isinstance(teacher, nn.Module):
        return lambda d: copy.deepcopy(teacher).cpu()
    if not callable(teacher):
        raise TeacherError(
            f"the teacher is {teacher!r}; give a torch module or a function that makes one, or for what is "
            "trained already prefit=True"
        )
    takes_d = _takes_an_argument(teacher)

    def make(d: int) -> nn.Module:
        made = teacher(d) if takes_d else teacher()
        if not isinstance(made, nn.Module):
            raise TeacherError(
                f"the teacher's factory gave {type(made).__name__}, not a torch module; for a function that "
                "is trained already say prefit=True"
            )
        return made.cpu()

    return make


def _takes_an_argument(function: Callable[..., Any]) -> bool:
    import inspect

    required = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return bool(required)


def _precision(module: nn.Module) -> torch.dtype:
    parameter = next(module.parameters(), None)
    return torch.float32 if parameter is None else parameter.dtype
