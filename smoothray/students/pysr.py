"""PySR: the reference student, whose search runs in Julia. Nothing here loads it before a fit."""

from __future__ import annotations

import base64
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import sympy
from sympy import Symbol

from smoothray.errors import StudentError
from smoothray.formulas import variables
from smoothray.students.base import NESTED, OPERATORS, Array, RawFormula, Student
from smoothray.students.equations import predictions, read_equation, texts_of, without_exports
from smoothray.students.julia import julia_missing, julia_versions

_SYMBOLS = {
    **{name: name for name in OPERATORS},
    **{"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "^"},
    "aq": "aq(a, b) = a / sqrt(1 + b * b)",
}


_ALWAYS = {
    "population_size": 27,
    "ncycles_per_iteration": 760,
    "optimizer_nrestarts": 0,
    "batching": False,  # PySR's own "auto" would turn one search into another at the 1,001st row
}
_MATCHING = {"ncycles_per_iteration": 100}


class PySRStudent(Student):
    """Evolution in islands with fitted constants; serial and deterministic.

    Budgets are counted in iterations of islands, so sized that a fit should take about `TARGET_SECONDS` in a
    process that is warm. With twice PySR's cycles in an iteration, and no second start of the constants' fit,
    one iteration of an island is reckoned to take 16 ms at 400 rows and 8 columns: with PySR's own settings
    it took 14 to 17 ms, of which a third goes into second starts.
    """

    name = "pysr"
    source = (
        "Cranmer, Interpretable machine learning for science with PySR and SymbolicRegression.jl, "
        "arXiv 2305.01582, 2023"
    )
    packages = ("pysr", "juliacall", "juliapkg")
    vocabulary = _SYMBOLS
    needs_own_process = True
    start_seconds = 11.0
    memory = 940 * 10**6
    matches_slopes = True
    takes_units = True
    smallest_size = 7  # PySR refuses less
    least = {
        "population_size": 16,
        "optimizer_nrestarts": 0,
    }  # one more than compete in a tournament
    budgets = {
        "quick": {"niterations": 8, "populations": 8, **_ALWAYS},
        "standard": {"niterations": 20, "populations": 15, **_ALWAYS},
        "thorough": {"niterations": 60, "populations": 31, **_ALWAYS},
    }
    matching_budgets = {
        "quick": {"niterations": 3, "populations": 4, **_MATCHING},
        "standard": {"niterations": 8, "populations": 6, **_MATCHING},
        "thorough": {"niterations": 20, "populations": 12, **_MATCHING},
    }
    """The budgets of a search that matches derivatives, with a twentieth of the others' evaluations: each
    takes more than a hundred times as long, since Julia derives every node anew."""
    environment = {
        "PYTHON_JULIACALL_HANDLE_SIGNALS": "yes",
        "PYTHON_JULIACALL_THREADS": "1",
        "PYTHON_JULIACALL_HEAP_SIZE_HINT": "2G",
        "PYTHON_JULIACALL_AUTOLOAD_IPYTHON_EXTENSION": "no",
    }

    @classmethod
    def more_versions(cls) -> list[tuple[str, str]]:
        return _running_versions() or julia_versions()

    @classmethod
    def unavailable(cls) -> str | None:
        return super().unavailable() or julia_missing()

    def warm_up(self) -> None:
        X = np.random.default_rng(0).normal(size=(50, 2))
        with tempfile.TemporaryDirectory(prefix="smoothray-pysr-") as directory:
            small = {"niterations": 1, "populations": 2, "ncycles_per_iteration": 50}
            arguments = {**self.arguments(0, directory), **small}
            with told_in_a_line():
                self._load()(**arguments).fit(X, X[:, 0] * X[:, 1])

    def warm_up_matching(self) -> None:
        with told_in_a_line():
            self._load()
            from pysr.julia_extensions import load_required_packages

            load_required_packages(autodiff_backend="Zygote")  # which Julia derives formulas with

    def check_matching(self) -> None:
        if self.settings["batching"]:
            raise StudentError(
                "pysr: batching is true, and derivatives are matched on all rows; leave it out, or choose by "
                "'accuracy' or 'fidelity'"
            )

    def arguments(self, seed: int, directory: str) -> dict[str, Any]:
        """The keyword arguments of `PySRRegressor` for one fit that writes into `directory`."""
        symbols = {arity: self._symbols(arity) for arity in (1, 2)}
        return {
            "binary_operators": symbols[2],
            "unary_operators": symbols[1],
            "nested_constraints": self._nested_constraints(),
            "extra_sympy_mappings": {"aq": lambda a, b: a / sympy.sqrt(1 + b * b)},
            "maxsize": self.max_size,
            "model_selection": "best",
            "deterministic": True,
            "parallelism": "serial",
            "random_state": seed,
            "run_id": "fit",
            "output_directory": directory,
            "verbosity": 0,
            "progress": False,
            "input_stream": "devnull",
            **self.settings,
        }

    def _nested_constraints(self) -> dict[str, dict[str, int]] | None:
        """Pair by pair, how often one may stand within another; what three make is dropped from the front."""
        if self.deepest is None:
            return None
        used = [self.vocabulary[name] for name in self.operators if name in NESTED]
        return {outer: dict.fromkeys(used, self.deepest - 1) for outer in used} or None

    def _symbols(self, arity: int) -> list[str]:
        return [self.vocabulary[name] for name in self.operators if OPERATORS[name] == arity]

    def _search(
        self, X: Array, y: Array, seed: int, units: tuple[Sequence[str], str] | None = None
    ) -> Iterable[RawFormula]:
        model = self._fitted(X, y, seed, units)
        return front_from_equations(model.equations_, _names(X), model.get_best().name)

    def _search_matching(
        self,
        X: Array,
        y: Array,
        seed: int,
        slopes: Array,
        units: tuple[Sequence[str], str] | None = None,
    ) -> Iterable[RawFormula]:
        self.warm_up_matching()
        smaller = {**self.matching_budgets[self.budget], **self.overrides}
        loss = sobolev_loss(y, slopes)
        model = self._fitted(X, y, seed, units, loss_function=loss, **smaller)
        formulas = front_from_equations(model.equations_, _names(X), model.get_best().name)
        # Its losses are no squared errors of y, so the formulas are checked by what their texts say.
        columns = dict(zip(_names(X), X.T, strict=True))
        texts = texts_of(model.equations_)
        return [
            replace(formula, own=predictions(text, columns))
            for formula, text in zip(formulas, texts, strict=True)
        ]

    def _fitted(
        self,
        X: Array,
        y: Array,
        seed: int,
        units: tuple[Sequence[str], str] | None,
        **more: Any,
    ) -> Any:
        given = {"X_units": list(units[0]), "y_units": units[1]} if units else {}
        with (
            tempfile.TemporaryDirectory(prefix="smoothray-pysr-") as directory,
            told_in_a_line(),
        ):
            regressor = self._load()(**{**self.arguments(seed, directory), **more})
            return regressor.fit(X, y, **given)

    def _load(self) -> Any:
        """PySRRegressor that exports nothing, with the environment that Julia must find set."""
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
            from pysr import ExpressionSpec, PySRRegressor
        raw = ExpressionSpec()
        raw.create_exports = without_exports
        return partial(PySRRegressor, expression_spec=raw)


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """Raises StudentError, with its first line, for what goes wrong in PySR or in Julia.

    Julia's own errors have pages of backtrace, and whichever process receives one would load Julia.
    """
    try:
        yield
    except StudentError:
        raise
    except Exception as error:
        said = str(error).strip() or type(error).__name__
        raise StudentError(f"pysr: {said.splitlines()[0][:500]}") from None


def _running_versions() -> list[tuple[str, str]]:
    """The versions of the Julia that this process has loaded and of its search; none where it has not."""
    if "pysr" not in sys.modules:
        return []
    from pysr.julia_import import SymbolicRegression, jl, jl_version

    search = str(jl.string(jl.pkgversion(SymbolicRegression)))
    return [("julia", ".".join(map(str, jl_version))), ("SymbolicRegression.jl", search)]


def sobolev_loss(y: Array, slopes: Array) -> str:
    """PySR's `loss_function`, in Julia, that fits derivatives besides values.

    The mean over the rows of (difference)² / variance + |difference of gradients|² / mean |gradient|², as in
    `smoothray.metrics.scores.sobolev_error`. slopes: (n, d), the derivatives to match; they stand in the text
    itself, so that it depends on nothing outside.
    """
    tiny = float(np.finfo(float).tiny)
    n, d = slopes.shape
    packed = base64.b64encode(np.ascontiguousarray(slopes, dtype="<f8").tobytes()).decode()
    spread = max(float(y.var()), tiny)
    steepness = max(float((slopes**2).sum(1).mean()), tiny)
    return _SOBOLEV.format(packed=packed, d=d, n=n, spread=spread, steepness=steepness)


# Row by row in C's order is column by column in Julia's: its gradients are (d, n).
_SOBOLEV = """\
begin
    using Base64: base64decode
    let slopes = reshape(collect(reinterpret(Float64, base64decode("{packed}"))), {d}, {n})
        function sobolev(tree, dataset::Dataset{{T,L}}, options)::L where {{T,L}}
            values, gradient, complete = eval_grad_tree_array(tree, dataset.X, options; variable=true)
            complete || return L(Inf)
            misfit = sum(abs2, values .- dataset.y) / {n} / {spread!r}
            mismatch = sum(abs2, gradient .- slopes) / {n} / {steepness!r}
            total = misfit + mismatch
            return isfinite(total) ? L(total) : L(Inf)
        end
    end
end
"""


def _names(X: Array) -> dict[str, Symbol]:
    return {symbol.name: symbol for symbol in variables(X.shape[1])}


def front_from_equations(
    frame: pd.DataFrame, names: Mapping[str, Symbol], chosen: Any = None
) -> list[RawFormula]:
    """The formulas of PySR's `equations_`, from its columns `equation` (text) and `loss`.

    names: the symbol of each variable in the equations. chosen: the index label of PySR's choice.
    """
    rows = zip(frame.index, texts_of(frame), frame["loss"].astype(float), strict=True)
    return [
        RawFormula(partial(read_equation, text, names), float(loss), bool(label == chosen))
        for label, text, loss in rows
    ]
