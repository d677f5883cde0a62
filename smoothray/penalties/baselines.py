"""The two baselines of every study, written as penalties so that nothing else treats them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smoothray.penalties.base import Network, Penalty

if TYPE_CHECKING:
    from torch import Tensor


class NoPenalty(Penalty):
    """The standard pipeline: a teacher trained on its squared error alone, then distilled."""

    name = "none"
    source = "the unregularised pipeline of arXiv 2507.22767"

    @classmethod
    def has_strength(cls) -> bool:
        return False

    def __call__(self, network: Network) -> Tensor:
        return network.outputs.new_zeros(network.outputs.shape[0])


class Direct(NoPenalty):
    """No teacher at all: the student is fitted to the labels."""

    name = "direct"
    source = "symbolic regression on the data, as SRBench does (La Cava et al. 2021)"
    has_teacher = False
