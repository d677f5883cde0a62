"""How smooth a function is, measured the same way for teachers and students, from its gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr

from smoothray.errors import SmoothrayError, TeacherError
from smoothray.formulas import value_and_gradient

Array = NDArray[np.float64]
ROWS_AT_ONCE = 4096


def measure_smoothness(function: Any, X: ArrayLike, output: int = 0) -> dict[str, float]:
    """How smooth a torch module or a SymPy expression is on rows X (n, d), in their own units.

    function: a module that maps (n, d) to (n,) or (n, outputs), of which `output` is the column; or an
        expression in the names of X's columns, or in x0, x1, ... where X has none.

    Returns `jacobian`, the mean squared norm of the gradient, and `gradient_max`, its largest norm (a lower
    bound of the Lipschitz constant), over the rows where the gradient is finite, and `undefined`, the
    number of the other rows. To compare functions of different data, standardise their columns first.

    Raises SmoothrayError for another kind of function, or one that does not fit X.

    >>> from sympy import Symbol
    >>> measure_smoothness(3 * Symbol("x0"), [[0.0], [1.0]])
    {'jacobian': 9.0, 'gradient_max': 3.0, 'undefined': 0}
    """
    columns = getattr(X, "columns", None)
    names = None if columns is None else [str(name) for name in columns]
    rows = np.asarray(X, dtype=np.float64)
    if rows.ndim != 2 or not len(rows):
        raise SmoothrayError(f"X must be (n, d) with at least one row, not of shape {rows.shape}")
    if isinstance(function, Expr):
        gradients = value_and_gradient(function, rows, names)[1]
    elif hasattr(function, "parameters") and hasattr(function, "forward"):
        gradients = gradients_of(function, rows, output)[1]
    else:
        raise SmoothrayError(
            "smoothness is measured of a torch module or a SymPy expression, not of "
            f"{type(function).__name__}"
        )
    finite = gradients[np.isfinite(gradients).all(1)]
    return {
        "jacobian": mean_squared_jacobian(finite) if len(finite) else math.nan,
        "gradient_max": largest_gradient(finite) if len(finite) else math.nan,
        "undefined": len(rows) - len(finite),
    }


def gradients_of(
    module: Any, X: Array, output: int = 0, outputs: int | None = None
) -> tuple[Array, Array]:
    """Values (n,) of a torch module, or of one of its outputs, and their derivatives by X (n, d).

    The module is evaluated as it is used, not as it is trained (`eval`), row by row alike. Raises
    TeacherError where it does not take X, or has not so many `outputs`.
    """
    import torch

    held = [part for part in (*module.parameters(), *module.buffers()) if part.is_floating_point()]
    # The finest precision that it holds: raw columns such as years need their digits.
    like = max(held, key=lambda part: part.element_size()) if held else torch.zeros(())
    was_training = module.training
    module.eval()
    values, gradients = [], []
    try:
        for start in range(0, len(X), ROWS_AT_ONCE):
            rows = torch.as_tensor(np.array(X[start : start + ROWS_AT_ONCE]), device=like.device)
            rows = rows.to(like.dtype).requires_grad_()
            with torch.enable_grad():
                found = module(rows)
                if found.ndim == 2 and found.shape[1] == (outputs or found.shape[1]):
                    found = found[:, output]
                if found.shape != (len(rows),):
                    raise TeacherError(
                        f"the module must map {tuple(rows.shape)} to ({len(rows)},) or "
                        f"({len(rows)}, outputs), "
                        f"not to {tuple(found.shape)}"
                    )
                (slope,) = (
                    torch.autograd.grad(found.sum(), rows, allow_unused=True)
                    if found.requires_grad
                    else (None,)
                )
            slope = torch.zeros_like(rows) if slope is None else slope
            values.append(found.detach().double().cpu().numpy())
            gradients.append(slope.detach().double().cpu().numpy())
    except (RuntimeError, IndexError) as error:
        raise TeacherError(f"the module cannot take X of shape {X.shape}: {error}") from None
    finally:
        module.train(was_training)
    return np.concatenate(values), np.concatenate(gradients)


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
