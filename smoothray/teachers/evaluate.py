"""Evaluate B networks of one architecture at once, with their input gradients."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from smoothray.teachers.mlp import MLP, Workspace

Parameters = dict[str, Tensor]
"""A bank's parameters by name, each with a leading axis of B networks."""


@dataclass(frozen=True)
class Evaluator:
    """Any row-wise module through `vmap`; an MLP evaluates its stacks itself."""

    module: nn.Module
    workspace: Workspace = field(default_factory=Workspace)

    @classmethod
    def of(cls, module: nn.Module, like: Tensor) -> Evaluator:
        """An evaluator of modules such as `module`, on the device and in the precision of `like`."""
        return cls(copy.deepcopy(module).to(like.device, like.dtype))

    def fresh(self) -> nn.Module:
        return copy.deepcopy(self.module)

    def value(self, parameters: Parameters, x: Tensor) -> Tensor:
        """(B, n, d) -> (B, n)."""
        if isinstance(self.module, MLP) and type(self.module).forward is MLP.forward:
            return self.module.stacked_value(parameters, x, self.workspace)
        return vmap(self._call)(parameters, x)

    def value_and_gradient(self, parameters: Parameters, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n, d) -> (B, n), (B, n, d); the gradients may stand in a buffer that the next call uses."""
        if isinstance(self.module, MLP) and type(self.module).forward is MLP.forward:
            return self.module.stacked_value_and_gradient(parameters, x, self.workspace)
        return vmap(self._call_and_gradient)(parameters, x)

    def _call(self, parameters: Parameters, x: Tensor) -> Tensor:
        return functional_call(self.module, parameters, (x,))

    def _call_and_gradient(self, parameters: Parameters, x: Tensor) -> tuple[Tensor, Tensor]:
        value, pull_back, *_ = vjp(lambda inputs: self._call(parameters, inputs), x)
        (gradient,) = pull_back(torch.ones_like(value))
        return value, gradient
