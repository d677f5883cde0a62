"""How far a formula is to be trusted: the same search on other rows and with other seeds."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sympy import Expr, Symbol

from smoothray.datasets.splits import holdout
from smoothray.distillation.anytime import Spent, search
from smoothray.distillation.attempts import Attempt, attempt_all, candidate_arms
from smoothray.distillation.checks import settings_of
from smoothray.distillation.choice import of_size
from smoothray.errors import StudentError
from smoothray.formulas import Program, parse, structure_of
from smoothray.metrics.scores import r2

if TYPE_CHECKING:
    from smoothray.distillation.distiller import SymbolicDistiller

Array = NDArray[np.float64]
SCORES = ("r2_test", "teacher_r2_test", "direct_r2_test", "fidelity_test")


@dataclass(frozen=True, eq=False)
class Stability:
    """What came of the same search on several splits of a table, each with a seed of its own.

    Attributes:
        repeats: a row for each split that a formula came of: seed, r2_test, teacher_r2_test, fidelity_test,
            direct_r2_test (each on that split's test rows; nan where there is none), complexity,
            direct_complexity, penalty, strength, formula, direct_formula.
        names: the data's columns.
        failed: how many splits gave no formula.
    """

    repeats: pd.DataFrame
    names: tuple[str, ...]
    failed: int = 0

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Median, smallest and largest of each score, a row each."""
        columns = self.repeats[list(SCORES)].astype(float)
        return pd.DataFrame(
            {"median": columns.median(), "lowest": columns.min(), "highest": columns.max()}
        )

    @property
    def beats_direct(self) -> int:
        """In how many of the splits the distilled formula beat the direct fit on the test rows."""
        return int((self.repeats["r2_test"] > self.repeats["direct_r2_test"]).sum())

    @cached_property
    def columns(self) -> pd.Series:
        """The part of the formulas that each column is in, the most frequent first."""
        counts = Counter(symbol.name for expr in self._expressions for symbol in expr.free_symbols)
        shares = {name: counts[name] / len(self.repeats) for name in self.names}
        return pd.Series(shares).sort_values(ascending=False, kind="stable")

    @cached_property
    def structures(self) -> pd.DataFrame:
        """The structures of the formulas, the most frequent first, the shorter of equals.

        Columns: structure (constants are c1, c2, ...), count, r2_test (median), complexity (median), and
        constants: for each a tuple (median, lowest, highest), in their order.
        """
        structures = [structure_of(expr) for expr in self._expressions]
        texts = np.array([each.text for each in structures])
        rows = []
        for text in dict.fromkeys(texts):
            places = np.flatnonzero(texts == text)
            alike = self.repeats.iloc[places]
            values = np.array([structures[place].constants for place in places])
            rows.append(
                {
                    "structure": str(text),
                    "count": len(places),
                    "r2_test": float(alike["r2_test"].median()),
                    "complexity": float(alike["complexity"].median()),
                    "constants": _ranges(values),
                }
            )
        frame = pd.DataFrame(rows)
        return frame.sort_values(
            ["count", "complexity"], ascending=[False, True], ignore_index=True, kind="stable"
        )

    @cached_property
    def _expressions(self) -> list[Expr]:
        symbols = {name: Symbol(name) for name in self.names}
        return [parse(formula, symbols) for formula in self.repeats["formula"]]


def _ranges(values: Array) -> list[tuple[float, float, float]]:
    """Of constants (fits, k): median, smallest and largest of each."""
    return [
        (float(np.median(column)), float(column.min()), float(column.max())) for column in values.T
    ]


def stability_of(
    model: SymbolicDistiller,
    X: Array,
    y: Array,
    seeds: Sequence[int],
    test_size: float,
    complexity: int | None = None,
) -> Stability:
    """Fit the model's formula and a direct fit for each seed, all teachers of a penalty in one bank and all
    students side by side.

    model: one that has seen the data's columns; its parameters but for random_state decide. X: (n, d).
    y: (n,). seeds: one for each split; each gives what `fit` gives on that split's training rows with it as
    random_state (teachers of other banks may differ in their last digits). complexity: of each front the
    best member of at most so many nodes is taken; None: the one that is chosen.

    Raises StudentError where no split gave a formula, KeyboardInterrupt at Ctrl-C: what shorter searches give
    is no sign of how the whole ones vary.
    """
    arms, student, teacher = settings_of(model)
    parts = [holdout(len(y), seed, test_size) for seed in seeds]
    trials = [
        model._trial(X[rows], y[rows], None, model._seed(seed))
        for seed, (rows, _) in zip(seeds, parts, strict=True)
    ]
    shared: dict[str, Any] = {
        "n_jobs": model.n_jobs,
        "timeout": None if model.timeout is None else student.timeout,
        "all_needed": False,
    }
    seconds = None if model.max_seconds is None else model.max_seconds * len(trials)
    how = trials, candidate_arms("direct", "auto", 0), student, "accuracy", teacher
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the search was stopped")
        smooth, spent = model._attempts(trials, arms, student, teacher, seconds, **shared)
        _unless_stopped(spent)
        if seconds is None:
            plain = attempt_all(*how, **shared)
        else:
            plain, spent = search(*how, seconds, **shared)
            _unless_stopped(spent)
    rows = [
        _scored(
            seed,
            of_size(found[0], complexity),
            of_size(direct[0], complexity) if direct else None,
            model._names,
            X,
            y,
            *part,
        )
        for seed, found, direct, part in zip(seeds, smooth, plain, parts, strict=True)
        if found
    ]
    if not rows:
        raise StudentError("none of the repeats gave a formula")
    return Stability(pd.DataFrame(rows), model._names, len(seeds) - len(rows))


def _unless_stopped(spent: Spent | None) -> None:
    if spent is not None and spent.interrupted:
        raise KeyboardInterrupt


def _scored(
    seed: int,
    attempt: Attempt,
    direct: Attempt | None,
    names: tuple[str, ...],
    X: Array,
    y: Array,
    training: NDArray[np.int64],
    test: NDArray[np.int64],
) -> dict[str, Any]:
    mean = float(y[training].mean())
    values = _values(attempt, names, X[test], mean)
    taught = None if attempt.teacher is None else attempt.teacher.predict(X[test])
    plain = None if direct is None else _values(direct, names, X[test], mean)
    return {
        "seed": seed,
        "r2_test": r2(y[test], values),
        "teacher_r2_test": np.nan if taught is None else r2(y[test], taught),
        "fidelity_test": np.nan if taught is None else r2(taught, values),
        "direct_r2_test": np.nan if plain is None else r2(y[test], plain),
        "complexity": attempt.fields["complexity"],
        "direct_complexity": None if direct is None else direct.fields["complexity"],
        "penalty": attempt.arm.penalty,
        "strength": attempt.arm.strength,
        "formula": attempt.fields["formula"],
        "direct_formula": None if direct is None else direct.fields["formula"],
    }


def _values(attempt: Attempt, names: Sequence[str], X: Array, mean: float) -> Array:
    """The formula on rows; the training target's mean where it has no value, as in `predict`."""
    expr = parse(attempt.fields["formula"], {name: Symbol(name) for name in names})
    values = Program(expr, names).values(X)
    return np.where(np.isfinite(values), values, mean)
