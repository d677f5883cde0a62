"""What is recorded of a study, as a frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from smoothray.commands.console import say
from smoothray.errors import StudyError
from smoothray.records.parquet import read_parquet
from smoothray.records.recorded import require_records
from smoothray.records.schema import Record, as_frame
from smoothray.study import Study
from smoothray.study.files import study_name

if TYPE_CHECKING:
    import pandas as pd


def load_records(study: Study | str | Path, *, fronts: bool = False) -> pd.DataFrame:
    """The records of a study, a row a trial, from its journal and MLflow; nothing is run.

    Args:
        study: its name, its file, or itself; or a `.parquet` file that `smoothray export` wrote.
        fronts: whether to add the column `front`: each trial's whole Pareto front, a list of members
            with their formulas and scores.

    Returns:
        A frame with the fields of a record (`docs/python.md`), by data set, arm, student and trial.

    Raises:
        StudyError: there are none, or they cannot be read.
    """
    if not isinstance(study, Study) and Path(study).suffix == ".parquet":
        return as_frame(read_exported(Path(study)), fronts)
    return as_frame(require_records(study_name(study), say), fronts)


def read_exported(file: Path) -> list[Record]:
    """The records of a file that `smoothray export` wrote. Raises StudyError where it is no such file."""
    if not file.is_file():
        raise StudyError(f"there is no file {file}; 'smoothray export STUDY {file}' writes one")
    try:
        records = read_parquet(file)
    except OSError as error:
        raise StudyError(f"cannot read {file}: {error.strerror or error}") from None
    except ValueError as error:  # as pyarrow says that a file is of another kind
        raise StudyError(f"{file} is no table of records: {error}") from None
    if any(record["dataset"] is None or record["trial"] is None for record in records):
        raise StudyError(
            f"{file} is no table of records; 'smoothray export STUDY {file}' writes one"
        )
    return records
