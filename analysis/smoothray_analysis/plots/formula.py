"""What one formula does with its data: predicted against true, residuals, and the response to each column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from smoothray_analysis.plots.style import COLOURS, WIDTH, grid_of_panels, short, styled

Array = NDArray[np.float64]
PANEL = 3.3
"""Inches that one panel takes: a page of 10.6 holds three, a phone one."""
SHOWN = 1500
"""The most points of a panel; of more rows an even selection is drawn."""
TRAIN, TEST, TEACHER = "#8c8c8c", COLOURS[1], "#333333"
RASTER = 400


@dataclass(frozen=True, eq=False)
class Column:
    """A column of the table that a formula uses, and what formula and teacher answer to it.

    values: (n,), of the rows of `FormulaPage.rows`; for a category the place of each row's level.
    at, formula, teacher: (m,), the points that the column is set to while every other one stays where it
        is, and the two answers, in the data's units; for a category one point a level.
    low, high: the training rows' range.
    levels: a category's names; empty for a column of numbers.
    """

    name: str
    values: Array
    at: Array
    formula: Array
    teacher: Array
    low: float
    high: float
    levels: tuple[str, ...] = ()


@styled
def parity_plot(rows: pd.DataFrame, target: str, width: float = 5.0) -> Figure:
    """Predicted against true, train and test on one square axis.

    rows: part ("train" or "test"), truth and formula. Predictions far beyond the truth lie on the border.
    """
    side = min(width, 5.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    low, high = rows["truth"].min(), rows["truth"].max()
    space = 0.15 * (high - low)
    ends = (low - space, high + space)
    axes.plot(ends, ends, color="#444444", lw=0.9, zorder=1)
    drawn = rows.assign(formula=rows["formula"].clip(*ends))
    _points(axes, drawn, drawn["truth"], drawn["formula"])
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.set_xlabel(f"{short(target)}: true")
    axes.set_ylabel(f"{short(target)}: the formula's")
    axes.legend(handles=_handles(rows), loc="upper left")
    return figure


@styled
def residuals_plot(
    rows: pd.DataFrame, columns: Sequence[Column], target: str, width: float = WIDTH
) -> Figure:
    """True minus predicted against each column, a panel a column, all on one scale."""
    residuals = rows["truth"] - rows["formula"]
    reach = 1.05 * float(residuals.abs().quantile(0.995)) or 1.0
    drawn = residuals.clip(-reach, reach)

    def draw(axes: Axes, column: Column) -> None:
        axes.axhline(0, color="#444444", lw=0.9, zorder=1)
        _points(axes, rows, _spread(column), drawn)

    figure = _panels(columns, draw, width)
    for axes in figure.axes:
        axes.set_ylim(-1.05 * reach, 1.05 * reach)
    figure.supylabel(f"{short(target)}: true minus formula", fontsize=9)
    figure.legend(handles=_handles(rows), loc="outside upper center", ncols=2)
    return figure


@styled
def response_plot(
    rows: pd.DataFrame, columns: Sequence[Column], target: str, width: float = WIDTH
) -> Figure:
    """What formula and teacher answer as one column changes, a panel a column, over the data.

    What lies outside the training range is shaded.
    """

    def draw(axes: Axes, column: Column) -> None:
        inside = (column.at >= column.low) & (column.at <= column.high)
        heights = np.concatenate([rows["truth"], column.formula[inside], column.teacher[inside]])
        low, high = np.nanmin(heights), np.nanmax(heights)
        space = 0.05 * (high - low)
        x = _spread(column)
        chosen = _thin(len(rows))
        axes.scatter(
            x[chosen], rows["truth"].to_numpy()[chosen], s=5, color="#b5b5b5", lw=0,
            rasterized=len(chosen) > RASTER,
        )  # fmt: skip
        if column.levels:
            axes.plot(column.at, column.formula, "D", color=COLOURS[0], ms=6)
            axes.plot(column.at, column.teacher, "o", mec=TEACHER, mfc="none", ms=11)
        else:
            axes.plot(column.at, column.teacher, "--", color=TEACHER)
            axes.plot(column.at, column.formula, color=COLOURS[0], lw=2)
        axes.set_ylim(low - space, high + space)
        if not column.levels:
            for start, end in ((column.at[0], column.low), (column.high, column.at[-1])):
                axes.axvspan(start, end, color="#f3e3d3", lw=0, zorder=0)
            axes.set_xlim(column.at[0], column.at[-1])

    figure = _panels(columns, draw, width)
    figure.supylabel(short(target), fontsize=9)
    handles = [
        Line2D([], [], color=COLOURS[0], lw=2, marker="D", ms=4, label="formula"),
        Line2D([], [], color=TEACHER, ls="--", marker="o", mfc="none", ms=4, label="teacher"),
        Line2D([], [], color="#b5b5b5", ls="", marker="o", ms=3, label="data"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _panels(
    columns: Sequence[Column], draw: Callable[[Axes, Column], None], width: float
) -> Figure:
    across = max(1, int(width // PANEL))
    figure, panels = grid_of_panels([""] * len(columns), across, 2.5)
    figure.set_size_inches(min(width, PANEL * min(across, len(columns)) + 0.4),
                           figure.get_size_inches()[1])  # fmt: skip
    for axes, column in zip(panels, columns, strict=True):
        draw(axes, column)
        axes.set_xlabel(short(column.name, 40), fontsize=8)
        axes.tick_params(labelsize=8)
        if column.levels:
            most = max(4, 40 // len(column.levels))
            turned = len(column.levels) > 4 or sum(map(len, column.levels)) > 34
            axes.set_xticks(
                range(len(column.levels)),
                [short(level, 14 if turned else most) for level in column.levels],
                rotation=45 if turned else 0, ha="right" if turned else "center",
            )  # fmt: skip
            axes.set_xlim(-0.5, len(column.levels) - 0.5)
    return figure


def _spread(column: Column) -> Array:
    """The column's values, those of a category drawn apart."""
    if not column.levels:
        return column.values
    return column.values + np.random.default_rng(0).uniform(-0.22, 0.22, len(column.values))


def _points(axes: Axes, rows: pd.DataFrame, x: Array | pd.Series, y: Array | pd.Series) -> None:
    x, y = np.asarray(x), np.asarray(y)
    for part, color, size, marker in (("train", TRAIN, 6, "o"), ("test", TEST, 11, "^")):
        mine = np.flatnonzero(rows["part"] == part)
        mine = mine[_thin(len(mine))]
        axes.scatter(
            x[mine], y[mine], s=size, color=color, marker=marker, lw=0, alpha=0.75, zorder=2,
            rasterized=len(mine) > RASTER,
        )  # fmt: skip


def _thin(n: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, n - 1, min(n, SHOWN)).round().astype(np.int64))


def _handles(rows: pd.DataFrame) -> list[Line2D]:
    counts = rows["part"].value_counts()
    return [
        Line2D([], [], ls="", marker="o", color=TRAIN, ms=4, label=f"train ({counts.get('train', 0)})"),
        Line2D([], [], ls="", marker="^", color=TEST, ms=5, label=f"test ({counts.get('test', 0)})"),
    ]  # fmt: skip
