"""Make a trained network smoother, in place of training anew."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from smoothray.datasets import Scaler, TargetScaler
from smoothray.errors import TeacherError
from smoothray.penalties import PENALTIES
from smoothray.teachers.bank import train_bank
from smoothray.teachers.fitted import factory_of
from smoothray.teachers.teach import choose_device
from smoothray.teachers.training import Rows, Training


def smooth_finetune(
    module: nn.Module,
    X: ArrayLike,
    y: ArrayLike,
    penalty: str = "jacobian",
    strength: float = 0.01,
    *,
    steps: int = 500,
    learning_rate: float = 1e-3,
    batch_size: int = 1024,
    random_state: int = 0,
    device: str = "auto",
) -> nn.Module:
    """A smoother copy of a trained network: trained on by squared error + strength · penalty.

    module: (n, d) -> (n,) or (n, 1) in the units of X and y, which it was trained for; columns of the size of
    1 are best, as for any training by Adam. X: (n, d). y: (n,).
    penalty, strength: as in `SymbolicDistiller`; both terms are taken on standardised data, so that
    strengths mean the same for every network. All steps are done (cosine decay of the learning rate, Adam),
    since stopping at the best error would stop before the penalty has had its effect.

    Returns the copy, on the module's own device and in its mode; the module itself is left as it is.

    Raises SmoothrayError for a penalty without a strength, data that do not fit, or a network that diverges
    or cannot be trained in a bank (batch norm, dropout).
    """
    if penalty not in PENALTIES or not PENALTIES[penalty].has_strength():
        known = ", ".join(name for name, p in PENALTIES.items() if p.has_strength())
        raise TeacherError(f"the penalty is '{penalty}'; use one of {known}")
    if not 0 <= strength < float("inf"):
        raise TeacherError(f"the strength is {strength}; give a number of at least 0")
    rows, target = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if rows.ndim != 2 or not len(rows) or target.reshape(-1).shape != (len(rows),):
        raise TeacherError(f"X must be (n, d) and y (n,), not {rows.shape} and {target.shape}")
    if not (np.isfinite(rows).all() and np.isfinite(target).all()):
        raise TeacherError("X or y holds values that are not finite; leave those rows out")
    target = target.reshape(-1)
    scalers = Scaler.fit(rows), TargetScaler.fit(target)
    network = factory_of(module, rows.shape[1])(rows.shape[1]).cpu()
    wrapped = _standardised(network, *scalers)
    like = next(network.parameters())
    where = choose_device(device)
    x = torch.as_tensor(scalers[0].transform(rows), dtype=like.dtype, device=where)[None]
    t = torch.as_tensor(scalers[1].transform(target), dtype=like.dtype, device=where)[None]
    bank = train_bank(
        lambda: copy.deepcopy(wrapped),
        Rows(x, t, x, t),
        PENALTIES[penalty](),
        [float(strength)],
        [random_state],
        Training(steps, learning_rate, steps, batch_size, keep="last"),
    )
    if bank.failures:
        raise TeacherError(
            f"{bank.failures[0]}; give a smaller learning_rate (now {learning_rate:g})"
        )
    return _with_state(module, bank.module(0))


def _standardised(network: nn.Module, x: Scaler, y: TargetScaler) -> nn.Module:
    """The network as a function of standardised rows. Linear layers that are not trained stand before and
    after it, so that it is still a chain if it was one, and its spectral bound the standardised one.
    """
    like = next(network.parameters())
    d = len(x.mean)
    before, after = nn.Linear(d, d), nn.Linear(1, 1)
    with torch.no_grad():
        before.weight.copy_(torch.diag(torch.as_tensor(x.scale)))
        before.bias.copy_(torch.as_tensor(x.mean))
        after.weight.fill_(1 / y.scale)
        after.bias.fill_(-y.mean / y.scale)
    layers = nn.Sequential(
        before.to(like.dtype),
        network,
        nn.Unflatten(0, (-1, 1)),
        after.to(like.dtype),
        nn.Flatten(0),
    )
    for layer in (before, after):
        layer.requires_grad_(False)
    return layers


def _with_state(module: nn.Module, trained: Any) -> nn.Module:
    """A copy of a module with the weights that its place in the trained chain has."""
    smoother = copy.deepcopy(module)
    state = trained[1].state_dict()
    if state.keys() != smoother.state_dict().keys():
        state = trained[1][0].state_dict()  # a Flatten was put behind it
    smoother.load_state_dict(state)
    return smoother
