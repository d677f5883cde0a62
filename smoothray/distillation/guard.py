"""Whether a formula can be trusted where no row is: between neighbours, and at the corners of their box."""

from __future__ import annotations

import numpy as np

from smoothray.datasets import augment
from smoothray.distillation.trial import Array, Trial
from smoothray.formulas import Program
from smoothray.seeds import generator

ROWS, CORNERS = 1000, 256
"""How many points there are of each kind, at most."""
INNER = 0.05, 0.95
"""The part of each column that the box holds. A few far rows make the whole box so wide that its corners
refuse formulas that are good: of 1,712 members of Operon's fronts on the 20 data sets 132 that predict well,
against 9, and none more of those that fail."""


class Guard:
    """Points between neighbouring training rows, and corners of the box that holds most of them.

    target: what formulas were fitted to, in the data's units.
    """

    def __init__(self, trial: Trial, target: Array) -> None:
        rng = generator(trial.seed, trial.dataset.name, trial.number, "guard")
        rows = trial.raw["train"]
        some = trial.x["train"][:: -(-len(rows) // ROWS)]
        between = trial.x_scaler.inverse(augment(some, 1, rng))
        low, high = np.quantile(rows, INNER, axis=0)
        corners = np.where(rng.random((CORNERS, rows.shape[1])) < 0.5, low, high)
        # By rounding a point may lie beyond its rows, where a root has no value.
        self.points = np.concatenate([np.clip(between, rows.min(0), rows.max(0)), corners])
        width = np.ptp(target)
        self.low, self.high = target.min() - width, target.max() + width

    def refuses(self, program: Program) -> bool:
        """Whether somewhere it has no value, or one further from the target's range than that is wide."""
        values = program.values(self.points)
        with np.errstate(invalid="ignore"):
            return not bool(((values >= self.low) & (values <= self.high)).all())
