"""What a person sees: tables on standard output, progress and plain lines on standard error."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from smoothray.errors import plural

if TYPE_CHECKING:
    import pandas as pd

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """A line for the person at the terminal."""
    err.print(escape(text), soft_wrap=True)


@contextmanager
def reported(logger: str, update: Callable[[str], None]) -> Iterator[None]:
    """Hand what a logger says to `update` for a while."""
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: update(record.getMessage())  # type: ignore[method-assign]
    source = logging.getLogger(logger)
    level = source.level
    source.setLevel(logging.INFO)
    source.addHandler(handler)
    try:
        yield
    finally:
        source.removeHandler(handler)
        source.setLevel(level)


SELDOM = 60.0
"""Seconds between lines on how far the work is, where they go to a file."""


class Seldom:
    """Says a line that replaces the last one: on a terminal nothing, for bars and spinners are there; in a
    log now and then."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, text: str) -> None:
        if not (err.is_terminal or err.is_jupyter) and time.monotonic() - self._said >= SELDOM:
            self._said = time.monotonic()
            say(text)


def show(table: Table) -> None:
    """Print a table; in a file or a pipe as wide as it needs, so that nothing is cut off."""
    (out if out.is_terminal else Console(width=10_000, highlight=False)).print(table)


ALL = "(all)"  # no data set is called so: brackets are not allowed in their names


class StudyProgress:
    """One line per data set with what is done and the time left: bars on a terminal, a widget in a notebook,
    and in a log a line a minute.
    """

    def __init__(self, totals: Counter[str], done: Counter[str]) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=err,
            disable=not (err.is_terminal or _has_widgets()),
            speed_estimate_period=600,
        )
        names = list(totals)
        if len(names) > 1:
            names.append(ALL)
            totals = totals + Counter({ALL: sum(totals.values())})
            done = done + Counter({ALL: sum(done.values())})
        self._tasks = {
            name: self._bars.add_task(
                escape(name), total=totals[name], completed=done[name], note=""
            )
            for name in names
        }
        self._failures: Counter[str] = Counter()
        self._left, self._total = (totals - done)[names[-1]], totals[names[-1]]
        self._todo, self._start, self._say = self._left, time.monotonic(), Seldom()

    def __enter__(self) -> StudyProgress:
        self._bars.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._bars.stop()

    def count(self, dataset: str, failed: bool) -> None:
        for name in (dataset, ALL):
            if name in self._tasks:
                self._failures[name] += failed
                note = f"{self._failures[name]} failed" if self._failures[name] else ""
                self._bars.update(self._tasks[name], advance=1, note=note)
        self._left -= 1
        spent = time.monotonic() - self._start
        left = hours(spent / (self._todo - self._left) * max(0, self._left))
        failures = sum(self._failures[name] for name in self._failures if name != ALL)
        self._say(
            f"{self._total - self._left} of {plural(self._total, 'fit')}, about {left} left"
            + f", {failures} failed" * bool(failures)
        )


def _has_widgets() -> bool:
    """Whether this is a notebook that can show bars."""
    if err.is_jupyter and find_spec("ipywidgets") is None:
        say("To see the progress here: pip install ipywidgets")
        return False
    return err.is_jupyter


def summary_table(summary: pd.DataFrame) -> Table:
    """The rows of `smoothray_analysis.summarise` as a table."""
    several = summary["student"].nunique() > 1
    trials = sorted(set(summary["trials"].astype(int) + summary["failed"].astype(int)))
    most = trials[-1]
    title = f"Medians over {most} trials on their test rows" if most > 1 else "One trial, test rows"
    shown = [
        ("data set", "left", lambda row: escape(str(row["dataset"]))),
        ("student", "left", lambda row: row["student"]),
        ("arm", "left", arm_text),
        ("trials", "right", lambda row: str(int(row["trials"]))),
        ("failed", "right", lambda row: str(int(row["failed"]))),
        ("teacher", "right", lambda row: number(row["teacher_r2_test"])),
        ("fidelity", "right", lambda row: number(row["fidelity_test"])),
        ("R²", "right", lambda row: number(row["student_r2_test"])),
        ("nodes", "right", lambda row: number(row["complexity"], 0)),
        ("beats", "right", lambda row: share(row["better"])),
    ]
    left_out = {
        "student": not several,
        "trials": len(trials) == 1 and not summary["failed"].sum(),
        "failed": not summary["failed"].sum(),
    }
    shown = [column for column in shown if not left_out.get(column[0])]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, caption=LEGEND,
                  caption_justify="left")  # fmt: skip
    for name, justify, _ in shown:
        # On a narrow terminal names are folded; numbers never lose a digit.
        fold = {"overflow": "fold"} if justify == "left" else {"no_wrap": True, "min_width": 6}
        table.add_column(name, justify=justify, **fold)  # type: ignore[arg-type]
    last = None
    for row in summary.to_dict("records"):
        if last not in (None, row["dataset"]):
            table.add_section()
        if row["dataset"] == last:
            row["dataset"] = ""
        else:
            last = row["dataset"]
        table.add_row(*(text(row) for _, _, text in shown))
    return table


LEGEND = (
    "arm: each penalty at strengths that validation rows chose (of other data sets or, of few, by trial), "
    "λ where it is one for all trials\nteacher, R²: against the labels; fidelity: formula against teacher\n"
    "beats: trials in which the "
    "formula beats plain distillation (none)"
)


def share(value: float) -> str:
    """A part of 1 as per cent.

    >>> share(0.6), share(float("nan"))
    ('60 %', '')
    """
    return "" if math.isnan(value) else f"{100 * value:.0f} %"


def arm_text(row: dict[Any, Any]) -> str:
    """An arm as text: plain distillation is `none`, the fit without a teacher `direct`."""
    from smoothray.study.plan import Arm

    strength = None if row["strength"] is None or math.isnan(row["strength"]) else row["strength"]
    return str(Arm.of({**row, "strength": strength}))


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table; a dash where there is none.

    >>> number(0.12345), number(None), number(-1234567.0)
    ('0.123', '–', '-1.23e+06')
    """
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.{digits}f}" if abs(value) < 1e4 else f"{value:.3g}"


def rows_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    """A plain table of text."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def hours(seconds: float) -> str:
    """A length of time in the unit that suits it.

    >>> hours(40), hours(600), hours(9000)
    ('40 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def reasons(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Why trials failed: a line for each reason, the commonest first.

    >>> reasons([{"status": "failed", "reason": "it hung"}, {"status": "ok", "reason": None}])
    ['1 × it hung']
    """
    counts = Counter(r["reason"] for r in records if r["status"] == "failed")
    return [f"{count} × {reason}" for reason, count in counts.most_common()]
