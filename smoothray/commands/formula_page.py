"""What a distillation's page shows, taken from the distillation."""

from __future__ import annotations

import re
import shlex
import sys
import warnings as python_warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from smoothray_analysis.plots.formula import Column
from smoothray_analysis.report.formula_page import Formula, FormulaPage
from sympy import Expr

import smoothray
from smoothray.commands.console import hours
from smoothray.commands.distilled_tables import constants_text, units_text
from smoothray.datasets import Dataset
from smoothray.datasets.encoding import RawColumn
from smoothray.distillation.stability import Stability
from smoothray.errors import plural
from smoothray.formulas import Program, to_mathml
from smoothray.records.versions import versions
from smoothray.study.plan import Arm
from smoothray.study.settings import StudentSettings

if TYPE_CHECKING:
    from smoothray.distillation.distilled import Distilled

Array = NDArray[np.float64]
POINTS = 121
BEYOND = 0.1
"""How far past the training range a response is drawn, as a part of that range."""


def page_of(
    distilled: Distilled,
    source: str = "",
    *,
    warnings: Sequence[str] = (),
) -> FormulaPage:
    """The page's content. source: the table's file. warnings: what a reader should know."""
    model, dataset, stability = distilled.model, distilled.dataset, distilled.stability
    train, test = distilled.training, distilled.test
    index = np.concatenate([train, test])
    frame = pd.DataFrame(dataset.X[index], columns=list(dataset.feature_names))
    values = Program(model.sympy(), dataset.feature_names).values(frame.to_numpy())
    undefined = int((~np.isfinite(values)).sum())
    told = list(warnings)
    if undefined:
        told.append(
            f"the formula has no value on {undefined} of {len(index)} rows; the target's mean stands there"
        )
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore", RuntimeWarning)
        rows = pd.DataFrame(
            {
                "part": ["train"] * len(train) + ["test"] * len(test),
                "truth": dataset.y[index],
                "formula": model.predict(frame),
                "teacher": model.teacher_.predict(frame.to_numpy()),
                "direct": distilled.direct.predict(frame),
            }
        )
    return FormulaPage(
        target=dataset.target,
        features=dataset.feature_names,
        formula=_formula(model.formula_, model.sympy(), model.complexity_),
        direct=_formula(
            distilled.direct.formula_, distilled.direct.sympy(), distilled.direct.complexity_
        ),
        teacher=str(Arm(model.penalty_, model.strength_, model.augment)),
        rows=rows,
        columns=tuple(_columns(distilled, index, train)),
        fronts={"distilled": model.pareto_front_, "direct": distilled.direct.pareto_front_},
        strengths=model.strengths_,
        smoothness=model.smoothness_,
        facts=tuple(_facts(distilled, source, len(train), len(test))),
        command=shlex.join(["smoothray", *sys.argv[1:]]),
        notices=dataset.notices,
        warnings=tuple(told),
        repeats=None if stability is None else _repeats(stability),
        structures=None if stability is None else _structures(stability),
        units=None
        if distilled.units is None
        else units_text(distilled.units, distilled.without_unit),
        in_units=model.shorten,
    )


def _repeats(stability: Stability) -> pd.DataFrame:
    return stability.repeats.assign(repeat=range(1, len(stability.repeats) + 1))


def _structures(stability: Stability) -> pd.DataFrame:
    structures = stability.structures
    return structures.assign(constants=[constants_text(each) for each in structures["constants"]])


def _formula(text: str, expr: Expr, complexity: int) -> Formula:
    return Formula(text, to_mathml(expr), complexity)


def _facts(distilled: Distilled, source: str, train: int, test: int) -> Iterator[tuple[str, str]]:
    model, dataset = distilled.model, distilled.dataset
    yield "target", dataset.target
    yield "file", Path(source).name if source else dataset.name
    left = len(dataset.y) - train - test
    unused = f"; {left:,} more were left unused" if left else ""
    yield "rows", f"{len(dataset.y):,}: {train:,} train, {test:,} test{unused}"
    gaps = [each for each in dataset.notices if re.search(r"\brows? with gaps", each)]
    yield "rows left out", "; ".join(gaps) or "none"
    yield f"columns ({len(dataset.feature_names)})", ", ".join(dataset.feature_names)
    yield "teacher", str(Arm(model.penalty_, model.strength_, model.augment))
    spent = model.search_
    budget = (
        f"budget {model.budget}"
        if spent is None
        else f"{plural(spent['fits'], 'fit')} in {hours(spent['seconds'])}"
    )
    yield "student", f"{model.student}, {budget}, at most {model.max_size} nodes"
    yield "seed", str(distilled.seed)
    yield "data's fingerprint", dataset.fingerprint
    made_with = versions(StudentSettings(name=model.student))
    yield "made with", f"smoothray {smoothray.__version__}, {made_with}"
    yield "date", datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z").strip()


def _columns(
    distilled: Distilled, index: NDArray[np.int64], train: NDArray[np.int64]
) -> Iterator[Column]:
    """The table's columns that stand in the formula; those that encode one category count as one."""
    model, dataset = distilled.model, distilled.dataset
    names = dataset.feature_names
    expr: Any = model.sympy()
    program = Program(expr, names)
    inside = {str(symbol) for symbol in expr.free_symbols}
    groups = encoded(dataset)
    typical = typical_row(dataset.X[train], groups)
    for group in groups:
        if not inside & {names[place] for place in group}:
            continue
        name, levels, values, settings = _setting(dataset, group, index)
        low = high = 0.0
        if levels:
            at = np.arange(len(levels), dtype=np.float64)
            low, high = 0.0, float(len(levels) - 1)
        else:
            low, high = values[: len(train)].min(), values[: len(train)].max()
            space = BEYOND * (high - low)
            least = 0.0 if low >= 0 else -np.inf  # of lengths, ages and masses none is below nought
            at = np.linspace(max(low - space, least), high + space, POINTS)
            settings = at[:, None]
        X = np.tile(typical, (len(at), 1))
        X[:, group] = settings
        answers = program.values(X)
        formula = np.where(np.isfinite(answers), answers, np.nan)
        yield Column(name, values, at, formula, model.teacher_.predict(X), low, high, levels)


def _setting(
    dataset: Dataset, group: list[int], index: NDArray[np.int64]
) -> tuple[str, tuple[str, ...], Array, Array]:
    """A group's name, its levels, each row's value or level, and what a level is encoded as (levels, k)."""
    X, name = dataset.X[index][:, group], dataset.feature_names[group[0]]
    kinds = np.unique(dataset.X[:, group[0]])
    raw = _raw_columns(dataset).get(name)
    if len(group) > 1 and raw is not None:
        return raw.name, raw.levels, X.argmax(1).astype(np.float64), np.eye(len(group))
    if len(kinds) == 2:
        named = raw is not None and raw.kind == "category"
        levels = raw.levels if raw is not None and named else tuple(f"{kind:g}" for kind in kinds)
        places = np.searchsorted(kinds, X[:, 0]).astype(np.float64)
        return raw.name if raw is not None else name, levels, places, kinds[:, None]
    return name, (), X[:, 0], np.empty((0, 1))


def _raw_columns(dataset: Dataset) -> dict[str, RawColumn]:
    """The table's column that each input was made of."""
    kept = () if dataset.encoding is None else dataset.encoding.kept
    return {feature: column for column in kept for feature in column.features}


def encoded(dataset: Dataset) -> list[list[int]]:
    """Places of the inputs, those together that encode one category: "colour=red", "colour=blue", ..."""
    raw = _raw_columns(dataset)
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(dataset.feature_names):
        groups.setdefault(raw[name].name if name in raw else name, []).append(place)
    return list(groups.values())


def typical_row(X: Array, groups: list[list[int]]) -> Array:
    """The medians (d,) of rows X (n, d); of what has two values, and of a category, the most frequent."""
    row: Array = np.median(X, axis=0)
    for group in groups:
        if len(group) > 1:
            row[group] = np.eye(len(group))[X[:, group].sum(0).argmax()]
        else:
            kinds, counts = np.unique(X[:, group[0]], return_counts=True)
            if len(kinds) == 2:
                row[group[0]] = kinds[counts.argmax()]
    return row
