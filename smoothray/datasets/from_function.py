"""The user's own functions: whatever makes a table, known by its import path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from smoothray.datasets.specs import DatasetSpec
from smoothray.datasets.table import Dataset
from smoothray.errors import DataError, PluginError
from smoothray.plugins import load


def check(spec: DatasetSpec) -> None:
    """Raise DataError unless the import path leads to a function, which is not called."""
    _function(spec)


def read(spec: DatasetSpec) -> tuple[pd.DataFrame, str]:
    """The table and its target column, from a function without arguments.

    It returns a frame, a frame with its target's name, or a Dataset. The spec's target goes before theirs.

    Raises:
        DataError: the function is not there, fails, or returns something else.
    """
    function = _function(spec)
    try:
        made = function()
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"data set '{spec.name}': {spec.path}() fails: {told}") from error
    if isinstance(made, Dataset):
        frame = pd.DataFrame(made.X, columns=list(made.feature_names))
        made = (frame.assign(**{made.target: made.y}), made.target)
    frame, target = made if isinstance(made, tuple) and len(made) == 2 else (made, "")
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"data set '{spec.name}': {spec.path}() gave a {type(made).__name__}; return a pandas frame, a "
            "frame with its target's name, or a smoothray.datasets.Dataset"
        )
    target = spec.target or str(target)
    if not target:
        raise DataError(
            f"data set '{spec.name}': which column is the target? Write {{load: {spec.path}, target: COLUMN}}"
        )
    return frame, target


def _function(spec: DatasetSpec) -> Callable[[], Any]:
    try:
        function = load(spec.path, "data set")
    except PluginError as error:
        raise DataError(f"data set '{spec.name}': {error}") from error
    if not callable(function):
        raise DataError(f"data set '{spec.name}': {spec.path} is no function")
    found: Callable[[], Any] = function
    return found
