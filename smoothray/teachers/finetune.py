"""Make a trained network smoother, in place of training anew."""

from __future__ import annotations

import copy
from numbers import Real

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from torch import Tensor, nn

from smoothray.datasets import Scaler, TargetScaler
from smoothray.errors import TeacherError
from smoothray.penalties import PENALTIES, find_penalty, try_penalty
from smoothray.teachers.bank import train_bank
from smoothray.teachers.defaults import Training
from smoothray.teachers.device import choose_device
from smoothray.teachers.fitted import factory_of
from smoothray.teachers.layers import chain_layers
from smoothray.teachers.training import Rows, one_thread


def smooth_finetune(
    module: nn.Module,
    X: ArrayLike,
    y: ArrayLike,
    penalty: str = "jacobian_between",
    strength: float = 0.01,
    *,
    steps: int = 500,
    learning_rate: float = 1e-3,
    batch_size: int = Training.batch_size,
    random_state: int | np.random.RandomState | None = 0,
    device: str = "auto",
) -> nn.Module:
    """A smoother copy of a trained network: trained on by squared error + strength · penalty.

    module: (n, d) -> (n,) or (n, 1) in the units of X and y, which it was trained for. X: (n, d). y: (n,).
    penalty, strength: as in `SymbolicDistiller`; both terms are taken on standardised data, so that
    strengths mean the same for every network. All steps are done (cosine decay of the learning rate, Adam),
    since stopping at the best error would stop before the penalty has had its effect.

    Returns the copy, on the module's own device and in its mode; the module itself is left as it is.

    Raises SmoothrayError for a penalty without a strength, data that do not fit, or a network that diverges
    or cannot be trained in a bank (batch norm, dropout), or not under this penalty.
    """
    names = [name for name, each in PENALTIES.items() if each.has_strength()]
    if not find_penalty(penalty, names).has_strength():
        raise TeacherError(f"the penalty is '{penalty}'; use one of {', '.join(names)}")
    try_penalty(penalty)
    if not (isinstance(strength, Real) and 0 <= float(strength) < float("inf")):
        raise TeacherError(f"the strength is {strength}; give a number of at least 0")
    if not isinstance(random_state, int):
        random_state = int(check_random_state(random_state).randint(2**31 - 1))
    if steps < 1:
        raise TeacherError(f"steps is {steps}; give at least 1")
    rows, target = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if rows.ndim != 2 or not len(rows) or target.reshape(-1).shape != (len(rows),):
        raise TeacherError(f"X must be (n, d) and y (n,), not {rows.shape} and {target.shape}")
    if not (np.isfinite(rows).all() and np.isfinite(target).all()):
        raise TeacherError("X or y holds values that are not finite; leave those rows out")
    target = target.reshape(-1)
    scalers = Scaler.fit(rows), TargetScaler.fit(target)
    network = factory_of(module, rows.shape[1])(rows.shape[1])
    ends = _linear_ends(network)
    if ends:
        _fold(*ends, *scalers)
    elif find_penalty(penalty).needs_layers:
        raise TeacherError(
            f"the penalty '{penalty}' is for a plain chain of layers, such as tanh between linear ones, that "
            "begins and ends with a linear layer with a bias; use 'jacobian' or 'lipschitz_sampled'"
        )
    else:
        network = _Standardised(network, *scalers)
    like = next(network.parameters())
    where = choose_device(device)
    x = torch.as_tensor(scalers[0].transform(rows), dtype=like.dtype, device=where)[None]
    t = torch.as_tensor(scalers[1].transform(target), dtype=like.dtype, device=where)[None]
    with one_thread():
        bank = train_bank(
            lambda: copy.deepcopy(network),
            Rows(x, t, x, t),
            find_penalty(penalty)(),
            [float(strength)],
            [random_state],
            Training(steps, learning_rate, steps, batch_size, keep="last"),
        )
    if bank.failures:
        raise TeacherError(
            f"{bank.failures[0]}; give a smaller learning_rate (now {learning_rate:g})"
        )
    trained = bank.module(0)
    if ends:
        trained_ends = _linear_ends(trained)
        assert trained_ends is not None
        _unfold(*trained_ends, *scalers)
    else:
        assert isinstance(trained, _Standardised)
        trained = trained.network
    smoother = copy.deepcopy(module)
    state = trained.state_dict()
    if state.keys() != smoother.state_dict().keys():
        state = trained[0].state_dict()  # type: ignore[index]  # a Flatten was put behind it
    smoother.load_state_dict(state)
    return smoother


class _Standardised(nn.Module):
    """A network of the data's units as a function of standardised rows."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, x: Scaler, y: TargetScaler) -> None:
        super().__init__()
        self.network = network
        like = next(network.parameters()).dtype
        self.register_buffer("mean", torch.as_tensor(x.mean, dtype=like))
        self.register_buffer("scale", torch.as_tensor(x.scale, dtype=like))
        self.y_mean, self.y_scale = y.mean, y.scale

    def forward(self, x: Tensor) -> Tensor:
        value: Tensor = self.network(x * self.scale + self.mean)
        return (value - self.y_mean) / self.y_scale


def _linear_ends(network: nn.Module) -> tuple[nn.Linear, nn.Linear] | None:
    """The first and last layer of a chain, if they are linear with biases and used once."""
    layers = chain_layers(network)
    first, last = (layers[0], layers[-1]) if layers else (None, None)
    if not (type(first) is nn.Linear and type(last) is nn.Linear):
        return None
    once = all(sum(layer is end for layer in layers or []) == 1 for end in (first, last))
    return (first, last) if once and first.bias is not None and last.bias is not None else None


@torch.no_grad()
def _fold(first: nn.Linear, last: nn.Linear, x: Scaler, y: TargetScaler) -> None:
    """Have a chain take standardised rows and give standardised values, so that the product of its spectral
    norms is a bound on that scale and Adam's steps suit all columns.
    """
    mean, scale = (torch.as_tensor(part, dtype=first.weight.dtype) for part in (x.mean, x.scale))
    first.bias.add_(first.weight @ mean)
    first.weight.mul_(scale)
    last.bias.sub_(y.mean).div_(y.scale)
    last.weight.div_(y.scale)


@torch.no_grad()
def _unfold(first: nn.Linear, last: nn.Linear, x: Scaler, y: TargetScaler) -> None:
    """The inverse of `_fold`."""
    mean, scale = (torch.as_tensor(part, dtype=first.weight.dtype) for part in (x.mean, x.scale))
    last.weight.mul_(y.scale)
    last.bias.mul_(y.scale).add_(y.mean)
    first.weight.div_(scale)
    first.bias.sub_(first.weight @ mean)
