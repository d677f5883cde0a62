"""A table's distiller, the direct fit beside it, and how both did on rows that were left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from smoothray.datasets import Dataset
from smoothray.datasets.splits import holdout
from smoothray.distillation.attempts import logger
from smoothray.distillation.distiller import SymbolicDistiller
from smoothray.distillation.stability import Stability, stability_of
from smoothray.errors import StudentError, TeacherError
from smoothray.formulas.dimensions import UnitCheck
from smoothray.metrics.scores import r2

AUTO_SECONDS, AUTO_REPEATS = 60.0, 5
"""Without a number of repeats there are so many, or as many as take no longer."""


def automatic_repeats(seconds: float) -> int:
    """How many splits to try where nobody said, if one takes so many seconds.

    >>> automatic_repeats(2.0), automatic_repeats(20.0), automatic_repeats(61.0)
    (5, 4, 1)
    """
    return min(AUTO_REPEATS, 1 + int(AUTO_SECONDS / max(seconds, 1e-9)))


@dataclass(frozen=True, eq=False)
class Distilled:
    """A distiller and a direct fit on the same rows of a data set, and the rows that were left out."""

    model: SymbolicDistiller
    direct: SymbolicDistiller
    dataset: Dataset
    seed: int
    test_size: float = 0.25
    stability: Stability | None = None

    @classmethod
    def of(
        cls, model: SymbolicDistiller, dataset: Dataset, seed: int, test_size: float = 0.25
    ) -> Distilled:
        """Fit both on all rows but the test rows, each for the model's `max_seconds`. After Ctrl-C, which
        ends such a search early, the direct fit is a quick one."""
        training, _ = holdout(len(dataset.y), seed, test_size)
        direct = SymbolicDistiller(
            **{
                **model.get_params(),
                **{"penalty": "direct", "strength": "auto", "augment": 0, "monotone": None},
            }
        )
        rows = frame_of(dataset, training), dataset.y[training]
        model.fit(*rows)
        try:
            stopped = was_interrupted(model)
            if not stopped:
                direct.fit(*rows)
        except KeyboardInterrupt:
            if model.search_ is None:
                raise
            stopped = True
        if stopped:
            logger.info("stopped; a quick direct fit to compare with, then the result")
            direct.set_params(max_seconds=None, budget="quick").fit(*rows)
        distilled = cls(model, direct, dataset, seed, test_size)
        if dataset.encoding is not None:
            model.encoding_ = dataset.encoding.on(dataset.X[training])
        model.scores_ = distilled.scores()
        return distilled

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C ended one of the searches early."""
        if self.model.search_ is None:
            return False
        return self.direct.search_ is None or was_interrupted(self.direct)

    @property
    def direct_name(self) -> str:
        """What the direct fit is called, which has had the same time or not."""
        if self.model.search_ is None:
            return "direct fit, without a teacher"
        return f"direct fit, {'less' if self.is_interrupted else 'same'} time"

    def picked(self, complexity: int) -> Distilled:
        """The same with the front's best formula of at most so many nodes, and the direct fit's; the shortest
        where none is so short."""
        model, direct = (
            each.select(max(complexity, int(each.pareto_front_["complexity"].min())))
            for each in (self.model, self.direct)
        )
        picked = replace(self, model=model, direct=direct)
        picked.model.scores_ = picked.scores()
        return picked

    def repeated(self, repeats: int, complexity: int | None = None) -> Distilled:
        """The same with what came of it on so many splits, this one the first of them."""
        if repeats < 2:
            return self
        dataset = self.dataset
        model = clone(self.model)
        model._names = dataset.feature_names
        seeds = range(self.seed + 1, self.seed + repeats)
        try:
            others = stability_of(model, dataset.X, dataset.y, seeds, self.test_size, complexity)
        except (StudentError, TeacherError) as error:
            logger.info("the other splits gave nothing: %s", error)
            others = Stability(pd.DataFrame(), dataset.feature_names, len(seeds))
        first = {
            "seed": self.seed,
            **self.scores(),
            "complexity": self.model.complexity_,
            "direct_complexity": self.direct.complexity_,
            "penalty": self.model.penalty_,
            "strength": self.model.strength_,
            "formula": self.model.formula_,
            "direct_formula": self.direct.formula_,
        }
        together = pd.concat([pd.DataFrame([first]), others.repeats], ignore_index=True)
        return replace(self, stability=replace(others, repeats=together))

    @cached_property
    def units(self) -> UnitCheck | None:
        """Whether the formula's units are consistent; None where none were given."""
        if self.model.units is None:
            return None
        check: Any = self.model.check_units()  # of a table's one target
        return check

    @property
    def without_unit(self) -> tuple[str, ...]:
        """Columns of the formula that no unit was given for."""
        expr: Any = self.model.sympy()
        used = {symbol.name for symbol in expr.free_symbols}
        return tuple(sorted(used - set(self.model.units or ())))

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        return holdout(len(self.dataset.y), self.seed, self.test_size)

    @property
    def training(self) -> np.ndarray:
        """The rows that both are fitted to: all but the test rows, of large tables some."""
        return self._parts[0]

    @property
    def test(self) -> np.ndarray:
        return self._parts[1]

    def scores(self) -> dict[str, float]:
        """R² on the test rows, which nothing was chosen by."""
        rows, truth = frame_of(self.dataset, self.test), self.dataset.y[self.test]
        formula = self.model.predict(rows)
        teacher = self.model.teacher_.predict(rows.to_numpy())
        return {
            "r2_test": r2(truth, formula),
            "teacher_r2_test": r2(truth, teacher),
            "fidelity_test": r2(teacher, formula),
            "direct_r2_test": r2(truth, self.direct.predict(rows)),
        }


def was_interrupted(model: SymbolicDistiller) -> bool:
    return bool(model.search_ and model.search_["interrupted"])


def frame_of(dataset: Dataset, rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(dataset.X[rows], columns=list(dataset.feature_names))
