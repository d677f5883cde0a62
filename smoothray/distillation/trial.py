"""One trial: a split of a data set, standardised, and what a teacher hands over on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from smoothray.datasets import Dataset, Scaler, TargetScaler, augment, split
from smoothray.seeds import generator, seed

Array = NDArray[np.float64]
PARTS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Trial:
    """One split of one data set. `raw` is in the data's units; x and y are standardised on train alone.

    weights: the rows' weights for each part, of mean 1; None: all count the same. draw: of several fits to
    the same teacher, each with a student seed of its own, which this is. restart: of several attempts on the
    same rows, each with first weights and a student seed of its own, which this is.
    """

    dataset: Dataset
    number: int
    seed: int
    raw: dict[str, Array]
    x: dict[str, Array]
    y: dict[str, Array]
    x_scaler: Scaler
    y_scaler: TargetScaler
    weights: dict[str, Array] | None = None
    draw: int = 0
    restart: int = 0

    @classmethod
    def of(cls, dataset: Dataset, number: int, seed: int, restart: int = 0) -> Trial:
        """A study's trial: the rows are split by its seed, the data set's name and the trial's number."""
        rows = split(len(dataset.y), dataset.name, number, seed)
        index = {part: getattr(rows, part) for part in PARTS}
        return replace(cls.on(dataset, number, seed, index), restart=restart)

    @classmethod
    def on(
        cls,
        dataset: Dataset,
        number: int,
        seed: int,
        index: Mapping[str, NDArray[np.int64]],
        weights: Array | None = None,
    ) -> Trial:
        """A trial on given rows. index: the rows of each of PARTS. weights: (n,), of all rows."""
        x_scaler = Scaler.fit(dataset.X[index["train"]])
        y_scaler = TargetScaler.fit(dataset.y[index["train"]])
        return cls(
            dataset,
            number,
            seed,
            {part: dataset.X[i] for part, i in index.items()},
            {part: x_scaler.transform(dataset.X[i]) for part, i in index.items()},
            {part: y_scaler.transform(dataset.y[i]) for part, i in index.items()},
            x_scaler,
            y_scaler,
            None if weights is None else {p: _of_mean_1(weights[i]) for p, i in index.items()},
        )

    def new_points(self, k: int) -> Array:
        """k new standardised inputs per training row, (k·n, d); the same for every arm of the trial."""
        rng = generator(self.seed, self.dataset.name, self.number, "augment", k)
        return augment(self.x["train"], k, rng)

    def student_rows(self, most: int | None, total: int) -> NDArray[np.int64] | None:
        """Of `total` rows those that a student sees, in order, the same for every arm; None: all."""
        if most is None or total <= most:
            return None
        rng = generator(self.seed, self.dataset.name, self.number, "rows")
        return np.sort(rng.choice(total, most, replace=False))

    @property
    def student_seed(self) -> int:
        return seed(*self._attempt("student"), *([self.draw] if self.draw else []))

    def teacher_seeds(self, ensemble: int) -> list[int]:
        return [seed(*self._attempt("teacher"), member) for member in range(ensemble)]

    def _attempt(self, what: str) -> tuple[object, ...]:
        names = (self.seed, self.dataset.name, self.number, what)
        return (*names, "restart", self.restart) if self.restart else names


@dataclass(frozen=True, eq=False)
class TeacherOutputs:
    """What a teacher hands to its students, all standardised.

    outputs: its predictions for each part, (n_part,). new: for each k its labels of `new_points(k)`.
    jacobian, gradient_max: on the test rows; nan where a teacher gives no gradients. spectral: the layers'
    bound, None where there is none. seconds: its share of the bank's training time. gradients: on the test
    rows, (n_test, d). slopes: where a student is to match them, those on the train rows and, by k, on
    `new_points(k)`.
    """

    outputs: dict[str, Array]
    new: dict[int, Array]
    jacobian: float
    gradient_max: float
    spectral: float | None
    seconds: float
    gradients: Array | None = field(default=None, repr=False)
    slopes: dict[str | int, Array] | None = field(default=None, repr=False)


def _of_mean_1(weights: Array) -> Array:
    mean = weights.mean()
    return weights / mean if mean > 0 else np.ones_like(weights)
