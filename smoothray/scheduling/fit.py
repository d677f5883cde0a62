"""What a trial of Tune asks the pool of students for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from smoothray.records.schema import Record
from smoothray.study.plan import Key


class StudyEnded(Exception):
    """Nothing is fitted any more."""


class LostOutputs(Exception):
    """What a teacher says was lost with its process before a fit could begin."""


@dataclass(eq=False)
class Fit:
    """One fit to do. dataset and outputs are references to objects in Ray's store.

    deaths: the nodes on which a process died of it, or with it.
    """

    key: Key
    dataset: Any
    outputs: Any
    blank: Record
    timeout: float
    deaths: list[str] = field(default_factory=list)
