"""A penalty at work on a small made-up bank: what would spoil a study is seen before it starts."""

from __future__ import annotations

import torch
from torch import Tensor

from smoothray.errors import PluginError
from smoothray.penalties.base import Network, Penalty

BANK, ROWS, INPUTS, HIDDEN = 2, 16, 10, 8


def made_up(uses_gradients: bool) -> Network:
    """Two tanh networks on rows of their own, differentiable by their weights as in training."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BANK, ROWS, INPUTS, generator=generator, requires_grad=True)
    shapes = (HIDDEN, INPUTS), (1, HIDDEN)
    matrices = tuple(torch.randn(BANK, *s, generator=generator).requires_grad_() for s in shapes)
    outputs = (torch.tanh(x @ matrices[0].mT) @ matrices[1].mT).squeeze(-1)
    if not uses_gradients:
        return Network(outputs, None, matrices)
    (gradients,) = torch.autograd.grad(outputs.sum(), x, create_graph=True)
    return Network(outputs, gradients, matrices)


def rehearse(name: str, penalty: type[Penalty]) -> None:
    """Raise PluginError, in one line, where a penalty cannot do what training asks of it."""
    network = made_up(penalty.uses_gradients)
    try:
        values = penalty()(network)
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        hint = "" if penalty.uses_gradients else " (gradients are given with uses_gradients = True)"
        told += hint if network.gradients is None and "NoneType" in told else ""
        raise PluginError(
            f"the penalty '{name}' fails on a made-up bank of {BANK} networks, {ROWS} rows and {INPUTS} "
            f"inputs: {told}"
        ) from error
    if not isinstance(values, Tensor):
        raise PluginError(
            f"the penalty '{name}' gave a {type(values).__name__}; it must give a tensor of {BANK} "
            f"numbers for {BANK} networks"
        )
    if values.shape != (BANK,):
        raise PluginError(
            f"the penalty '{name}' gave shape {tuple(values.shape)} for {BANK} networks; it must give "
            "one number for each: leave the first axis as it is"
        )
    if not torch.isfinite(values).all():
        raise PluginError(f"the penalty '{name}' gave {values.tolist()} for ordinary networks")
    if not values.requires_grad:
        if values.any():
            raise PluginError(
                f"the penalty '{name}' does not depend on the networks: it must stay differentiable, so "
                "leave out detach(), item(), numpy() and no_grad()"
            )
        return
    slopes = torch.autograd.grad(values[0], network.matrices, allow_unused=True)
    if any(slope is not None and slope[1].any() for slope in slopes):
        raise PluginError(
            f"the penalty '{name}' mixes networks: one's number changes with another's weights; sum over "
            "all axes but the first"
        )
