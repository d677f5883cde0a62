"""The report command: from a study's records to a folder with a page, and to MLflow."""

from __future__ import annotations

from pathlib import Path

from smoothray.commands.console import err, out, say
from smoothray.errors import StudyError
from smoothray.study.study import study_name


def report(
    study: str, folder: Path | None = None, rule: str | None = None, per_trial: bool = False
) -> Path:
    """Write a study's report, print its verdict and log it to the study's experiment; the page's path.

    study: a study's file or name, or a Parquet file of records, whose report goes to no experiment.

    Raises StudyError for anything that the user can mend, before anything is written.
    """
    from smoothray_analysis.comparisons import Settings
    from smoothray_analysis.loading import RecordsError, load_mlflow, load_parquet
    from smoothray_analysis.selection import Rule

    try:
        chosen = None if rule is None else Rule.of(rule)
    except ValueError as error:
        raise StudyError(f"--selection: {error}") from None
    from_file = study.endswith(".parquet")
    name = Path(study).stem if from_file else study_name(study)
    parts = ["report", (rule or "").replace("<=", "-at-most-"), "per-trial" * per_trial]
    label = "-".join(filter(None, parts))
    folder = folder or Path(f"{name}-{label}")
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"cannot write the report to {folder}: it is a file; --out takes a folder")
    with err.status("reading the records") as status:
        try:
            records = load_parquet(study) if from_file else load_mlflow(name)
        except RecordsError as error:
            raise StudyError(f"{error}{_hint(from_file)}") from None
        # matplotlib takes a second to load, which a mistyped name should not wait for.
        from smoothray_analysis.report import write_report

        try:
            written = write_report(
                records, name, folder, rule=chosen, settings=Settings(per_trial=per_trial),
                say=status.update,
            )  # fmt: skip
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


def _hint(from_file: bool) -> str:
    """What to do about records that are not there."""
    if from_file:
        return ""
    from smoothray.records.tracker import known_studies

    known = known_studies()
    return "; " + (
        f"it has {', '.join(known)}"
        if known
        else "run the study first, or go to the folder it ran in"
    )


def _log(name: str, label: str, folder: Path, files: tuple[Path, ...]) -> None:
    from smoothray.records.tracker import Tracker

    tracker = Tracker(name)
    try:
        tracker.open()
        tracker.log_report(label, folder, files)
    except (StudyError, ConnectionError) as error:
        say(f"The report is not in MLflow: {error}")
