"""The import command: from a file of records into a study's journal and MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from smoothray.commands.console import err, say
from smoothray.commands.load import read_exported
from smoothray.commands.run import say_lacking
from smoothray.errors import StudyError, plural
from smoothray.records.recorder import Recorder
from smoothray.records.schema import Record, read_decisions, read_identity
from smoothray.study.plan import Key


def take_in(file: Path, name: str | None = None) -> None:
    """Take the records of an exported file into the study that they are of, which then goes on from them.

    name: another name for the study. What is recorded here already stays, but for a front that it lacks.

    Raises StudyError, before anything is written, for a file that holds no study's records, or whose study is
    recorded here with other settings or other data.
    """
    given = read_exported(file)
    identity = read_identity(file)
    if not given:
        raise StudyError(f"{file} holds no records")
    if identity is None:
        raise StudyError(
            f"{file} does not hold its study's settings, so nothing can go on from it; export it again with "
            "this version, or make a report of the file itself"
        )
    studies = sorted({str(record["study"]) for record in given})
    if len(studies) > 1 and name is None:
        raise StudyError(
            f"{file} holds records of {len(studies)} studies ({', '.join(studies)}); "
            "say which name they take with --name"
        )
    name = name or studies[0]
    with Recorder(name, identity, say) as recorder:
        refuse_other_data(recorder.records.values(), given)
        named = [{**record, "study": name} for record in given]
        new = [record for record in named if lacks(recorder.records, record)]
        recorder.take_in(new, read_decisions(file))
        say(
            f"{name}: {plural(len(new), 'record')} taken in, {len(given) - len(new)} were here already"
        )
        recorder.start(complete=lambda cell: True)
        with err.status("delivering to MLflow") as status:
            while (left := recorder.finish(1.0)) and recorder.problem is None:
                status.update(f"delivering to MLflow: {left:,} records left")
            lacking = recorder.finish()
        say_lacking(lacking, recorder.problem, recorder)


def lacks(recorded: Mapping[Key, Record], record: Record) -> bool:
    """Whether a record is new to a study, or has the front of one there that has none."""
    known = recorded.get(Key.of(record))
    if known is None:
        return True
    same = known["status"] == record["status"] and known["formula"] == record["formula"]
    return same and known["front"] is None and record["front"] is not None


def refuse_other_data(recorded: Iterable[Record], given: Iterable[Record]) -> None:
    """Raise StudyError where records of one data set were made with different data."""
    known = {record["dataset"]: record["fingerprint"] for record in recorded}
    for record in given:
        before = known.setdefault(record["dataset"], record["fingerprint"])
        if before != record["fingerprint"]:
            raise StudyError(
                f"the data set '{record['dataset']}' is not the same in all records (fingerprints {before} "
                f"and {record['fingerprint']}); take them in under another name (--name)"
            )
