"""Arms as text, in one place: their names, the baselines among them, and their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

BASES = ("direct", "none", "weight_decay")
"""What a smooth penalty is compared with: the student alone, the standard pipeline, and the control
that smooths without looking at the function."""
BASE_NAMES = {
    "direct": "the direct fit",
    "none": "plain distillation",
    "weight_decay": "weight decay",
}
PLAIN = ("direct", "none")
"""The baselines that smooth nothing, and so have no strength."""
ARM = ["penalty", "augment", "ensemble"]
"""The columns that make an arm, without its strength."""


def arm_name(penalty: str, augment: int, ensemble: int) -> str:
    """An arm without its strength, as text.

    >>> arm_name("jacobian", 4, 1)
    'jacobian +4×points'
    """
    parts = [penalty]
    parts += [f"+{augment}×points"] if augment else []
    parts += [f"{ensemble} networks"] if ensemble > 1 else []
    return " ".join(parts)


def arm_names(frame: pd.DataFrame) -> list[str]:
    """The name of each row's arm, of the columns ARM."""
    columns = (frame[name] for name in ARM)
    return [arm_name(p, int(a), int(e)) for p, a, e in zip(*columns, strict=True)]


def who(arm: str, student: str, several: bool) -> str:
    """An arm's name where there may be several students.

    >>> who("jacobian", "operon", several=True)
    'jacobian (operon)'
    """
    return f"{arm} ({student})" if several else arm


def several_students(frame: pd.DataFrame) -> bool:
    """Whether arms have to be named with their student."""
    return frame["student"].nunique() > 1


def strength_text(strength: Any) -> str:
    """A strength as a page shows it, empty where there is none.

    >>> strength_text(0.1), strength_text(None)
    (' λ=0.1', '')
    """
    return "" if pd.isna(strength) else f" λ={strength:.3g}"


def by_baseline(arms: Iterable[str]) -> list[str]:
    """Arms' names with the baselines first.

    >>> by_baseline(["lipschitz", "none", "direct"])
    ['direct', 'none', 'lipschitz']
    """
    order = {name: place for place, name in enumerate(BASES)}
    return sorted(arms, key=lambda arm: (order.get(arm, len(order)), arm))
