"""Cells: the trials of an arm on a data set with a student, which are kept and shown together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from smoothray.records.fronts import kept_of_front
from smoothray.records.schema import Record
from smoothray.study.plan import Arm, Key

Cell = tuple[str, Arm, str]


def by_cell(records: Mapping[Key, Record]) -> dict[Cell, list[Record]]:
    """The records of each cell."""
    cells: dict[Cell, list[Record]] = {}
    for key, record in records.items():
        cells.setdefault(key.cell, []).append(record)
    return cells


def digest(records: Iterable[Record]) -> str:
    """What tells one table of a cell from another, also where it lacks fronts."""
    rows = []
    for record in records:
        kept = kept_of_front(record)
        lacking = () if kept == "all" else (kept,)
        rows.append((record["trial"], record["status"], record["formula"] or "", *lacking))
    rows.sort()
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]


def cell_name(cell: Cell) -> str:
    """A cell as text, from which nothing is read back."""
    return str(Key(*cell, trial=0)).rpartition("/")[0]


def parameters(dataset: str, arm: Arm, student: str) -> dict[str, str]:
    """What MLflow shows of a cell in columns of their own.

    Arms without a strength have 0: where a run lacks a number, MLflow's page of compared runs draws it just
    above the largest that there is, so that plain distillation would look the most penalised of all.
    """
    return {
        "dataset": dataset,
        "penalty": arm.penalty,
        "strength": f"{arm.strength or 0:g}",
        "augment": str(arm.augment),
        "ensemble": str(arm.ensemble),
        "stopping": arm.stopping,
        "restart": str(arm.restart),
        "student": student,
    }
