"""What every student is: data in, a Pareto front of checked SymPy formulas out."""

from __future__ import annotations

import importlib.util
import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sympy import Expr, Float

from smoothray.errors import StudentError, did_you_mean
from smoothray.formulas import clean, complexity, evaluate, nesting_of, tidy, value_and_gradient
from smoothray.metrics.scores import sobolev_error
from smoothray.students.front import Candidate, pareto_front

logger = logging.getLogger(__name__)

Array = NDArray[np.float64]

OPERATORS: dict[str, int] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "aq", "pow", "max", "min"), 2),
    **dict.fromkeys(("abs", "square", "sqrt", "cbrt", "exp", "log", "log1p"), 1),
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"), 1),
}
"""name -> number of arguments: what a formula may be made of, in all students the same function.

None is protected: sqrt(-1) and 1/0 have no value, and a formula that has none on a training row is
no candidate. `aq` is the analytic quotient a / sqrt(1 + b²), smooth everywhere (Ni et al., 2013).
"""

NESTED = frozenset(
    {"exp", "log", "log1p", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"}
)
"""Operators that few can read within each other's arguments."""

NESTING: dict[str, int | None] = {"one": 2, "free": None}
"""name -> how deep operators of `NESTED` may stand within each other: sin(exp(x)) is two deep."""

DEFAULT_OPERATORS = (
    *("add", "sub", "mul", "div"),
    *("square", "sqrt", "exp", "log", "sin", "cos", "tanh"),
)

TOLERANCE = 1e-3
"""Largest root mean square difference of a formula from its student's own predictions, in standard
deviations of the target. Single precision, which Operon and PySR compute in, stays well below."""


TARGET_SECONDS = {"quick": 1.0, "standard": 5.0, "thorough": 30.0}
TARGET_ROWS = (400, 8)
"""What a fit of each budget should take on one core, at so many rows and columns, whichever the student:
a comparison of students is fair where they have the same time. `benchmarks/budgets.py` measures it."""


@dataclass(frozen=True)
class RawFormula:
    """A formula as its student's program found it, not yet checked.

    build: returns it in x0 .. x{d-1}; may raise StudentError.
    own: the program's own predictions (n,) on the training rows, or its mean squared error there.
    preferred: whether it is the program's own choice.
    """

    build: Callable[[], Expr]
    own: Array | float
    preferred: bool = False


class Student(ABC):
    """A symbolic regression program.

    budget: a key of `budgets`.
    operators: names of `OPERATORS`, each counted once; None: the student's default ones.
    max_size: the largest complexity of a formula, in nodes of its SymPy tree.
    nesting: a key of `NESTING`: whether functions may stand within functions within functions.
    settings: single values of the budget to replace, such as `population_size=100`; of the same kind:
        whole numbers for whole numbers, and yes or no for yes or no.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    budgets: ClassVar[dict[str, dict[str, Any]]]
    environment: ClassVar[dict[str, str]] = {}
    """Environment variables that must be set before the program is loaded."""
    needs_own_process: ClassVar[bool] = False
    """Whether the program cannot share a process with torch."""
    start_seconds: ClassVar[float] = 3.0
    memory: ClassVar[int] = 250 * 2**20
    """Roughly, for plans: seconds until a new process has the program ready, and bytes that it then holds."""
    matches_slopes: ClassVar[bool] = False
    """Whether its search can fit derivatives besides values."""
    takes_units: ClassVar[bool] = False
    """Whether its search can keep to formulas whose units are consistent."""
    vocabulary: ClassVar[Mapping[str, Any]]
    """What the program calls each operator that it knows."""
    smallest_size: ClassVar[int] = 3
    least: ClassVar[Mapping[str, int]] = {}
    """The least that a whole number of the budget may be; 1 where it is not said."""
    operators: tuple[str, ...] = DEFAULT_OPERATORS

    def __init__(
        self,
        budget: str = "quick",
        operators: Sequence[str] | None = None,
        max_size: int = 30,
        nesting: str = "one",
        **settings: Any,
    ) -> None:
        self.budget = budget
        if operators is not None:
            self.operators = tuple(dict.fromkeys(operators))
        self.max_size = max_size
        self.nesting = nesting
        self.overrides = settings
        self.check()

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this student cannot run here; None where it can. Loads nothing."""
        for package in cls.packages:
            if importlib.util.find_spec(package) is None:
                return f"the package {package} is not installed; run: pip install {package}"
        return None

    @classmethod
    def more_versions(cls) -> list[tuple[str, str]]:
        """(name, version) of what it needs besides its packages. Loads nothing."""
        return []

    def check(self) -> None:
        """Raises StudentError for a budget, operator, size or setting that the student has not."""
        self._check_names("budget", [self.budget], self.budgets)
        self._check_names("nesting", [self.nesting], NESTING)
        self._check_names("setting", self.overrides, self.budgets[self.budget])
        for name, value in self.overrides.items():
            self._check_value(name, value, self.budgets[self.budget][name])
        self._check_names("operator", self.operators, self.vocabulary)
        if not any(OPERATORS[operator] == 2 for operator in self.operators):
            raise StudentError(
                f"{self.name}: the operators {list(self.operators)} all take one argument, "
                "so nothing could be combined; add one such as add or mul"
            )
        if not _is_whole(self.max_size) or self.max_size < self.smallest_size:
            raise StudentError(
                f"{self.name}: max_size is {self.max_size}; give at least {self.smallest_size}"
            )

    def check_matching(self) -> None:
        """Raises StudentError where derivatives cannot be matched, by this student or with its settings."""
        if not self.matches_slopes:
            raise StudentError(f"{self.name} cannot match derivatives")

    @property
    def settings(self) -> dict[str, Any]:
        """The budget's values, with the single ones that were given."""
        return {**self.budgets[self.budget], **self.overrides}

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        names: Sequence[str],
        seed: int,
        slopes: ArrayLike | None = None,
        units: tuple[Sequence[str], str] | None = None,
        largest: int | None = None,
    ) -> list[Candidate]:
        """The Pareto front of formulas of X for y, by complexity; the mean of y is a candidate too.

        X: (n, d) standardised inputs. y: (n,) standardised target. names: the d columns' names, for
        messages. slopes: (n, d) derivatives of the target by the inputs, to be matched too by a student that
        `matches_slopes`. units: of the columns and of the target, as products of SI's base units, for a
        student that `takes_units`; standardising leaves a column's unit as it is. largest: the most nodes of
        a formula that is returned; None: `max_size`. The same data, names and seed give the same front.

        Raises:
            StudentError: unusable data, a program that is not there, or one that gives no formula
                which SymPy reproduces.
        """
        if slopes is not None:
            self.check_matching()
        inputs, target = _checked(X, y, names)
        wanted = None if slopes is None else np.array(slopes, dtype=np.float64)
        mean = Float(float(target.mean()))
        loss = _loss(mean, np.full_like(target, float(mean)), inputs, target, wanted)
        candidates = [Candidate(mean, 1, loss)]
        spread = float(target.std())
        if spread > 0:
            reason = self.unavailable()
            if reason is not None:
                raise StudentError(f"{self.name} cannot run here: {reason}")
            more = {"units": units} if units and self.takes_units else {}
            with np.errstate(all="ignore"):
                if wanted is None:
                    formulas = list(self._search(inputs, target, seed, **more))
                else:
                    formulas = list(self._search_matching(inputs, target, seed, wanted, **more))
                candidates += self._verified(formulas, inputs, target, spread, wanted)
        most = largest or self.max_size
        return pareto_front(
            c for c in candidates if c.complexity <= most and self._is_readable(c.expr)
        )

    @property
    def deepest(self) -> int | None:
        """How deep functions may stand within each other; None: as deep as they will."""
        return NESTING[self.nesting]

    def _is_readable(self, expr: Expr) -> bool:
        return self.deepest is None or nesting_of(expr) <= self.deepest

    def warm_up(self) -> None:  # noqa: B027 (most programs need none)
        """Load the program and let it compile, so that the first fit is as quick as the next."""

    def warm_up_matching(self) -> None:  # noqa: B027
        """The same for what a search that matches derivatives needs besides."""

    @abstractmethod
    def _search(self, X: Array, y: Array, seed: int) -> Iterable[RawFormula]:
        """What the program finds for X (n, d) and y (n,), neither of them constant nor gapped."""

    def _search_matching(
        self, X: Array, y: Array, seed: int, slopes: Array
    ) -> Iterable[RawFormula]:
        """The same for a search that also fits the slopes (n, d), of a student that `matches_slopes`."""
        raise NotImplementedError

    def _verified(
        self, formulas: list[RawFormula], X: Array, y: Array, spread: float, slopes: Array | None
    ) -> Iterable[Candidate]:
        """Those whose SymPy formula predicts what the program does, with losses in float64."""
        usable = [f for f in formulas if np.all(np.isfinite(f.own))]
        candidates = []
        for formula in usable:
            try:
                expr = tidy(clean(formula.build()), X)
                values = evaluate(expr, X)
                difference = _difference(values, formula.own, y)
            except (StudentError, ArithmeticError) as error:
                logger.debug("%s: a formula was dropped: %s", self.name, error)
                continue
            if not difference <= TOLERANCE * spread:
                logger.debug("%s: %s is off by %.1e", self.name, expr, difference)
                continue
            loss = _loss(expr, values, X, y, slopes)
            candidates.append(Candidate(expr, complexity(expr), loss, formula.preferred))
        if usable and not candidates:
            raise StudentError(
                f"{self.name}: SymPy reproduces none of the {len(usable)} formulas that it found; "
                "use other operators, and please report this with the data"
            )
        return candidates

    def _check_value(self, name: str, value: Any, usual: Any) -> None:
        """Raises StudentError for a setting that is of another kind than the budget's, or too small."""
        wanted = None
        if isinstance(usual, bool):
            wanted = None if isinstance(value, bool | np.bool_) else "true or false"
        elif _is_whole(usual):
            least = self.least.get(name, min(1, int(usual)))
            if not _is_whole(value) or value < least:
                wanted = f"a whole number of at least {least}"
        elif isinstance(usual, Real) and not (
            isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        ):
            wanted = "a finite number"
        if wanted:
            raise StudentError(f"{self.name}: {name} is {value!r}; give {wanted}")

    def _check_names(self, what: str, given: Iterable[str], possible: Iterable[str]) -> None:
        for name in given:
            if name not in possible:
                hint = did_you_mean(str(name), possible) or f"; it has {', '.join(possible)}"
                raise StudentError(f"{self.name} has no {what} {name!r}{hint}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _checked(X: ArrayLike, y: ArrayLike, names: Sequence[str]) -> tuple[Array, Array]:
    # Copies: arrays out of Ray's store are read-only, which native code refuses.
    inputs = np.array(X, dtype=np.float64, order="C")
    target = np.array(y, dtype=np.float64)
    if inputs.ndim != 2 or target.shape != inputs.shape[:1] or len(target) == 0:
        raise StudentError(
            f"a student takes X of shape (n, d) and y of shape (n,), not {inputs.shape} and "
            f"{target.shape}"
        )
    if len(names) != inputs.shape[1]:
        raise StudentError(f"X has {inputs.shape[1]} columns, but {len(names)} names were given")
    for name, column in zip(names, inputs.T, strict=True):
        if not np.isfinite(column).all():
            raise StudentError(
                f"column {name!r} holds values that are not finite; remove those rows"
            )
    if not np.isfinite(target).all():
        raise StudentError("the target holds values that are not finite; remove those rows")
    return inputs, target


def _loss(expr: Expr, values: Array, X: Array, y: Array, slopes: Array | None) -> float:
    """The mean squared error; with slopes to be matched, that of values and slopes."""
    if slopes is None:
        return float(np.mean((values - y) ** 2))
    return sobolev_error(y, values, slopes, value_and_gradient(expr, X)[1])[0]


def _difference(values: Array, own: Array | float, y: Array) -> float:
    """Root mean square difference from the program's predictions; from its loss, a lower bound."""
    if isinstance(own, float):
        return abs(float(np.sqrt(np.mean((values - y) ** 2))) - own**0.5)
    return float(np.sqrt(np.mean((values - own) ** 2)))
