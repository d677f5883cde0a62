"""Smoothness penalties, by name. To add one: subclass `Penalty` and add a line to `PENALTIES`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from smoothray.penalties.base import Network, Penalty
from smoothray.penalties.baselines import Direct, NoPenalty
from smoothray.penalties.jacobian import Jacobian, JacobianBetween, Placebo
from smoothray.penalties.lipschitz import Lipschitz, SampledLipschitz
from smoothray.penalties.weight_decay import WeightDecay
from smoothray.plugins import Family

PENALTIES: dict[str, type[Penalty]] = {
    penalty.name: penalty
    for penalty in (
        NoPenalty,
        Direct,
        Jacobian,
        JacobianBetween,
        Lipschitz,
        SampledLipschitz,
        WeightDecay,
        Placebo,
    )
}
"""name -> class: ours, and what is entered at run time, for that process alone."""
_PENALTIES = Family("penalty", Penalty, PENALTIES, ("name",))  # type: ignore[type-abstract]


def find_penalty(name: Any, offered: Iterable[str] | None = None) -> type[Penalty]:
    """The penalty of a name, an entry point's name or an import path.

    offered: the names of ours that an error shows, by default all. Raises PluginError.
    """
    return _PENALTIES.find(name, offered)


def try_penalty(name: str) -> None:
    """Have a penalty that is not ours do its work once, on made-up networks. Raises PluginError.

    Ours are not tried: torch takes seconds to load.
    """
    penalty = find_penalty(name)
    if not penalty.__module__.startswith("smoothray."):
        from smoothray.penalties.rehearsal import rehearse

        rehearse(name, penalty)


__all__ = ["PENALTIES", "Network", "Penalty", "find_penalty", "try_penalty"]
