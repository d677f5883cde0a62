"""How smooth a function is, measured the same way for teachers and students, from its gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothray.errors import SmoothrayError, TeacherError

Array = NDArray[np.float64]
ROWS_AT_ONCE = 4096


def measure_smoothness(function: Any, X: ArrayLike, output: int = 0) -> dict[str, float]:
    """How smooth a torch module or a SymPy expression is on rows X (n, d), in their own units.

    function: a module that maps (n, d) to (n,) or (n, outputs), of which `output` is the column; a
        distiller's `teacher_`; or an expression in the names of X's columns, or in x0, x1, ... where X has
        none.

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
    if hasattr(function, "parameters") and hasattr(function, "forward"):
        values, gradients = gradients_of(function, rows, output)
    elif hasattr(function, "value_and_gradient"):  # a teacher
        values, gradients = function.value_and_gradient(rows)
    else:
        # SymPy takes half a second to load, which a process that trains teachers can do without.
        from sympy import Expr

        from smoothray.formulas import value_and_gradient

        if not isinstance(function, Expr):
            raise SmoothrayError(
                "smoothness is measured of a torch module or a SymPy expression, not of "
                f"{type(function).__name__}; of a SymbolicDistiller give teacher_ or sympy()"
            )
        values, gradients = value_and_gradient(function, rows, names)
    finite = gradients[np.isfinite(gradients).all(1) & np.isfinite(values)]
    return {
        "jacobian": mean_squared_jacobian(finite) if len(finite) else math.nan,
        "gradient_max": largest_gradient(finite) if len(finite) else math.nan,
        "undefined": len(rows) - len(finite),
    }


def values_of(module: Any, X: Array, output: int = 0, outputs: int | None = None) -> Array:
    """Values (n,) of a torch module, or of one of its outputs, on rows X (n, d).

    The module is evaluated as it is used, not as it is trained (`eval`). Raises TeacherError where it does
    not take X, or has not so many `outputs`.
    """
    import torch

    with _in_use(module), torch.no_grad():
        parts = [_column(module(rows), rows, output, outputs) for rows in _parts(module, X)]
    return np.concatenate([part.double().cpu().numpy() for part in parts])


def gradients_of(
    module: Any, X: Array, output: int = 0, outputs: int | None = None
) -> tuple[Array, Array]:
    """What `values_of` gives, and its derivatives by X (n, d).

    Raises TeacherError also where the module gives none.
    """
    import torch

    values, gradients = [], []
    with _in_use(module), torch.enable_grad():
        for rows in _parts(module, X):
            rows.requires_grad_()
            value = _column(module(rows), rows, output, outputs)
            if not value.requires_grad:
                raise TeacherError(
                    "the module's outputs have no gradient (its forward detaches them, or runs under no_grad)"
                )
            (slope,) = torch.autograd.grad(value.sum(), rows, allow_unused=True)
            slope = torch.zeros_like(rows) if slope is None else slope
            values.append(value.detach().double().cpu().numpy())
            gradients.append(slope.double().cpu().numpy())
    return np.concatenate(values), np.concatenate(gradients)


@contextmanager
def _in_use(module: Any) -> Iterator[None]:
    """The module and its parts in `eval` mode, and as they were afterwards; its errors as TeacherError."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    except (RuntimeError, IndexError, TypeError, AttributeError) as error:
        raise TeacherError(f"the module cannot take these rows: {error}") from None
    finally:
        for part, was in training.items():
            part.training = was


def _parts(module: Any, X: Array) -> Iterator[Any]:
    """The rows as tensors of the finest precision that the module holds: years need their digits."""
    import torch

    held = [part for part in (*module.parameters(), *module.buffers()) if part.is_floating_point()]
    like = max(held, key=lambda part: part.element_size()) if held else torch.zeros(())
    for start in range(0, max(len(X), 1), ROWS_AT_ONCE):
        rows = torch.as_tensor(np.array(X[start : start + ROWS_AT_ONCE]), device=like.device)
        yield rows.to(like.dtype)


def _column(values: Any, rows: Any, output: int, outputs: int | None) -> Any:
    if values.ndim == 2 and values.shape[1] == (outputs or values.shape[1]):
        values = values[:, output]
    if values.shape != (len(rows),):
        raise TeacherError(
            f"the module must map {tuple(rows.shape)} to ({len(rows)},) or "
            f"({len(rows)}, {outputs or 'outputs'}), not to {tuple(values.shape)}"
        )
    return values


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
