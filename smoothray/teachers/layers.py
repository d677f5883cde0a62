"""What a network is made of: whether a bank can train it, and whether its layers bound its slope."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smoothray.errors import TeacherError
from smoothray.penalties import Penalty
from smoothray.teachers.mlp import MLP

ONE_LIPSCHITZ = (
    nn.Identity,
    nn.Tanh,
    nn.ReLU,
    nn.LeakyReLU,
    nn.Softplus,
    nn.Sigmoid,
    nn.Hardtanh,
    nn.ReLU6,
    nn.Softsign,
    nn.Flatten,
    nn.Unflatten,
)
"""Layers that never stretch a distance (LeakyReLU and Softplus for their usual parameters)."""


SHAPES = (nn.Identity, nn.Flatten, nn.Unflatten)
"""Layers that leave the numbers as they are."""


def chain_weights(module: nn.Module) -> list[str] | None:
    """Names of the weight matrices, if the network is a plain chain of linear and 1-Lipschitz layers.

    Only then is the product of their spectral norms a bound of the Lipschitz constant. None otherwise:
    for layers of another kind, and for modules with a `forward` of their own (they may hold skips).
    """
    # A shared matrix counts each time that it is applied, under the one name that it has.
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    weights = [layer.weight for layer in chain_layers(module) or [] if type(layer) is nn.Linear]
    return [names[id(weight)] for weight in weights] or None


def chain_layers(module: nn.Module) -> list[nn.Module] | None:
    """The layers of such a chain in their order, without those that only reshape; None if it is none."""
    if isinstance(module, MLP) and type(module).forward is MLP.forward:
        module = module.layers
    if not isinstance(module, nn.Sequential) or type(module).forward is not nn.Sequential.forward:
        return None
    layers: list[nn.Module] = []
    for layer in module:
        if isinstance(layer, nn.Sequential | MLP):
            inner = chain_layers(layer)
            if inner is None:
                return None
            layers += inner
        elif type(layer) is nn.Linear or _stretches_nothing(layer):
            layers += [layer] if type(layer) not in SHAPES else []
        else:
            return None
    return layers


def _stretches_nothing(layer: nn.Module) -> bool:
    if type(layer) is nn.LeakyReLU:
        return abs(layer.negative_slope) <= 1
    return type(layer) in ONE_LIPSCHITZ


def refuse_unsuitable(module: nn.Module, penalty: Penalty, x: Tensor) -> None:
    """Raise TeacherError unless a bank can train `module` under `penalty`; x is (n, d), some rows."""
    for name, layer in module.named_modules():
        where = f"layer '{name}' ({type(layer).__name__})"
        if isinstance(layer, nn.modules.batchnorm._NormBase):
            raise TeacherError(
                f"{where} mixes rows, and a teacher must treat each row alone; use LayerNorm instead."
            )
        if isinstance(layer, nn.modules.dropout._DropoutNd):
            raise TeacherError(
                f"{where} is random, and a teacher must be deterministic; take it out "
                "(penalties and early stopping regularise here)."
            )
    parameter = next((p for p in module.parameters() if p.requires_grad), None)
    if parameter is None:
        raise TeacherError("The teacher has no parameters to train (or all of them are frozen).")
    x = x.to(parameter.dtype)
    with torch.no_grad():
        together = _outputs(module, x)
        alone = torch.cat([_outputs(module, row.unsqueeze(0)) for row in x])
    if not torch.allclose(together, alone, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise TeacherError(
            "The teacher's output for a row changes with the other rows; each row must be treated alone."
        )
    if penalty.needs_layers and chain_weights(module) is None:
        raise TeacherError(
            f"The penalty '{penalty.name}' bounds the slope by the layers' weights, which holds only "
            "for a chain of linear and 1-Lipschitz layers (tanh, relu, softplus, …). "
            "Use 'jacobian' or 'lipschitz_sampled' for this teacher."
        )


def _outputs(module: nn.Module, x: Tensor) -> Tensor:
    try:
        outputs: Tensor = module(x)
    except RuntimeError as error:
        raise TeacherError(
            f"The teacher cannot take inputs of shape {tuple(x.shape)}: {error}"
        ) from error
    if outputs.shape != (len(x),):
        raise TeacherError(
            f"The teacher must map (n, d) to (n,), but mapped {tuple(x.shape)} to "
            f"{tuple(outputs.shape)}; end it with a layer such as Flatten(0)."
        )
    return outputs
