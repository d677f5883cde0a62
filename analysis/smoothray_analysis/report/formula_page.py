"""One formula's page: what `smoothray distill` made, in one file that needs no network."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from smoothray_analysis.plots.attempts import attempts_plot, repeats_plot
from smoothray_analysis.plots.formula import (
    SHOWN,
    Column,
    parity_plot,
    residuals_plot,
    response_plot,
)
from smoothray_analysis.plots.fronts import front_plot
from smoothray_analysis.plots.style import RC, WIDTH, save
from smoothray_analysis.report.cells import digits_text
from smoothray_analysis.report.formula_words import (
    columns_used,
    headline,
    repeats_words,
    score_rows,
    smoothness_words,
)
from smoothray_analysis.report.mathml import breakable
from smoothray_analysis.report.words import IN_UNITS, STANDARD
from smoothray_analysis.text import count

PAGE = "report.html"
NARROW = 3.9
"""Inches: a figure as a phone shows it."""
FIGURES = ("predicted", "residuals", "response", "front", "strengths", "repeats")


@dataclass(frozen=True)
class Formula:
    """A formula as text and as one <math> element, with its number of nodes."""

    text: str
    mathml: str
    complexity: int

    @property
    def pieces(self) -> list[Markup]:
        """The mathematics in parts that a line may break between."""
        return [Markup(piece) for piece in breakable(self.mathml)]


@dataclass(frozen=True, eq=False)
class FormulaPage:
    """All that the page shows, as plain values, arrays and frames.

    Attributes:
        target: the column that is predicted.
        features: all columns that formulas could use, in the table's order.
        formula, direct: the distilled formula, and the one fitted to the labels without a teacher.
        teacher: what the teacher was trained with, as "lipschitz λ=0.1".
        rows: a row each of the table's that was used: `part` ("train" or "test"), `truth`, and what
            `formula`, `teacher` and `direct` predict, in the target's units, all finite.
        columns: those in the formula; their values are in the order of `rows`.
        fronts: by "distilled" and "direct", a row a member with complexity, r2_val, formula and chosen,
            and where the guard looked at them unsafe.
        strengths: what was tried: penalty, strength, r2_val, teacher_r2_val, complexity and chosen.
        smoothness: as `SymbolicDistiller.smoothness_`; any of them may be None.
        facts: what it was made of, as pairs of a name and a text.
        command: what was typed.
        notices: what was changed in the table before it was used.
        warnings: what a reader should know before trusting the formula.
        repeats: a row a fit with another split and seed: repeat, seed, r2_test, teacher_r2_test,
            direct_r2_test, complexity, formula, penalty and strength; None where none was done.
        structures: formulas equal but for constants: structure, count, r2_test and constants.
        units: what was found about the formula's units.
        in_units: whether nodes are those of formulas as they are shown, or those on the standard scale.
    """

    target: str
    features: tuple[str, ...]
    formula: Formula
    direct: Formula
    teacher: str
    rows: pd.DataFrame
    columns: tuple[Column, ...]
    fronts: Mapping[str, pd.DataFrame]
    strengths: pd.DataFrame
    smoothness: Mapping[str, float | None]
    facts: tuple[tuple[str, str], ...] = ()
    command: str = ""
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    repeats: pd.DataFrame | None = None
    structures: pd.DataFrame | None = None
    units: str | None = None
    in_units: bool = True

    @property
    def counted(self) -> str:
        """In which units nodes are counted."""
        return IN_UNITS if self.in_units else STANDARD

    @cached_property
    def scores(self) -> dict[str, dict[str, float]]:
        """R² by part of the rows: of formula, teacher and direct fit, and the formula's fidelity."""
        return {str(part): _scores(rows) for part, rows in self.rows.groupby("part")}


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure of the page: its file's name, its caption, what it shows in a sentence, how to draw it."""

    name: str
    caption: str
    alt: str
    draw: Callable[[float], Figure]
    wide: float = WIDTH


@dataclass(frozen=True)
class Drawn:
    """A figure as the page holds it: SVG for a wide and for a narrow screen."""

    name: str
    caption: str
    alt: str
    wide: str = field(repr=False)
    narrow: str = field(repr=False)


def write_page(content: FormulaPage, folder: Path) -> list[Path]:
    """Write report.html, and its figures as PNG and SVG beside it; those of an older page are taken away.

    Raises OSError where the folder cannot be written.
    """
    for name in FIGURES:
        for kind in (".png", ".svg"):
            (folder / f"{name}{kind}").unlink(missing_ok=True)
    drawn, written = {}, []
    for plot in plots(content):
        made = save(plot.draw(plot.wide), folder / plot.name)
        narrow = _svg(plot.draw(NARROW))
        drawn[plot.name] = Drawn(
            plot.name, plot.caption, plot.alt, _source(made[1].read_bytes()), _source(narrow)
        )
        written += made
    (folder / PAGE).write_text(page(content, drawn), encoding="utf-8")
    return [folder / PAGE, *written]


def page(content: FormulaPage, drawn: Mapping[str, Drawn]) -> str:
    """The page as HTML. drawn: its figures by name; those that are missing are left out."""
    folder = files("smoothray_analysis.report")
    jinja = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters["number"] = digits_text
    template = jinja.from_string((folder / "formula_page.html.jinja").read_text(encoding="utf-8"))
    styles = [
        (folder / name).read_text(encoding="utf-8") for name in ("page.css", "formula_page.css")
    ]
    return template.render(
        page=content,
        style=Markup("\n".join(styles)),
        headline=headline(content),
        scores=score_rows(content),
        plots=drawn,
        smoothness=smoothness_words(content),
        repeats=[] if content.repeats is None else repeats_words(content.repeats),
        used=_used(content),
        structures=_structures(content.structures),
        tried=content.strengths.sort_values("r2_val", ascending=False).to_dict("records"),
        front=[
            {"unsafe": False, **member}  # the student's own front, left as it is, was not looked at
            for member in content.fronts["distilled"].sort_values("complexity").to_dict("records")
        ],
    )


def plots(content: FormulaPage) -> Iterator[Plot]:
    """The figures that there is something to show in."""
    rows, target, columns = content.rows, content.target, content.columns
    test = digits_text(content.scores["test"]["r2"])
    thinned = f" At most {SHOWN:,} points of each part are drawn." if len(rows) > SHOWN else ""
    outside = not rows["formula"].between(*_reach(rows["truth"])).all()
    border = " Predictions far beyond the axis lie on its border." if outside else ""
    names = ", ".join(column.name for column in columns)
    yield Plot(
        "predicted",
        "Predicted against true: on the line a prediction is exact. Train: the rows that it was made from; "
        f"test: rows kept away from all fitting and choosing.{border}{thinned}",
        f"Scatter of {target} as the formula predicts it against its true value; R² {test} on test rows.",
        partial(parity_plot, rows, target), 5.0,
    )  # fmt: skip
    if columns:
        yield Plot(
            "residuals",
            "True minus predicted, against each column in the formula. A bend or a funnel here is something "
            f"that the formula has missed.{thinned}",
            f"Scatters of the formula's residuals against {names}.",
            partial(residuals_plot, rows, columns, target),
        )  # fmt: skip
        yield Plot(
            "response",
            "What formula and teacher predict as one column changes, while the other columns stay at their "
            "medians (categories at their most frequent level), over the data, whose other columns vary. "
            "Shaded: outside the range of the training rows, where neither has seen anything.",
            f"Curves of {target} by formula and teacher against {names}, each over its data.",
            partial(response_plot, rows, columns, target),
        )  # fmt: skip
    sizes = content.fronts["distilled"]["complexity"]
    yield Plot(
        "front",
        "Size against accuracy: what shorter formulas would lose. R² on validation rows is spaced by "
        "log(1 − R²), so that differences near 1 are seen.",
        f"Pareto fronts: {len(sizes)} distilled formulas of {sizes.min()} to {sizes.max()} nodes by R² on "
        f"validation rows, beside those of the direct fit; chosen: {content.formula.complexity} nodes.",
        partial(front_plot, content.fronts), 6.4,
    )  # fmt: skip
    if content.strengths["strength"].nunique() > 1:
        yield Plot(
            "strengths",
            "What the strength of smoothing does, on validation rows; the ring is what was chosen. A line "
            "without points is a teacher without a penalty.",
            "R² on validation rows of formula and teacher against strength, for "
            f"{', '.join(sorted(set(content.strengths['penalty'])))}; chosen: {content.teacher}.",
            partial(attempts_plot, content.strengths), 6.4,
        )  # fmt: skip
    if content.repeats is not None and len(content.repeats) > 1:
        yield Plot(
            "repeats",
            "Test R² of every repeat; a line joins the three of one repeat, bars are medians.",
            f"Test R² of direct fit, formula and teacher in {len(content.repeats)} repeats. "
            + " ".join(repeats_words(content.repeats)),
            partial(repeats_plot, content.repeats), 5.0,
        )  # fmt: skip


def _scores(rows: pd.DataFrame) -> dict[str, float]:
    return {
        "r2": _r2(rows["truth"], rows["formula"]),
        "teacher_r2": _r2(rows["truth"], rows["teacher"]),
        "direct_r2": _r2(rows["truth"], rows["direct"]),
        "fidelity": _r2(rows["teacher"], rows["formula"]),
    }


def _r2(truth: pd.Series, predicted: pd.Series) -> float:
    spread = float(np.square(truth - truth.mean()).sum())
    return 1 - float(np.square(truth - predicted).sum()) / spread if spread else math.nan


def _reach(truth: pd.Series) -> tuple[float, float]:
    space = 0.15 * (truth.max() - truth.min())
    return truth.min() - space, truth.max() + space


def _used(content: FormulaPage) -> list[tuple[str, str]]:
    """In how many of the repeats' formulas each column stands, the most first."""
    if content.repeats is None:
        return []
    counts = dict.fromkeys(content.features, 0)
    for formula in content.repeats["formula"].dropna():
        for name in columns_used(str(formula), content.features):
            counts[name] += 1
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    total = count(len(content.repeats), "fit")
    return [(name, f"{number} of {total}") for name, number in ranked]


def _structures(structures: pd.DataFrame | None) -> list[dict[str, Any]]:
    if structures is None:
        return []
    rows: list[dict[Any, Any]] = structures.to_dict("records")
    return [
        {**row, "r2_test": row["r2_test"] if isinstance(row["r2_test"], str)
         else digits_text(row["r2_test"])}
        for row in rows
    ]  # fmt: skip


def _svg(figure: Figure) -> bytes:
    file = io.BytesIO()
    with matplotlib.rc_context({**RC, "svg.hashsalt": "smoothray"}):
        figure.savefig(
            file, format="svg", bbox_inches="tight", pad_inches=0.08, metadata={"Date": None}
        )
    return file.getvalue()


def _source(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
