"""How smooth a function is, measured the same way for teachers and students, from its gradients."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def mean_squared_jacobian(gradients: Array) -> float:
    """Mean over the points of the squared Frobenius norm of the Jacobian; gradients: (n, d).

    >>> mean_squared_jacobian(np.array([[3.0, 4.0], [0.0, 0.0]]))
    12.5
    """
    return float(np.square(gradients).sum(-1).mean())


def largest_gradient(gradients: Array) -> float:
    """Largest gradient norm over the points, a lower bound of the Lipschitz constant; (n, d).

    >>> largest_gradient(np.array([[3.0, 4.0], [0.0, 0.0]]))
    5.0
    """
    return float(np.sqrt(np.square(gradients).sum(-1).max()))


def alignment(student_jacobian: float, teacher_jacobian: float) -> float | None:
    """log(student's mean squared Jacobian / teacher's): 0 where equally smooth, below 0 where the student
    is smoother. None where a function is constant or a measure is not finite.

    >>> alignment(2.0, 2.0)
    0.0
    """
    if not (0 < student_jacobian < math.inf and 0 < teacher_jacobian < math.inf):
        return None
    return math.log(student_jacobian / teacher_jacobian)
