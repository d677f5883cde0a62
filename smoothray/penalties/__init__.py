"""Smoothness penalties, by name. To add one: subclass `Penalty` and add a line to `PENALTIES`."""

from __future__ import annotations

from smoothray.penalties.base import Network, Penalty
from smoothray.penalties.baselines import Direct, NoPenalty
from smoothray.penalties.jacobian import Jacobian
from smoothray.penalties.lipschitz import Lipschitz, SampledLipschitz
from smoothray.penalties.weight_decay import WeightDecay

PENALTIES: dict[str, type[Penalty]] = {
    penalty.name: penalty
    for penalty in (NoPenalty, Direct, Jacobian, Lipschitz, SampledLipschitz, WeightDecay)
}

__all__ = ["PENALTIES", "Network", "Penalty"]
