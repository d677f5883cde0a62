"""What works on this machine, and why the rest does not."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that a study may need, and whether it works here."""

    kind: str
    name: str
    works: bool
    detail: str


def findings() -> Iterator[Finding]:
    """Students, plug-ins, devices, data sources and MLflow, each with what it is or why it does not work."""
    yield from _students()
    yield from _plugins()
    yield from _devices()
    yield from _sources()
    yield _mlflow()
    yield Finding("scheduler", "ray", True, importlib.metadata.version("ray"))


def _students() -> Iterator[Finding]:
    from smoothray.students import STUDENTS

    for name, student in STUDENTS.items():
        reason = student.unavailable()
        version = "" if reason else importlib.metadata.version(student.packages[0])
        yield Finding("student", name, reason is None, reason or version)


def _plugins() -> Iterator[Finding]:
    """What installed packages offer by entry points."""
    from smoothray.errors import PluginError
    from smoothray.penalties import find_penalty
    from smoothray.plugins import GROUPS, entry_points
    from smoothray.students import find_student

    for what, group in GROUPS.items():
        for name, entry in entry_points(group).items():
            reason = None
            try:
                if what == "student":
                    reason = find_student(name).unavailable()
                else:
                    find_penalty(name)
            except PluginError as error:
                reason = str(error)
            detail = reason or f"{entry.value} ({entry.dist.name if entry.dist else 'unknown'})"
            yield Finding(f"{what} plug-in", name, reason is None, detail)


def _devices() -> Iterator[Finding]:
    import torch

    yield Finding("device", "cpu", True, f"{os.cpu_count()} cores, torch {torch.__version__}")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        yield Finding("device", "cuda", True, ", ".join(names))
    else:
        yield Finding("device", "cuda", False, "torch sees no GPU; teachers train on the CPU")


def _sources() -> Iterator[Finding]:
    from smoothray.datasets import SUITES, cache_folder, parse_spec
    from smoothray.datasets.from_pmlb import can_download

    folder = cache_folder()
    names = [parse_spec(text).name for text in SUITES["pmlb20"]]
    here = [name for name in names if (folder / name / f"{name}.tsv.gz").exists()]
    yield Finding("data", "sklearn", True, "needs no download")
    yield Finding("data", "files", True, "CSV, TSV, text, Excel, Parquet and Feather")
    detail = f"{len(here)} of pmlb20's {len(names)} data sets are in {folder}"
    works = len(here) == len(names)
    if not works:
        works = can_download()
        detail += (
            "; the others are downloaded when they are first used"
            if works
            else "; no network to download the others: set SMOOTHRAY_DATA to where they are"
        )
    yield Finding("data", "pmlb", works, detail)


def _mlflow() -> Finding:
    from smoothray.errors import SmoothrayError
    from smoothray.records.connection import shown, tracking_uri
    from smoothray.records.tracker import reachable

    try:
        reachable()
    except SmoothrayError as error:
        return Finding("tracking", "mlflow", False, str(error))
    return Finding("tracking", "mlflow", True, shown(tracking_uri()))
