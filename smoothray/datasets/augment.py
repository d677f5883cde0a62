"""New inputs between training points, for a teacher to label."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEIGHBOURS = 5


def near_neighbours(X: ArrayLike, neighbours: int = NEIGHBOURS) -> NDArray[np.int64]:
    """For each row the places of near rows that are other points than it: (n, k), k <= `neighbours`.

    Where all rows are the same point, a row's only neighbour is itself.
    """
    from scipy.spatial import KDTree  # which takes a third of a second to load

    rows = np.asarray(X, dtype=np.float64)
    points, first, which = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    near = min(neighbours, len(points) - 1)
    if near < 1:
        return np.arange(len(rows))[:, None]
    others = KDTree(points).query(points, k=near + 1)[1][:, 1:]
    places: NDArray[np.int64] = first[others][which.reshape(-1)]
    return places


def augment(
    X: ArrayLike, k: int, rng: np.random.Generator, neighbours: int = NEIGHBOURS
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
    near = near_neighbours(rows, neighbours)
    start = rng.integers(len(rows), size=size)
    end = near[start, rng.integers(near.shape[1], size=size)]
    position = rng.random((size, 1))
    return rows[start] + position * (rows[end] - rows[start])
