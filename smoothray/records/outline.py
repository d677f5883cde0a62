"""What MLflow shows of a cell beside its numbers, made of its records alone: words, origin, data, front."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from smoothray.records.cells import Cell
from smoothray.records.schema import Record

COMMAND = "SMOOTHRAY_COMMAND"
"""The variable that tells processes on other machines what was typed on this one."""
SCORES = {
    "student_r2_test": "R²", "teacher_r2_test": "teacher's R²", "fidelity_test": "fidelity",
    "complexity": "nodes",
}  # fmt: skip


def typed() -> str:
    """What was typed to start this process."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def command() -> str:
    """What was typed to start this study."""
    return os.environ.get(COMMAND) or typed()


def median_trial(records: Iterable[Record]) -> Record | None:
    """Of the trials that finished the one in the middle by test R², of an even number the lower."""
    good = [r for r in records if r["status"] == "ok" and r["student_r2_test"] is not None]
    good.sort(key=lambda record: record["student_r2_test"])
    return good[(len(good) - 1) // 2] if good else None


def best_cell(cells: Mapping[Cell, list[Record]]) -> Cell | None:
    """The cell with the highest median validation R², which chooses without the test rows."""
    medians = {
        cell: statistics.median(scores)
        for cell, records in cells.items()
        if median_trial(records) and (scores := [
            r["student_r2_val"] for r in records
            if r["status"] == "ok" and r["student_r2_val"] is not None
        ])
    }  # fmt: skip
    return max(medians, key=medians.__getitem__) if medians else None


def description(cell: Cell, records: Iterable[Record]) -> str:
    """A cell in Markdown: the median trial's formula, its scores, and the command."""
    dataset, arm, student = cell
    lines = [f"**{arm}** on **{dataset}**, formulas by {student}."]
    middle = median_trial(records)
    if middle is None:
        lines.append("No trial finished.")
    else:
        scores = [
            f"{name} {middle[field]:.4g}" for field, name in SCORES.items() if middle[field] is not None
        ]  # fmt: skip
        lines += [
            f"Formula of the median trial ({middle['trial']}) by test R²:",
            f"```\n{(middle['formula'] or '')[:4000]}\n```",
            ", ".join(scores) + " (on test rows)",
        ]
    lines.append(f"Recorded by `{command()}`")
    return "\n\n".join(lines)


def origin(records: list[Record]) -> dict[str, str]:
    """MLflow's own tags for who ran what, and the versions that the records were made with."""
    last = records[-1]
    versions = last.get("versions") or ""
    tags = {
        "mlflow.user": _user(), "mlflow.source.type": "LOCAL", "mlflow.source.name": command(),
        "smoothray.versions": f"smoothray {last['version']}" + (f", {versions}" if versions else ""),
    }  # fmt: skip
    commit = re.search(r"\bcommit (\w+)", versions)
    return tags | ({"mlflow.source.git.commit": commit[1]} if commit else {})


def settings(identity: Mapping[str, Any] | None, student: str) -> dict[str, str]:
    """The teacher's and the student's settings as parameters, as "teacher.steps"."""
    identity = identity or {}
    parts = {
        "teacher": identity.get("teacher") or {},
        "student": (identity.get("students") or {}).get(student) or {},
    }
    shown = {"seed": str(identity["seed"])} if "seed" in identity else {}
    for part, values in parts.items():
        for name, value in values.items():
            if value not in (None, {}, []):
                listed = isinstance(value, list | tuple)
                text = ", ".join(map(str, value)) if listed else str(value)
                shown[f"{part}.{name}"] = text[:500]
    return shown


def rows(record: Record) -> dict[str, int]:
    """The rows of the data set, and of each part of a trial."""
    parts = {part: int(record[f"n_{part}"]) for part in ("train", "val", "test")}
    return {"num_rows": sum(parts.values()), **parts}


def work_seconds(record: Record) -> float:
    """Seconds that a trial's own work took: its share of the teachers, and its formula."""
    return sum(record[name] or 0.0 for name in ("teacher_seconds", "student_seconds"))


def draw_front(record: Record, file: Path) -> None:
    """A picture of a trial's Pareto front: test R² against size, the chosen member ringed."""
    from matplotlib.figure import Figure

    members = [m for m in record["front"] or () if m.get("r2_test") is not None]
    members.sort(key=lambda member: member["complexity"])
    figure = Figure(figsize=(6, 3.6), dpi=80)  # laid out by hand, in half of the time
    axes = figure.add_axes((0.13, 0.15, 0.84, 0.75))
    shown = [max(m["r2_test"], -1.0) for m in members]
    axes.plot([m["complexity"] for m in members], shown, "o-", ms=4)
    for member, r2 in zip(members, shown, strict=True):
        if member["chosen"]:
            axes.plot(member["complexity"], r2, "o", ms=11, mfc="none", mec="black", label="chosen")
            axes.legend(loc="lower right")
    axes.set_xlabel("nodes of the formula")
    axes.set_ylabel("R² on test rows")
    axes.set_title(f"Front of the median trial, {record['trial']}", fontsize=10)
    figure.savefig(file)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())
