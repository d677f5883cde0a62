"""One style for all plots: told apart in grey and by the colour-blind, nothing cut off."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from smoothray_analysis.arms import EARLY
from smoothray_analysis.regimes import regime_of

# Okabe & Ito 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("s", "^", "D", "v", "<", ">")
WIDTH = 10.6
"""Inches: what a page shows without making it smaller."""

RC: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
}
P = ParamSpec("P")


class Look(NamedTuple):
    """How an arm is drawn in every plot. markerfacecolor: None for its colour."""

    color: str
    marker: str
    linestyle: str
    markerfacecolor: str | None = None


FIXED = {
    "direct": Look("#000000", "X", ":"),
    "none": Look("#666666", "o", "--"),
    "weight_decay": Look("#8a6d00", "P", "-."),
}


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """A look for every arm of a study, the same whatever their order; baselines always have theirs.

    An arm whose teachers were trained to the end has the colour and marker of the one whose teachers were
    stopped early, with a line of dashes and dots (or dots alone) and hollow markers.
    """
    names = sorted(set(arms))
    kinds = len(COLOURS)
    free = [name for name in sorted({regime_of(name)[0] for name in names}) if name not in FIXED]
    family = dict(FIXED)
    for place, name in enumerate(free):
        line = ("-", (0, (5, 1)), (0, (3, 1, 1, 1)))[place // kinds % 3]
        family[name] = Look(COLOURS[place % kinds], MARKERS[(place + place // kinds) % kinds], line)  # type: ignore[arg-type]
    by_arm = {}
    for name in names:
        arm, regime = regime_of(name)
        by_arm[name] = family[arm] if regime == EARLY else _to_the_end(family[arm])
    return by_arm


def _to_the_end(early: Look) -> Look:
    line: Any = (0, (1, 1)) if early.linestyle == "-." else (0, (6, 1.2, 1, 1.2, 1, 1.2))
    return early._replace(linestyle=line, markerfacecolor="white")


Looks = Mapping[str, Look]


def legend(figure: Figure, handles: Iterable[Artist], most: int = 6) -> None:
    """A legend above all panels, in as many columns as the figure is wide enough for."""
    shown = list(handles)
    if not shown:
        return
    longest = max(len(str(handle.get_label())) for handle in shown)
    room = figure.get_figwidth() / (0.065 * longest + 0.6)
    ncols = max(1, min(len(shown), most, int(room)))
    figure.legend(handles=shown, loc="outside upper center", ncols=ncols)


def arm_handle(arm: str, look: Look, marked: bool = True) -> Line2D:
    """How a legend shows an arm; marked: with its marker."""
    return Line2D([], [], label=arm, color=look.color, ls=look.linestyle, mfc=look.markerfacecolor,
                  marker=look.marker if marked else "")  # fmt: skip


def plain_log(panel: Axes) -> None:
    """A log axis below with plain numbers."""
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=7))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the style of RC, leaving matplotlib's own settings alone."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(RC):
            return draw(*args, **kwargs)

    return drawn


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.png (150 dots an inch) and `stem`.svg; the same figure gives the same bytes."""
    files = [stem.parent / f"{stem.name}{suffix}" for suffix in (".png", ".svg")]
    with matplotlib.rc_context({**RC, "svg.hashsalt": "smoothray"}):
        figure.savefig(files[0], dpi=150, bbox_inches="tight", pad_inches=0.08)
        figure.savefig(files[1], bbox_inches="tight", pad_inches=0.08, metadata={"Date": None})
    return files


def short(name: str, most: int = 34) -> str:
    """A name that fits: its middle gives way.

    >>> short("678_visualizing_environmental"), short("a_very_long_name_of_a_data_set", 15)
    ('678_visualizing_environmental', 'a_very_…ata_set')
    """
    if len(name) > most:
        half = (most - 1) // 2
        name = f"{name[: most - 1 - half]}…{name[-half:]}"
    return name.replace("$", r"\$")  # which matplotlib would take for mathematics


def grid_of_panels(
    names: Sequence[str], columns: int = 5, height: float = 1.65, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of small panels, one a name, titled by it; the empty places of the last row are hidden."""
    columns = min(columns, max(len(names), 1))
    rows = math.ceil(len(names) / columns)
    width = WIDTH if columns > 2 else 3.6 * columns + 1.0
    figure = Figure(figsize=(width, height * rows + 0.8), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for place, panel in enumerate(axes):
        panel.set_visible(place < len(names))
    most = 30 if columns > 3 else 40
    for place, (panel, name) in enumerate(zip(axes, names, strict=False)):
        if place + columns >= len(names):  # nothing below that it could share its labels with
            panel.tick_params(labelbottom=True)
        panel.set_title(short(name, most), fontsize=7, pad=3)
        panel.tick_params(labelsize=7, length=2, pad=2)
    return figure, axes[: len(names)]


def robust_high(values: Iterable[float]) -> float:
    """The highest value that is finite; 1 if none is."""
    return float(max((value for value in values if np.isfinite(value)), default=1.0))


def robust_low(values: Iterable[float], span: float = 0.5) -> float:
    """Where an R² axis may end: the lowest value, but no further than `span` below the highest."""
    finite = [value for value in values if np.isfinite(value)]
    return float(max(min(finite), max(finite) - span)) if finite else 0.0
