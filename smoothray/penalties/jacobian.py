from __future__ import annotations

from typing import TYPE_CHECKING

from smoothray.penalties.base import Network, Penalty

if TYPE_CHECKING:
    from torch import Tensor


def mean_squared_jacobian(gradients: Tensor) -> Tensor:
    """Mean over the rows of the squared Frobenius norm of the Jacobian: (..., n, d) -> (...)."""
    return gradients.square().sum(-1).mean(-1)


class Jacobian(Penalty):
    """Mean squared Frobenius norm of the input Jacobian at the training rows, exact."""

    name = "jacobian"
    source = "Drucker & Le Cun 1992 (double backpropagation); Hoffman et al. 2019, arXiv 1908.02729"
    default_range = (1e-3, 1.0)
    uses_gradients = True

    def __call__(self, network: Network) -> Tensor:
        assert network.gradients is not None
        return mean_squared_jacobian(network.gradients)
