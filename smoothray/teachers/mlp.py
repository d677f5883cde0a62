"""The default teacher: a multilayer perceptron that evaluates a whole bank of itself.

Penalties on the input gradient need a derivative of a derivative. Automatic differentiation makes many
passes over memory for it, and fresh memory for each; a bank of small networks then waits for memory
rather than for arithmetic. Here both passes are written out, and every large result goes into a buffer
of a `Workspace` that the next step uses again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from smoothray.teachers.defaults import ACTIVATION, HIDDEN


@dataclass(frozen=True)
class Activation:
    """An activation a = φ(z) whose derivatives are functions of a alone.

    apply(a) turns z into a in place; slope(a, out) writes φ'; bend(a, slope, p, q, out) writes φ'' · p,
    given q = p · φ'.
    """

    module: type[nn.Module]
    apply: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]
    bend: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def _tanh(a: Tensor) -> Tensor:
    # tanh(z) = 2 σ(2z) - 1: the vectorised sigmoid is three times as fast as tanh on a CPU.
    return a.mul_(2).sigmoid_().mul_(2).sub_(1)


def _tanh_slope(a: Tensor, out: Tensor) -> Tensor:
    return torch.addcmul(a.new_ones(()), a, a, value=-1, out=out)


def _tanh_bend(a: Tensor, slope: Tensor, p: Tensor, q: Tensor, out: Tensor) -> Tensor:
    return torch.mul(a, q, out=out).mul_(-2)


def _relu_bend(a: Tensor, slope: Tensor, p: Tensor, q: Tensor, out: Tensor) -> Tensor:
    return out.zero_()


def _softplus(a: Tensor) -> Tensor:
    return a.copy_(nn.functional.softplus(a, threshold=30))


def _softplus_slope(a: Tensor, out: Tensor) -> Tensor:
    return torch.neg(a, out=out).expm1_().neg_()


def _softplus_bend(a: Tensor, slope: Tensor, p: Tensor, q: Tensor, out: Tensor) -> Tensor:
    return torch.addcmul(q, q, slope, value=-1, out=out)


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(nn.Tanh, _tanh, _tanh_slope, _tanh_bend),
    "relu": Activation(nn.ReLU, torch.relu_, lambda a, out: out.copy_(a > 0), _relu_bend),
    "softplus": Activation(nn.Softplus, _softplus, _softplus_slope, _softplus_bend),
}


class Workspace:
    """Buffers by name, kept from step to step. What a call leaves in them holds until the next call."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, int, int], Tensor] = {}

    def take(self, name: str, layer: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
        key = (name, layer, shape[1])
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape != shape:
            buffer = self._buffers[key] = like.new_empty(shape)
        return buffer

    def product(self, name: str, layer: int, a: Tensor, b: Tensor) -> Tensor:
        """The batched product a @ b, (B, m, k) and (B, k, p) to (B, m, p), in a buffer."""
        rows, columns = a.shape[1], b.shape[2]
        if columns <= NARROW < rows:
            into = self.take(name, layer, (len(a), columns, rows), a)
            return torch.bmm(b.mT, a.mT, out=into).mT
        return torch.bmm(a, b, out=self.take(name, layer, (len(a), rows, columns), a))


NARROW = 16
"""Products with so few columns are computed transposed, which BLAS does five times as fast."""


def add_product(into: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a @ b to what `Workspace.product` returned for a product of the same shape."""
    if b.shape[2] <= NARROW < a.shape[1]:
        into.mT.baddbmm_(b.mT, a.mT)
    else:
        into.baddbmm_(a, b)


class MLP(nn.Module):
    """Linear layers with one activation between them: (n, d) -> (n,)."""

    def __init__(
        self, in_features: int, hidden: Sequence[int] = HIDDEN, activation: str = ACTIVATION
    ) -> None:
        super().__init__()
        self.activation = activation
        widths = [in_features, *hidden, 1]
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation].module()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(-1)

    def stacked_value(
        self, parameters: Mapping[str, Tensor], x: Tensor, workspace: Workspace | None = None
    ) -> Tensor:
        """B networks on their own rows: (B, n, d) -> (B, n). `parameters` carry a leading B.

        What a workspace's buffers hold, the gradients by the parameters among it, lasts until the next
        call with it: take the backward pass and use its result before that.
        """
        return self._evaluate(parameters, x, workspace, False)[0]

    def stacked_value_and_gradient(
        self, parameters: Mapping[str, Tensor], x: Tensor, workspace: Workspace | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same with the input gradients: (B, n), (B, n, d). Differentiable by the parameters."""
        return self._evaluate(parameters, x, workspace, True)

    def _evaluate(
        self,
        parameters: Mapping[str, Tensor],
        x: Tensor,
        workspace: Workspace | None,
        with_gradient: bool,
    ) -> tuple[Tensor, Tensor]:
        weights = [value for name, value in parameters.items() if name.endswith("weight")]
        biases = [value for name, value in parameters.items() if name.endswith("bias")]
        activation = ACTIVATIONS[self.activation]
        workspace = workspace or Workspace()
        return _ValueAndGradient.apply(activation, workspace, with_gradient, x, *weights, *biases)


class _ValueAndGradient(torch.autograd.Function):
    """f(x) and df/dx of stacked perceptrons, with the backward pass through both.

    Value: a_0 = x, a_l = φ(a_{l-1} W_lᵀ + b_l), f = a_L wᵀ + b. Gradient: p_L = w, q_l = p_l φ'(z_l),
    p_{l-1} = q_l W_l, df/dx = p_0. Without the gradient only the value's half is done.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        activation: Activation,
        workspace: Workspace,
        with_gradient: bool,
        x: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        depth = len(parameters) // 2
        weights, biases = parameters[:depth], parameters[depth:]
        rows = x.shape[:2]

        def buffer(name: str, layer: int, width: int) -> Tensor:
            return workspace.take(name, layer, (*rows, width), x)

        activations, slopes = [x], []
        for i, (weight, bias) in enumerate(zip(weights[:-1], biases[:-1], strict=True)):
            a = buffer("activation", i, weight.shape[1])
            torch.baddbmm(bias.unsqueeze(1), activations[-1], weight.mT, out=a)
            activations.append(activation.apply(a))
            if with_gradient or weight.requires_grad:
                slopes.append(activation.slope(a, buffer("slope", i, weight.shape[1])))
        value = torch.baddbmm(biases[-1].unsqueeze(1), activations[-1], weights[-1].mT).squeeze(-1)

        p = weights[-1].expand(-1, rows[1], -1)
        ps, qs = [], []
        if with_gradient:
            for i in reversed(range(depth - 1)):
                q = torch.mul(p, slopes[i], out=buffer("q", i, slopes[i].shape[-1]))
                ps.append(p)
                qs.append(q)
                p = workspace.product("p", i, q, weights[i])
        ctx.save_for_backward(*weights)
        ctx.tape = (activations, slopes, ps[::-1], qs[::-1])
        ctx.activation, ctx.buffer, ctx.with_gradient = activation, buffer, with_gradient
        ctx.workspace = workspace
        if not with_gradient:
            p = x.new_empty(0)
        elif depth == 1:
            p = p.clone()  # a network without hidden layers: p is its weights
        return value, p

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad_value, dp = grads
        weights = ctx.saved_tensors
        activations, slopes, ps, qs = ctx.tape
        buffer = ctx.buffer
        hidden = len(slopes)
        weight_grads: list[Any] = [None] * (hidden + 1)
        bias_grads: list[Any] = [None] * (hidden + 1)
        out = grad_value.unsqueeze(-1)

        product = ctx.workspace.product
        weight_grads[hidden] = product("weight", hidden, out.mT, activations[-1])
        bias_grads[hidden] = out.sum(1)
        bends, dqs = [], []
        if ctx.with_gradient:
            # Up through the gradient's own chain: it bends every pre-activation.
            for i in range(hidden):
                width = weights[i].shape[1]
                weight_grads[i] = product("weight", i, qs[i].mT, dp)
                dq = product("dq", i, dp, weights[i].mT)
                bend = buffer("bend", i, width)
                bends.append(ctx.activation.bend(activations[i + 1], slopes[i], ps[i], qs[i], bend))
                dqs.append(dq)
                dp = torch.mul(dq, slopes[i], out=buffer("dp", i, width))
            weight_grads[hidden] += dp.sum(1, keepdim=True)
        # Down through the value's chain, as ever.
        da = torch.mul(out, weights[hidden], out=buffer("da", hidden, weights[hidden].shape[2]))
        for i in reversed(range(hidden)):
            dz = da.mul_(slopes[i])
            if ctx.with_gradient:
                dz.addcmul_(bends[i], dqs[i])
                add_product(weight_grads[i], dz.mT, activations[i])
            else:
                weight_grads[i] = product("weight", i, dz.mT, activations[i])
            bias_grads[i] = dz.sum(1)
            if i:
                da = product("da", i, dz, weights[i])
        return (None, None, None, None, *weight_grads, *bias_grads)
