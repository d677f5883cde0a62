"""Points between training rows and their near neighbours, other ones at each step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from smoothray.datasets.augment import near_neighbours

MOST = 256
"""Points of a network in a step: drawn anew each time, so few say as much as many."""


class Between:
    """Random points of a bank's networks, each between a row of its own and a near neighbour of that.

    A network's points depend on its own rows and seed alone, whatever company it trains in.
    """

    def __init__(self, x: Tensor, seeds: Sequence[int]) -> None:
        """x: (B, n, d) training rows."""
        self.x = x
        self.size = min(MOST, x.shape[1])
        self.draws = [np.random.default_rng([seed, 2]) for seed in seeds]
        # A row's neighbours are other points than itself; where all are the same, there is only the row.
        self.near = [near_neighbours(rows) for rows in x.double().cpu().numpy()]

    def take(self) -> Tensor:
        """Points of the next step: (B, m, d)."""
        starts, ends, positions = [], [], []
        for rng, near in zip(self.draws, self.near, strict=True):
            start = rng.integers(len(near), size=self.size)
            starts.append(start)
            ends.append(near[start, rng.integers(near.shape[1], size=self.size)])
            positions.append(rng.random((self.size, 1)))
        begin, other = (self._rows(np.stack(places)) for places in (starts, ends))
        position = torch.as_tensor(np.stack(positions), dtype=self.x.dtype, device=self.x.device)
        return begin + position * (other - begin)

    def keep(self, places: Tensor) -> None:
        """Go on with the networks at these places of the present ones."""
        self.x = self.x[places]
        self.draws = [self.draws[place] for place in places.tolist()]
        self.near = [self.near[place] for place in places.tolist()]

    def _rows(self, places: np.ndarray) -> Tensor:
        index = torch.as_tensor(places, device=self.x.device).unsqueeze(2)
        return self.x.take_along_dim(index, 1)
