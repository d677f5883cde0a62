"""What every penalty is: a name, a default range, a source, and one number per network.

Penalties compute on tensors that they are given and import torch for type checking alone, so that a
study can be read and checked without loading it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Network:
    """One batch seen by a bank of B networks.

    outputs: (B, n) predictions, in standardised units.
    gradients: (B, n, d) derivatives of the outputs by the inputs, at the rows or between them (see
        `gradients_at`); None unless `uses_gradients`.
    matrices: the weight matrices, each (B, out, in).
    """

    outputs: Tensor
    gradients: Tensor | None
    matrices: tuple[Tensor, ...]


class Penalty(ABC):
    """A term added to the teacher's loss: loss_b = mean squared error_b + strength_b · penalty_b."""

    name: ClassVar[str]
    source: ClassVar[str]
    default_range: ClassVar[tuple[float, float] | None] = None
    """The strengths worth searching, on standardised inputs and target; None: they must be given."""
    has_teacher: ClassVar[bool] = True
    uses_gradients: ClassVar[bool] = False
    gradients_at: ClassVar[Literal["rows", "between"]] = "rows"
    """Where gradients are taken: at the step's training rows, or each time at another point between such a
    row and a near neighbour."""
    needs_layers: ClassVar[bool] = False
    """Whether `matrices` must be the whole network, a chain of linear and 1-Lipschitz layers."""

    @classmethod
    def has_strength(cls) -> bool:
        """Whether it takes a strength."""
        return True

    @abstractmethod
    def __call__(self, network: Network) -> Tensor:
        """The (B,) penalties of a bank's networks; differentiable, finite for finite weights."""
