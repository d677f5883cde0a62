"""Train, validation and test rows of one trial."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothray.errors import DataError
from smoothray.seeds import generator

TABLE = "table"  # not the file's name: a renamed file gives the same formula
MAX_TRAIN = 10_000  # as SRBench (La Cava et al., 2021) caps its training rows


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers of the three parts, each sorted and (n_part,), without overlap."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


def split(
    n: int,
    name: str,
    trial: int,
    seed: int = 0,
    *,
    max_train: int | None = MAX_TRAIN,
    test_size: float = 0.25,
) -> Split:
    """Split n rows: a quarter is test, a fifth of the rest validation, what remains train.

    Rows are drawn by (seed, name, trial) alone, so every arm and student of a trial sees the same
    ones; the sizes depend on n and `max_train` alone, so a data set's trials fit in one batch.

    Args:
        n: rows of the data set, at least 3.
        name: the data set's short name.
        trial: the trial's number.
        seed: the study's seed.
        max_train: the most rows outside test; of more, a random part is left unused. None: all.
        test_size: the share of rows that are test, between 0 and 1.

    Raises:
        DataError: fewer than 3 rows, or a share that leaves too few for training or for a test.

    >>> parts = split(100, "diabetes", trial=0)
    >>> len(parts.train), len(parts.val), len(parts.test)
    (60, 15, 25)
    """
    if n < 3:
        raise DataError(f"data set '{name}': {n} rows cannot be split in three; at least 3 needed")
    rows = generator(seed, name, trial, "split").permutation(n)
    tested = math.ceil(n * test_size)
    if not 0 < test_size < 1 or tested > n - 2:
        raise DataError(
            f"a test size of {test_size:g} cannot be: take a share between 0 and 1 that leaves at least "
            f"2 of {n} rows for training"
        )
    test, rest = np.split(rows, [tested])
    rest = rest[:max_train]
    val, train = np.split(rest, [max(1, round(len(rest) / 5))])
    return Split(np.sort(train), np.sort(val), np.sort(test))


def holdout(
    n: int, seed: int, test_size: float = 0.25
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Training and test rows of a table of n rows, by the seed alone; of very long tables some are left out.

    Raises DataError where either part would be too small.
    """
    parts = split(n, TABLE, 0, seed, test_size=test_size)
    return np.sort(np.concatenate([parts.train, parts.val])), parts.test
