from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from smoothray.penalties.base import Network, Penalty

if TYPE_CHECKING:
    from torch import Tensor


def mean_squared_jacobian(gradients: Tensor) -> Tensor:
    """Mean over the rows of the squared Frobenius norm of the Jacobian: (..., n, d) -> (...)."""
    return gradients.square().sum(-1).mean(-1)


class Jacobian(Penalty):
    """Mean squared Frobenius norm of the input Jacobian at the training rows, exact."""

    name = "jacobian"
    source: ClassVar[str] = (
        "Drucker & Le Cun 1992 (double backpropagation); Hoffman et al. 2019, arXiv 1908.02729"
    )
    default_range: ClassVar[tuple[float, float] | None] = (1e-3, 1.0)
    uses_gradients = True

    def __call__(self, network: Network) -> Tensor:
        assert network.gradients is not None
        return mean_squared_jacobian(network.gradients)


class JacobianBetween(Jacobian):
    """The same as `jacobian`, at random points between neighbouring training rows, drawn anew each step.

    At the rows alone a network may turn flat there and steep between them.
    """

    name = "jacobian_between"
    source = "as `jacobian`; the points as in mixup (Zhang et al. 2018), between near neighbours"
    gradients_at = "between"


class Placebo(Jacobian):
    """`jacobian` at a strength that changes nothing: what an analysis finds of it is a false alarm."""

    name = "placebo"
    source = "a negative control (Lipsitch et al., Epidemiology 21, 2010)"
    default_range = None
    strength = 1e-9

    @classmethod
    def has_strength(cls) -> bool:
        return False
