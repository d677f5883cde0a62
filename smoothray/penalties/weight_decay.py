from __future__ import annotations

from typing import TYPE_CHECKING

from smoothray.penalties.base import Network, Penalty

if TYPE_CHECKING:
    from torch import Tensor


class WeightDecay(Penalty):
    """Sum of the squared weights (biases free): a control that smooths without looking at the function."""

    name = "weight_decay"
    source = "Krogh & Hertz 1991"
    default_range = (1e-5, 1e-2)

    def __call__(self, network: Network) -> Tensor:
        total = network.outputs.new_zeros(network.outputs.shape[0])
        for matrix in network.matrices:
            total = total + matrix.square().sum((-2, -1))
        return total
