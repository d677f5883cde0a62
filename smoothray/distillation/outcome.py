"""What a fit came to, as tables: the front, and how all that was tried scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from smoothray.distillation.attempts import Attempt

SMOOTHNESS = (
    "teacher_jacobian", "teacher_gradient_max", "teacher_spectral",
    "student_jacobian", "student_gradient_max", "alignment",
)  # fmt: skip
ORIGIN = ("penalty", "strength", "restart", *SMOOTHNESS[:3])
"""What a pooled front says of each member's teacher."""
CURVE = {
    "student_r2_val": "r2_val",
    "teacher_r2_val": "teacher_r2_val",
    "fidelity_val": "fidelity_val",
    "complexity": "complexity",
    "teacher_jacobian": "teacher_jacobian",
    "student_jacobian": "student_jacobian",
    "formula": "formula",
}


def front(members: list[dict[str, Any]]) -> pd.DataFrame:
    """All formulas that a student offered, by complexity, with their scores."""
    kept = [
        "complexity", "complexity_standard", "formula", "r2_train", "r2_val", "fidelity_train",
        "fidelity_val", "val_loss_accuracy", "jacobian", "gradient_max", "chosen",
    ]  # fmt: skip
    frame = pd.DataFrame(members)
    kept += [name for name in ("unsafe", "simplified") if frame[name].notna().any()]
    kept += [name for name in ORIGIN if name in frame]
    return frame[kept].astype({"chosen": bool})


def curve(attempts: Sequence[Attempt]) -> pd.DataFrame:
    """A row an attempt; the first one was chosen."""
    rows = [
        {
            "penalty": attempt.arm.penalty,
            "strength": attempt.arm.strength,
            **{name: attempt.fields.get(field) for field, name in CURVE.items()},
            **{name: attempt.fields[name] for name in ("fits",) if name in attempt.fields},
            "chosen": attempt is attempts[0],
        }
        for attempt in attempts
    ]
    frame = pd.DataFrame(rows)
    return frame.sort_values(["penalty", "strength"], ignore_index=True, kind="stable")
