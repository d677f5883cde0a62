"""Arms as text, in one place: their names, the baselines among them, and their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

BASES = ("direct", "none", "weight_decay")
"""What a smooth penalty is compared with: the student alone, the standard pipeline, and the control
that smooths without looking at the function."""
EARLY, TO_THE_END = "early", "none"
"""A teacher's regime, in records' `stopping`: stopped early, or trained to the end."""
ENDING = " (trained to the end)"
"""What an arm's name ends in where its teachers were."""
BASE_NAMES = {
    "direct": "the direct fit",
    "none": "plain distillation",
    "weight_decay": "weight decay",
    "none_early": "plain distillation stopped early",
    "none_to_the_end": "plain distillation trained to the end",
}
"""Bases of comparisons; the last two are of another regime than the arm."""
PLAIN = ("direct", "none")
"""The baselines that smooth nothing, and so have no strength."""
PLACEBO = "placebo"
"""A penalty too weak to do anything: whatever is found of it is a false alarm."""
NOT_SMOOTH = (*BASES, PLACEBO)
ARM = ["penalty", "augment", "ensemble", "stopping"]
"""The columns that make an arm, without its strength."""
LATER: dict[str, Any] = {"stopping": EARLY, "restart": 0, "student_rows": float("nan")}
"""Fields that older records lack, and the values that such records count as."""


def completed(records: pd.DataFrame) -> pd.DataFrame:
    """The records with the fields of LATER, filled where they lack."""
    filled = {
        name: records[name].fillna(value) if name in records else value
        for name, value in LATER.items()
        if name not in records or (not pd.isna(value) and records[name].isna().any())
    }
    return records.assign(**filled) if filled else records


def arm_name(penalty: str, augment: int, ensemble: int, stopping: str = EARLY) -> str:
    """An arm without its strength, as text.

    >>> arm_name("jacobian", 4, 1), arm_name("none", 0, 5, "none")
    ('jacobian +4×points', 'none 5 networks (trained to the end)')
    """
    parts = [penalty]
    parts += [f"+{augment}×points"] if augment else []
    parts += [f"{ensemble} networks"] if ensemble > 1 else []
    return " ".join(parts) + (ENDING if stopping == TO_THE_END else "")


def arm_names(frame: pd.DataFrame) -> list[str]:
    """The name of each row's arm, of the columns ARM."""
    arms = completed(frame).groupby(ARM)
    keys: Any = list(arms.groups)  # in the order that ngroup numbers them
    names = [arm_name(p, int(a), int(e), s) for p, a, e, s in keys]
    return [names[place] for place in arms.ngroup()]


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
    """Arms' names with the baselines first, of whichever regime.

    >>> by_baseline(["lipschitz", "none (trained to the end)", "none", "direct"])
    ['direct', 'none', 'none (trained to the end)', 'lipschitz']
    """
    order = {name: place for place, name in enumerate(BASES)}
    return sorted(arms, key=lambda arm: (order.get(arm.removesuffix(ENDING), len(order)), arm))
