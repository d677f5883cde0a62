"""Two penalties on the Lipschitz constant: an upper bound of it, and a sampled lower bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from smoothray.penalties.base import Network, Penalty

if TYPE_CHECKING:
    from torch import Tensor

CEILING = 1e4
"""Above this bound the product is continued logarithmically: see `tempered_exp`."""


def spectral_norm(matrix: Tensor) -> Tensor:
    """Largest singular value of each (..., out, in) matrix: (...), with its exact gradient u vᵀ.

    The leading pair comes from the eigenvectors of the smaller Gram matrix, taken as constants: by
    Danskin's theorem σ = uᵀ W v then has the right value and the right gradient, also where the
    largest singular value is repeated. A zero matrix gives 0 and a zero gradient.
    """
    import torch

    with torch.no_grad():
        size = matrix.abs().amax((-2, -1), keepdim=True).clamp_min(torch.finfo(matrix.dtype).tiny)
        unit = matrix / size
        tall = unit.shape[-2] >= unit.shape[-1]
        gram = unit.mT @ unit if tall else unit @ unit.mT
        leading = torch.linalg.eigh(gram).eigenvectors[..., -1:]
        other = torch.nn.functional.normalize((unit if tall else unit.mT) @ leading, dim=-2)
        u, v = (other, leading) if tall else (leading, other)
    return (u.mT @ matrix @ v)[..., 0, 0]


def log_lipschitz_bound(matrices: Sequence[Tensor]) -> Tensor:
    """Logarithm of the product of the spectral norms of `matrices`, each (..., out, in): (...).

    An upper bound of log Lipschitz constant where all other layers are 1-Lipschitz (Szegedy et al. 2014).
    A sum of logarithms cannot overflow, however deep the network.
    """
    total = matrices[0].new_zeros(matrices[0].shape[:-2])
    for matrix in matrices:
        norm = spectral_norm(matrix)
        total = total + norm.clamp_min(1e-12).log()
    return total


def tempered_exp(exponent: Tensor, ceiling: float = CEILING) -> Tensor:
    """exp(x) up to `ceiling`, continued there by its tangent: finite, increasing, C¹.

    Without it a deep network's product overflows, and well before that the square of its gradient does in
    Adam's second moment, after which the network stands still for good.
    """
    import torch

    # The excess by subtraction: at the ceiling itself two clamps would both pass their slope on.
    capped = exponent.clamp(max=math.log(ceiling))
    return torch.exp(capped) + ceiling * (exponent - capped)


class Lipschitz(Penalty):
    """Product of the layers' spectral norms, by exact singular values: a bound from above."""

    name = "lipschitz"
    source = "Szegedy et al. 2014, section 4.3; Yoshida & Miyato 2017; Gouk et al. 2021"
    default_range = (1e-3, 1.0)
    needs_layers = True

    def __call__(self, network: Network) -> Tensor:
        return tempered_exp(log_lipschitz_bound(network.matrices))


class SampledLipschitz(Penalty):
    """Largest squared gradient norm over the rows of the batch: a bound from below."""

    name = "lipschitz_sampled"
    source = "Gulrajani et al. 2017 (gradient penalty), with the maximum in place of the mean"
    default_range = (1e-3, 1.0)
    uses_gradients = True

    def __call__(self, network: Network) -> Tensor:
        assert network.gradients is not None
        return network.gradients.square().sum(-1).amax(-1)
