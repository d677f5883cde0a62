"""Seeds are hashes of names, so adding a data set, an arm or a trial moves no other trial's seed."""

from __future__ import annotations

import hashlib

import numpy as np


def seed(*names: object) -> int:
    """Hash `names` into a seed in [0, 2**31 - 1).

    >>> seed(0, "diabetes", 3, "split") == seed(0, "diabetes", 3, "split")
    True
    >>> seed(0, "diabetes", 3, "split") == seed(0, "diabetes", 4, "split")
    False
    """
    digest = hashlib.sha256("\x1f".join(str(name) for name in names).encode()).digest()
    return int.from_bytes(digest[:8], "big") % (2**31 - 1)


def generator(*names: object) -> np.random.Generator:
    """A NumPy generator seeded by `names`."""
    return np.random.default_rng(seed(*names))
