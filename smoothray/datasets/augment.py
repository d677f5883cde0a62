"""New inputs between training points, for a teacher to label."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree


def augment(
    X: ArrayLike, k: int, rng: np.random.Generator, neighbours: int = 5
) -> NDArray[np.float64]:
    """k new points per training point, each between a random row and one of its near neighbours.

    The position between the two is uniform, as in SMOTE (Chawla et al., "SMOTE: Synthetic
    Minority Over-sampling Technique", JAIR 16, 2002). A row's neighbours are other points than
    itself, so repeated rows make no copies; where all rows are the same there are only copies.

    Args:
        X: standardised training inputs, (n, d), n >= 1.
        k: how many times as many new points.
        rng: where the randomness comes from.
        neighbours: how many near neighbours to choose from.

    Returns:
        The new points, (k * n, d).
    """
    rows = np.asarray(X, dtype=np.float64)
    size = k * len(rows)
    points, which = np.unique(rows, axis=0, return_inverse=True)
    near = min(neighbours, len(points) - 1)
    start = which.reshape(-1)[rng.integers(len(rows), size=size)]
    if near < 1:
        return points[start]
    # A point's nearest is itself, in the first column: the others are its neighbours.
    others: NDArray[np.int64] = KDTree(points).query(points, k=near + 1)[1][:, 1:]
    end = others[start, rng.integers(near, size=size)]
    position = rng.random((size, 1))
    return points[start] + position * (points[end] - points[start])
