"""PySR: the reference student, whose search runs in Julia. Nothing here loads it before a fit."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import sympy
from sympy import Symbol

from smoothray.errors import StudentError
from smoothray.formulas import parse, variables
from smoothray.students.base import OPERATORS, Array, Found, Student
from smoothray.students.julia import julia_missing

_SYMBOLS = {
    **{name: name for name in OPERATORS},
    **{"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "^"},
    "aq": "aq(a, b) = a / sqrt(1 + b * b)",
}


class PySRStudent(Student):
    """Evolution in islands with fitted constants; serial and deterministic.

    Budgets are counted in iterations; "thorough" is PySR's own default search. What they take in
    seconds on one core depends on Julia's machine code; the first fit of a process compiles for a
    minute or so, the next ones do not.
    """

    name = "pysr"
    source = (
        "Cranmer, Interpretable machine learning for science with PySR and SymbolicRegression.jl, "
        "arXiv 2305.01582, 2023"
    )
    packages = ("pysr", "juliacall", "juliapkg")
    vocabulary = _SYMBOLS
    needs_own_process = True
    smallest_size = 7  # PySR refuses less
    budgets = {
        "quick": {"niterations": 10, "populations": 8, "population_size": 27},
        "standard": {"niterations": 40, "populations": 15, "population_size": 27},
        "thorough": {"niterations": 100, "populations": 31, "population_size": 27},
    }
    environment = {
        "PYTHON_JULIACALL_HANDLE_SIGNALS": "yes",
        "PYTHON_JULIACALL_THREADS": "1",
        "PYTHON_JULIACALL_HEAP_SIZE_HINT": "2G",
        "PYTHON_JULIACALL_AUTOLOAD_IPYTHON_EXTENSION": "no",
    }

    @classmethod
    def unavailable(cls) -> str | None:
        return super().unavailable() or julia_missing()

    def warm_up(self) -> None:
        X = np.random.default_rng(0).normal(size=(50, 2))
        with tempfile.TemporaryDirectory(prefix="smoothray-pysr-") as directory:
            small = {"niterations": 1, "populations": 2}
            self._load()(**{**self.arguments(0, directory), **small}).fit(X, X[:, 0] * X[:, 1])

    def arguments(self, seed: int, directory: str) -> dict[str, Any]:
        """The keyword arguments of `PySRRegressor` for one fit that writes into `directory`."""
        symbols = {arity: self._symbols(arity) for arity in (1, 2)}
        return {
            "binary_operators": symbols[2],
            "unary_operators": symbols[1],
            "extra_sympy_mappings": {"aq": lambda a, b: a / sympy.sqrt(1 + b * b)},
            "maxsize": self.max_size,
            "model_selection": "best",
            "deterministic": True,
            "parallelism": "serial",
            "random_state": seed,
            "timeout_in_seconds": self.timeout,
            "run_id": "fit",
            "output_directory": directory,
            "verbosity": 0,
            "progress": False,
            "input_stream": "devnull",
            **self.settings,
        }

    def _symbols(self, arity: int) -> list[str]:
        return [self.vocabulary[name] for name in self.operators if OPERATORS[name] == arity]

    def _search(self, X: Array, y: Array, seed: int) -> Iterable[Found]:
        regressor = self._load()
        with tempfile.TemporaryDirectory(prefix="smoothray-pysr-") as directory:
            model = regressor(**self.arguments(seed, directory)).fit(X, y)
            chosen = model.get_best().name
        symbols = {symbol.name: symbol for symbol in variables(X.shape[1])}
        return front_from_equations(model.equations_, symbols, chosen)

    def _load(self) -> Any:
        """PySRRegressor, with the environment that Julia must find set."""
        if "juliacall" not in sys.modules:
            if "torch" in sys.modules:
                raise StudentError(
                    "pysr cannot start in a process that has loaded torch: Julia would crash; "
                    "fit it in a process of its own, as a study does"
                )
            for variable, value in self.environment.items():
                os.environ.setdefault(variable, value)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="PYTHON_JULIACALL_THREADS")
            from pysr import PySRRegressor
        return PySRRegressor


def front_from_equations(
    frame: pd.DataFrame, names: Mapping[str, Symbol], chosen: Any = None
) -> list[Found]:
    """The formulas of PySR's `equations_`, from its columns `equation` (text) and `loss`.

    names: the symbol of each variable in the equations. chosen: the index label of PySR's choice.
    """
    rows = zip(frame.index, frame["equation"].astype(str), frame["loss"].astype(float), strict=True)
    return [
        Found(partial(parse, text, names), float(loss), bool(label == chosen))
        for label, text, loss in rows
    ]
