"""The choice of one formula from a front: the one-standard-error rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from smoothray.errors import StudentError


def select(losses: ArrayLike, complexities: ArrayLike, standard_errors: ArrayLike) -> int:
    """The simplest member within one standard error of the best one (Breiman et al., CART, 1984).

    losses, complexities, standard_errors: (m,); losses on validation data and their standard errors
        as means over rows. The best member's error counts; one that is not finite counts as zero.

    Returns the member's index; of equally simple ones, that with the smaller loss.

    Raises:
        StudentError: no loss is finite.

    >>> select([0.9, 0.32, 0.3], [1, 5, 21], [0.1, 0.04, 0.03])
    1
    """
    loss = np.asarray(losses, dtype=float)
    complexity = np.asarray(complexities)
    finite = np.isfinite(loss)
    if not finite.any():
        raise StudentError(
            "no formula of the front has a finite loss on the validation rows; "
            "use operators that are defined everywhere, such as aq instead of div"
        )
    loss = np.where(finite, loss, np.inf)
    best = int(np.argmin(loss))
    margin = float(np.nan_to_num(np.asarray(standard_errors, dtype=float)[best], posinf=0.0))
    near = np.flatnonzero(loss <= loss[best] + max(margin, 0.0))
    return int(min(near, key=lambda i: (complexity[i], loss[i])))
