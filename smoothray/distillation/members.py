"""The members of a front: a student's candidates in the data's own units, shortened there."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from sympy import Expr, Symbol

from smoothray.distillation.guard import Guard
from smoothray.distillation.trial import Array, Trial
from smoothray.errors import StudentError
from smoothray.formulas import Program, complexity, parse, round_constants, to_text, unscale
from smoothray.formulas.compiled import Compiled
from smoothray.formulas.fitting import Rows, loss_of
from smoothray.formulas.rounding import round_values
from smoothray.formulas.shortening import Shortened, shorten
from smoothray.formulas.simplifying import simplify_constants
from smoothray.formulas.skeleton import (
    Node,
    add_up,
    constant,
    from_sympy,
    product,
    size,
    substituted,
    to_sympy,
    with_constants,
)
from smoothray.formulas.smallest import small_formulas
from smoothray.metrics.scores import mean_squared_error
from smoothray.students import Candidate, Student, pareto_front

logger = logging.getLogger(__name__)
ROUNDING = 1e-5
"""Largest change of a prediction that rounding a formula's constants may make, in standard deviations."""
AGREEMENT = 1e-3
"""Largest root mean square difference of a formula from the student's own, on the standard scale."""
REFITS = {"quick": 120, "standard": 300, "thorough": 600}
"""By a student's budget, how many formulas are fitted on the way to shorter ones."""
SMALL_ROWS = 256


@dataclass(frozen=True)
class Found(Candidate):
    """A formula in the data's own units and names, and sized there.

    standard: its nodes on the standard scale. simplified: by how much its validation loss rose as its
    constants became simple; None: they were left as they are.
    """

    standard: int = 0
    simplified: float | None = None


@dataclass(frozen=True, eq=False)
class Member:
    """A member of a front, in the data's own units, with its predictions back on the standard scale.

    unsafe: whether the guard refuses it; None: it was not asked.
    """

    found: Found
    outputs: dict[str, Array]
    gradients: Array = field(repr=False)
    unsafe: bool | None = None


def members_as_found(trial: Trial, candidates: Sequence[Candidate]) -> list[Member]:
    """The student's front in the data's units; its sizes are those of the standard scale."""
    members = []
    for candidate in candidates:
        expr = _in_units(trial, candidate.expr)
        own = Program(candidate.expr).values(trial.x["train"])
        rounded = None if expr is None else _rounded(trial, expr)
        if rounded is not None:
            found = Found(**{**vars(candidate), "expr": rounded}, standard=candidate.complexity)
            member = _member(trial, found)
            if _same(own, member.outputs["train"], rounded):
                members.append(member)
    return members


def shortened_members(
    trial: Trial,
    candidates: Sequence[Candidate],
    student: Student,
    target: Array,
    new: Array | None = None,
    validation: Array | None = None,
    seen: NDArray[np.int64] | None = None,
) -> list[Member]:
    """The front, by size in the data's units, of the student's formulas, of what is left of them where parts
    are dropped, and of the best ones of two columns.

    target: what the student was fitted to, on the train rows and then on the points `new`, all standardised.
    validation: the target on validation rows, by which constants are made simple; None: they are not.
    seen: the places of the target's values among these rows and points; None: they are all there.
    """
    data = _Data.of(trial, target, new, seen)
    pool: list[Found] = []
    nodes: list[Node] = []
    preferred = 0
    for candidate in candidates:
        expr = data.in_units(candidate)
        if expr is None:
            continue
        length = complexity(expr)
        preferred = max(preferred, length * candidate.preferred)
        try:
            nodes.append(from_sympy(expr, data.positions))
        except StudentError as error:
            logger.debug("not shortened: %s", error)
            pool += data.as_found(candidate, expr)
    nodes += small_formulas(data.rows(SMALL_ROWS), tuple(getattr(student, "operators", ())))
    pool += data.shortened(nodes, student, validation)
    return data.front([replace(each, preferred=each.complexity <= preferred) for each in pool])


def members_in_units(
    trial: Trial,
    candidates: Sequence[Candidate],
    target: Array,
    new: Array | None = None,
    seen: NDArray[np.int64] | None = None,
) -> list[Member]:
    """The front of the student's formulas with the constants that they have, by size in the data's units."""
    data = _Data.of(trial, target, new, seen)
    pool: list[Found] = []
    for candidate in candidates:
        expr = data.in_units(candidate)
        if expr is not None:
            pool += data.as_found(candidate, expr)
    return data.front(pool)


def shortened_again(
    trial: Trial,
    formulas: Sequence[str],
    student: Student,
    target: Array,
    new: Array | None = None,
    validation: Array | None = None,
    seen: NDArray[np.int64] | None = None,
) -> list[Member]:
    """The same of formulas in the data's units, as text, that earlier fits to this target gave."""
    data = _Data.of(trial, target, new, seen)
    symbols = {name: Symbol(name) for name in data.names}
    nodes: list[Node] = []
    for text in formulas:
        with suppress(StudentError):  # one that no part can be dropped of
            nodes.append(from_sympy(parse(text, symbols), data.positions))
    return data.front(data.shortened(nodes, student, validation))


@dataclass(frozen=True, eq=False)
class _Data:
    """What a student was fitted to, in the data's units."""

    trial: Trial
    X: Array
    y: Array

    @classmethod
    def of(
        cls, trial: Trial, target: Array, new: Array | None, seen: NDArray[np.int64] | None
    ) -> _Data:
        X = trial.raw["train"]
        if new is not None and len(new):
            # Between rows, and not by rounding beyond them, where a root may have no value.
            inside = np.clip(trial.x_scaler.inverse(new), X.min(0), X.max(0))
            X = np.concatenate([X, inside])
        if seen is not None:
            X = X[seen]
        return cls(trial, X, trial.y_scaler.inverse(target))

    @property
    def names(self) -> tuple[str, ...]:
        return self.trial.dataset.feature_names

    @property
    def positions(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def in_units(self, candidate: Candidate) -> Expr | None:
        """A student's formula in the data's units; None where it has no value or another one there."""
        expr = _in_units(self.trial, candidate.expr)
        if expr is None:
            return None
        values = self.standardised(Program(expr, self.names).values(self.trial.raw["train"]))
        wanted = Program(candidate.expr).values(self.trial.x["train"])
        return expr if _same(wanted, values, expr) else None

    def as_found(self, candidate: Candidate, expr: Expr) -> list[Found]:
        """A student's formula with the constants that it has; none where it cannot be written."""
        rounded = _rounded(self.trial, expr)
        if rounded is None:
            return []
        size_here = complexity(rounded)
        preferred = candidate.preferred
        return [Found(rounded, size_here, candidate.loss, preferred, candidate.complexity)]

    def shortened(
        self, nodes: Sequence[Node], student: Student, validation: Array | None
    ) -> list[Found]:
        """What comes of formulas where parts are dropped, as far as the student's budget goes."""
        refits = REFITS.get(getattr(student, "budget", ""), REFITS["standard"])
        most = getattr(student, "max_size", None)
        short = shorten(nodes, self.X, self.y, refits=refits, max_size=most)
        short = short or shorten(nodes, self.X, self.y, refits=refits)
        if validation is None:
            return [*filter(None, map(self.found, short))]
        return [*filter(None, (self.simplified(each, validation) for each in short))]

    def front(self, pool: Sequence[Found]) -> list[Member]:
        """The best of each size, each looked at by the guard."""
        guard = Guard(self.trial, self.y)
        return [_member(self.trial, found, guard) for found in pareto_front(pool)]

    def rows(self, most: int | None = None) -> Rows:
        return Rows.of(self.X, self.y, most=most)

    def standardised(self, values: Array) -> Array:
        return self.trial.y_scaler.transform(values)

    def found(self, formula: Shortened) -> Found | None:
        """The formula as SymPy has it; None where that has no value or another one."""
        rows = self.trial.raw["train"]
        compiled = Compiled(formula.node)
        there = compiled.values(rows)
        try:
            rounded = round_values(compiled, _some_rows(self.trial), ROUNDING, _most(self.trial))
            node = with_constants(formula.node, iter(rounded))
            expr = to_sympy(node, [Symbol(name) for name in self.names])
            here = Program(expr, self.names).values(rows)
            standard = size(self._standard(formula.node))
        except (StudentError, ArithmeticError) as error:
            logger.debug("dropped a shortened formula: %s", error)
            return None
        if not _same(self.standardised(there), self.standardised(here), expr):
            return None
        loss = formula.loss / self.trial.y_scaler.scale**2
        return Found(expr, complexity(expr), loss, standard=standard)

    def simplified(self, formula: Shortened, target: Array) -> Found | None:
        """The formula with simple constants, as far as the standard error of its validation loss allows."""
        weights = self.trial.weights["val"] if self.trial.weights else None

        def validated(node: Node) -> tuple[float, float]:
            values = self.standardised(Compiled(node).values(self.trial.raw["val"]))
            return mean_squared_error(target, values, weights)

        before, error = validated(formula.node)
        node = simplify_constants(
            formula.node, self.rows(SMALL_ROWS), lambda node: validated(node)[0] <= before + error
        )
        found = self.found(Shortened(node, loss_of(node, self.rows())))
        if found is None:
            return self.found(formula)
        return replace(found, simplified=validated(node)[0] - before)

    def _standard(self, node: Node) -> Node:
        """The formula of standardised columns and target."""
        x, y = self.trial.x_scaler, self.trial.y_scaler
        columns = {
            place: add_up([product([constant(scale), ("x", place)]), constant(mean)])
            for place, (scale, mean) in enumerate(zip(x.scale, x.mean, strict=True))
        }
        moved = add_up([substituted(node, columns), constant(-y.mean)])
        return product([constant(1.0 / y.scale), moved])


def _in_units(trial: Trial, expr: Expr) -> Expr | None:
    """A formula of the standard scale in the data's units; None where it has no value there."""
    x, y, names = trial.x_scaler, trial.y_scaler, trial.dataset.feature_names
    try:
        return unscale(expr, x.mean, x.scale, y.mean, y.scale, names, _some_rows(trial))
    except (StudentError, ArithmeticError) as error:
        logger.debug("dropped %s: %s", expr, error)
        return None


def _rounded(trial: Trial, expr: Expr) -> Expr | None:
    try:
        names = trial.dataset.feature_names
        return round_constants(expr, _some_rows(trial), names, ROUNDING, _most(trial))
    except (StudentError, ArithmeticError) as error:
        logger.debug("dropped %s: %s", expr, error)
        return None


def _most(trial: Trial) -> float:
    """By how much rounding may change a formula, in the data's units: it has to stay the same function."""
    return AGREEMENT / 2 * trial.y_scaler.scale


def _some_rows(trial: Trial) -> Array:
    """Rows from all over the table: where it is sorted, the first ones show little of it."""
    rows = trial.raw["train"]
    return rows[:: -(-len(rows) // 256)]


def _member(trial: Trial, found: Found, guard: Guard | None = None) -> Member:
    x, y = trial.x_scaler, trial.y_scaler
    program = Program(found.expr, trial.dataset.feature_names)
    outputs = {part: y.transform(program.values(trial.raw[part])) for part in ("train", "val")}
    values, gradients = program.value_and_gradient(trial.raw["test"])
    outputs["test"] = y.transform(values)
    gradients[~np.isfinite(values)] = np.nan
    unsafe = None if guard is None else guard.refuses(program)
    return Member(found, outputs, gradients * x.scale / y.scale, unsafe)


def _same(wanted: Array, values: Array, expr: Expr) -> bool:
    """Whether a formula's values, on the standard scale, are those that it should have."""
    with np.errstate(all="ignore"):
        same = bool(np.sqrt(np.mean((wanted - values) ** 2)) <= AGREEMENT)
    if not same:
        logger.debug("dropped %s: in the data's units it is another function", to_text(expr))
    return same
