"""How much of their fronts records keep."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from smoothray.records.schema import Record

FRONTS = ("all", "scores", "none")
"""How much of the fronts a file takes: whole; the scores of the members that validation rows can choose
(`scores_of`); nothing."""
SCORED = (
    "complexity", "complexity_standard", "native", "chosen", "r2_val", "r2_test", "fidelity_test",
    *[f"val_{what}_{aim}" for what in ("loss", "error") for aim in ("accuracy", "fidelity")],
    "jacobian", "unsafe",
)  # fmt: skip
LARGEST = 3e38
"""Single precision goes as far."""


def kept_of_front(record: Record) -> str:
    """How much of a record's front there is: one of FRONTS."""
    front = record["front"]
    if front is None:
        return "none"
    return "scores" if front and front[0].get("formula") is None else "all"


def says_more(record: Record, known: Record) -> bool:
    """Whether a record says more of its fit than the one that is known: that it ended well, or, of the same
    formula, more of its front."""
    if record["status"] != known["status"]:
        return bool(record["status"] == "ok")
    more = FRONTS.index(kept_of_front(record)) < FRONTS.index(kept_of_front(known))
    return bool(more and record["formula"] == known["formula"])


def scores_of(front: Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]] | None:
    """The members of a front that a rule can choose: those whose validation loss, against the labels or the
    teacher, is below that of all smaller ones, in either count of nodes; the recorded choice, the student's
    own and the last. None of None.

    Unsafe members are left out where a safe one can be chosen, as every rule does.
    """
    if front is None:
        return None
    kept = {place for place, m in enumerate(front) if m.get("chosen") or m.get("native")}
    safe = [place for place, member in enumerate(front) if not member.get("unsafe")]
    kept.update((safe or [*range(len(front))])[-1:])
    for loss in ("val_loss_accuracy", "val_loss_fidelity"):
        losses = [_finite(member.get(loss)) for member in front]
        places = [place for place in safe if losses[place] < math.inf] or [*range(len(front))]
        for size in ("complexity", "complexity_standard"):
            least = math.inf
            for place in sorted(places, key=lambda at: (front[at].get(size) or 0, losses[at])):
                if losses[place] < least:
                    least = losses[place]
                    kept.add(place)
    return [_single(front[place]) for place in sorted(kept)]


def _finite(loss: float | None) -> float:
    return math.inf if loss is None or not math.isfinite(loss) else loss


def _single(member: Mapping[str, Any]) -> dict[str, Any]:
    """A member's SCORED, the finite ones within single precision's range."""
    return {
        name: min(max(value, -LARGEST), LARGEST)
        if isinstance(value, float) and math.isfinite(value)
        else value
        for name, value in ((name, member.get(name)) for name in SCORED)
    }
