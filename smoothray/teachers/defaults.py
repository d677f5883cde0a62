"""How teachers are built and trained where nothing else is said; without torch, for studies to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HIDDEN = (64, 64)
"""Widths of the perceptron's hidden layers."""
ACTIVATION: Literal["tanh"] = "tanh"


@dataclass(frozen=True)
class Training:
    """How a bank is trained. `steps` and `patience` count gradient steps."""

    steps: int = 2000
    learning_rate: float = 5e-3
    patience: int = 400
    batch_size: int = 1024
    """Rows in a step; where the training set is not larger, every step sees all of it."""
    keep: Literal["best", "last"] = "best"
    """Which weights are kept: those of the best validation loss, or the last ones."""
