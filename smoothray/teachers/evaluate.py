"""Evaluate B networks of one architecture at once, with their input gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from smoothray.errors import TeacherError
from smoothray.teachers.mlp import MLP, Workspace

Parameters = dict[str, Tensor]
"""A bank's parameters and buffers by name, each with a leading axis of B networks."""


def _batched(call: Callable[..., Any], parameters: Parameters, x: Tensor) -> Any:
    try:
        return vmap(call)(parameters, x)
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        raise TeacherError(
            "the teacher cannot be batched by torch.vmap, which trains many networks at once; its forward "
            f"may not branch on values of its input: {' '.join(str(error).split())[:300]}"
        ) from None


@dataclass(frozen=True)
class Evaluator:
    """Any row-wise module through `vmap`; an MLP evaluates its stacks itself."""

    module: nn.Module
    template: nn.Module
    workspace: Workspace = field(default_factory=Workspace)

    @classmethod
    def of(cls, module: nn.Module, like: Tensor) -> Evaluator:
        """An evaluator of modules such as `module`, on the device and in the precision of `like`."""
        # vmap may leave its own tensors in the module that it calls, so a template stays apart.
        template = copy.deepcopy(module).to(like.device, like.dtype)
        return cls(copy.deepcopy(template), template)

    def fresh(self) -> nn.Module:
        return copy.deepcopy(self.template)

    def value(self, parameters: Parameters, x: Tensor) -> Tensor:
        """(B, n, d) -> (B, n)."""
        if isinstance(self.module, MLP) and type(self.module).forward is MLP.forward:
            return self.module.stacked_value(parameters, x, self.workspace)
        return _batched(self._call, parameters, x)

    def value_and_gradient(self, parameters: Parameters, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, n, d) -> (B, n), (B, n, d); the gradients may stand in a buffer that the next call uses."""
        if isinstance(self.module, MLP) and type(self.module).forward is MLP.forward:
            return self.module.stacked_value_and_gradient(parameters, x, self.workspace)
        return _batched(self._call_and_gradient, parameters, x)

    def _call(self, parameters: Parameters, x: Tensor) -> Tensor:
        return functional_call(self.module, parameters, (x,))

    def _call_and_gradient(self, parameters: Parameters, x: Tensor) -> tuple[Tensor, Tensor]:
        value, pull_back, *_ = vjp(lambda inputs: self._call(parameters, inputs), x)
        (gradient,) = pull_back(torch.ones_like(value))
        return value, gradient
