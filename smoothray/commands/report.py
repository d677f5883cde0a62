"""The report command: from a study's records to a folder with a page, and to MLflow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from smoothray import __version__
from smoothray.commands.console import err, out, say
from smoothray.errors import SmoothrayError, StudyError
from smoothray.records.identity import completed
from smoothray.records.parquet import read_identity, write_parquet
from smoothray.records.recorded import require_study
from smoothray.records.versions import commit_here
from smoothray.study import Study
from smoothray.study.files import load_study, study_file, study_name
from smoothray.study.settings import in_words

ROPE = "0.01"
"""The region of practical equivalence where nobody asked for another."""


def report(
    study: Study | str,
    folder: Path | None = None,
    rule: str | None = None,
    strengths: str = "others",
    rope: str = ROPE,
) -> Path:
    """Write a study's report, print its verdict and log it to the study's experiment; the page's path.

    study: a study, its file or name, or a Parquet file of records, whose report goes to no experiment.
    strengths: how they are chosen, "others", "trial", "fixed", which are the study's, or as
    "lipschitz=0.1,jacobian=0.01". rope: the region of practical equivalence, in R² or as "5%" of what the
    baseline leaves unexplained.

    Raises StudyError for anything that the user can mend, before anything is written.
    """
    from smoothray_analysis.comparisons import Settings
    from smoothray_analysis.loading import RecordsError, load_parquet
    from smoothray_analysis.selection import Rule
    from smoothray_analysis.strengths import StrengthError

    try:
        chosen = None if rule is None else Rule.of(rule)
    except ValueError as error:
        raise StudyError(f"--selection: {error}") from None
    from_file = isinstance(study, str) and study.endswith(".parquet")
    name = Path(str(study)).stem if from_file else study_name(study)
    way, fixed = _strengths(strengths)
    width, is_part = _region(rope)
    chosen_how = {"others": "", "trial": "per-trial"}.get(strengths, strengths.replace(",", "-"))
    region = "" if (width, is_part) == _region(ROPE) else f"rope-{rope}"
    parts = ["report", (rule or "").replace("<=", "-at-most-"), chosen_how, region]
    label = "-".join(filter(None, parts))
    folder = folder or Path(f"{name}-{label}")
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"cannot write the report to {folder}: it is a file; --out takes a folder")
    with (
        err.status("reading the records") as status,
        _table(name, str(study) if from_file else None) as (table, identity),
    ):
        try:
            records = load_parquet(table, what="" if from_file else f"the study '{name}'")
            # matplotlib takes a second to load, which a mistyped name should not wait for.
            from smoothray_analysis.report import write_report

            fixed = fixed or _fixed(name, way, identity)
            written = write_report(
                records, name, folder, rule=chosen,
                settings=Settings(strengths=way, fixed=fixed, rope=width, rope_relative=is_part),
                about=_about(study, identity), say=status.update,
            )  # fmt: skip
        except StrengthError as error:
            raise StudyError(f"--strengths: {error}") from None
        except RecordsError as error:
            raise StudyError(str(error)) from None
        except OSError as error:
            raise StudyError(f"cannot write {error.filename or folder}: {error.strerror}") from None
        if not from_file:
            status.update("logging to MLflow")
            _log(name, label, folder, written.files)
    for line in written.lines:
        out.print(line, markup=False, soft_wrap=True)
    say(f"wrote {written.page} and {len(written.files) - 1} files of figures and tables beside it")
    return written.page


def _strengths(text: str) -> tuple[str, dict[str, float]]:
    """The way to choose strengths, and fixed ones by penalty. Raises StudyError."""
    if text in ("others", "trial", "fixed"):
        return text, {}
    fixed = {}
    for part in text.split(","):
        penalty, sign, value = part.partition("=")
        try:
            fixed[penalty.strip()] = float(value)
        except ValueError:
            sign = ""
        if not sign:
            raise StudyError(
                "--strengths takes others, trial, fixed, or fixed ones as lipschitz=0.1,jacobian=0.01, "
                f"not '{text}'"
            )
    return "fixed", fixed


def _region(text: str) -> tuple[float, bool]:
    """How wide the region of practical equivalence is, and whether it is a part of what is unexplained.

    Raises StudyError.

    >>> _region("0.02"), _region("5%")
    ((0.02, False), (0.05, True))
    """
    try:
        width = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        width = -1.0
    if not 0 < width < 1:
        raise StudyError(
            f"--rope takes a difference in R² such as 0.01, or a part such as 5%, not '{text}'"
        )
    return width, text.endswith("%")


def _fixed(name: str, way: str, identity: Mapping[str, Any] | None) -> dict[str, float]:
    """The strengths that the study fixed before it was run. Raises StudyError where they are asked for and
    there are none."""
    fixed = dict((identity or {}).get("fixed", {}))
    if way == "fixed" and not fixed:
        raise StudyError(
            f"--strengths fixed: {name} has no 'fixed:' strengths; name them, as lipschitz=0.1,jacobian=0.01"
        )
    return fixed


@contextmanager
def _table(name: str, file: str | None) -> Iterator[tuple[Path, Mapping[str, Any] | None]]:
    """The file that holds the records, for as long as the report reads their fronts from it; and the study's
    identity, which older files do not have."""
    if file is not None:
        yield Path(file), read_identity(Path(file))
        return
    recorded = require_study(name, say)
    with tempfile.TemporaryDirectory(prefix="smoothray-") as place:
        write_parquet(recorded.records.values(), Path(place) / "records.parquet")
        yield Path(place) / "records.parquet", recorded.identity


def _about(study: Study | str, identity: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What a report says at its end of how it came about: a name and a text each."""
    commit = commit_here()
    by = f"smoothray {__version__}" + (f", commit {commit}" if commit else "")
    lines = [("written", f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z} by {by}")]
    file = None if isinstance(study, Study) else study_file(study)
    if file is None:
        lines.append(("study file", "none: it was made in Python; recorded are:"))
    elif file.suffix == ".parquet":
        lines.append(("records", str(study)))
        if identity is None:
            settings = "those of the study; this file of records does not hold them"
            return [*lines, ("study file and settings", settings)]
    elif file.is_file():
        lines.append(("study file", str(file)))
        try:
            as_recorded = load_study(file).identity() == completed(identity or {})
        except SmoothrayError:
            as_recorded = False
        head = "" if as_recorded else "# Not the settings that were recorded, which stand below.\n"
        lines.append(("its text", head + file.read_text(encoding="utf-8")))
    else:
        lines.append(("study file", f"none called {study} here; recorded are:"))
    known = identity or {}
    lines.append(("seed", str(known.get("seed"))))
    lines.append(("teacher", in_words(known.get("teacher", {}))))
    students = known.get("students", {})
    return [*lines, *((f"student {name}", in_words(s)) for name, s in students.items())]


def _log(name: str, label: str, folder: Path, files: tuple[Path, ...]) -> None:
    from smoothray.records.connection import shown
    from smoothray.records.tracker import Tracker

    tracker = Tracker(name)
    try:
        if not tracker.open():
            raise StudyError(f"MLflow at {shown(tracker.uri)} has no experiment '{name}' yet")
        tracker.log_report(label, folder, files)
    except SmoothrayError as error:
        say(f"The report is not in MLflow: {error}")
