"""The import command: from a file of records into a study's journal and MLflow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from smoothray.commands.console import err, say
from smoothray.commands.load import read_exported
from smoothray.commands.run import say_lacking
from smoothray.errors import StudyError, plural
from smoothray.records.cells import Cell
from smoothray.records.fronts import says_more
from smoothray.records.identity import completed, continued
from smoothray.records.parquet import read_decisions, read_identity
from smoothray.records.recorded import read_study
from smoothray.records.recorder import Recorder
from smoothray.records.schema import Record
from smoothray.study.naming import LONGEST, NAME, no_name
from smoothray.study.plan import Arm, Key


def take_in(file: Path, name: str | None = None) -> None:
    """Take the records of an exported file into the study that they are of, which then goes on from them.

    name: another name for the study. What is recorded here already stays, unless it failed and did not
    there, or has less of the same fit's front.

    Raises StudyError, before anything is written, for a file that holds no study's records, or whose study is
    recorded here with other settings or other data, or may be where MLflow cannot be asked.
    """
    given, identity, decisions = read_whole(file)
    name = name or str(given[0]["study"])
    if not re.fullmatch(NAME, name):
        raise StudyError(f"--name is {no_name(name)}")
    if len(name) > LONGEST:
        raise StudyError(f"--name has {len(name)} characters; a study's has at most {LONGEST}")
    here = read_study(name, lambda text: None)
    refuse_other_data(here.records.values(), given)
    if here.identity is not None:
        # What was fixed before the records that are here came stays as it is.
        identity = completed({**identity, "fixed": here.identity.get("fixed")})
        continued(name, here.identity, identity)
    with Recorder(name, identity, say) as recorder:
        records = {Key.of(record): {**record, "study": name} for record in given}
        new = [r for key, r in records.items() if key not in recorder.records]
        fuller = [
            r for key, r in records.items()
            if key in recorder.records and says_more(r, recorder.records[key])
        ]  # fmt: skip
        kept = records.keys() & recorder.records.keys() - set(map(Key.of, fuller))
        others = sum(records[k]["formula"] != recorder.records[k]["formula"] for k in kept)
        recorder.take_in([*new, *fuller], decisions)
        try:
            say(told(name, len(records), len(new), len(fuller), others))
            recorder.start(complete_cells(recorder.records, recorder.decisions))
            deliver(recorder)
        except KeyboardInterrupt:
            say(
                f"All records are in {recorder.journal.path}; what MLflow lacks is delivered when the study "
                "is started, or the file taken in, again."
            )
            raise


def read_whole(file: Path) -> tuple[list[Record], dict[str, Any], list[dict[str, Any]]]:
    """A file's records, one for each trial, their study's identity and what its search decided.

    Raises StudyError where it does not hold these of one study.
    """
    records = read_exported(file)
    if not records:
        raise StudyError(f"{file} holds no records")
    identity = read_identity(file)
    if identity is None:
        raise StudyError(
            f"{file} does not hold its study's settings, so nothing can go on from it; export it again with "
            "this version, or make a report of the file itself"
        )
    studies = sorted({str(record["study"]) for record in records})
    if len(studies) > 1:
        raise StudyError(
            f"{file} holds records of {len(studies)} studies ({', '.join(studies)}), but the settings of "
            "one; export each by itself"
        )
    best: dict[Key, Record] = {}
    for record in records:
        key = Key.of(record)
        if key not in best or says_more(record, best[key]):
            best[key] = record
    return list(best.values()), completed(identity), read_decisions(file)


def refuse_other_data(recorded: Iterable[Record], given: Iterable[Record]) -> None:
    """Raise StudyError where records of one data set were made with different data."""
    there: dict[str, str] = {}
    for record in given:
        if there.setdefault(record["dataset"], record["fingerprint"]) != record["fingerprint"]:
            raise StudyError(
                f"the file's own records of '{record['dataset']}' were made with different data"
            )
    for record in recorded:
        other = there.get(record["dataset"], record["fingerprint"])
        if other != record["fingerprint"]:
            raise StudyError(
                f"the data set '{record['dataset']}' of the file is not the one recorded here (fingerprints "
                f"{other} and {record['fingerprint']}); take it in under another name (--name)"
            )


def told(name: str, given: int, new: int, fuller: int, others: int) -> str:
    """What was done, in a line.

    >>> told("s", 12, 9, 0, 2)
    's: 9 records taken in, 3 were here already, 2 of them with another formula, which stays'
    """
    parts = [f"{plural(new, 'record')} taken in"]
    if fuller:
        parts.append(f"{fuller:,} made fuller")
    kept = given - new - fuller
    parts.append(f"{kept:,} were here already")
    if others:
        parts.append(f"{others:,} of them with another formula, which stays")
    return f"{name}: " + ", ".join(parts)


def complete_cells(
    records: Mapping[Key, Record], decisions: Sequence[Mapping[str, Any]]
) -> Callable[[Cell], bool]:
    """Whether a cell has as many trials as the one with the most, or its arm was stopped: as far as records
    tell, without the study's file."""
    trials = Counter(key.cell for key in records)
    most = max(trials.values())
    stopped = {(d["dataset"], Arm.of(d)) for d in decisions if d["what"] == "stopped"}
    return lambda cell: trials[cell] == most or cell[:2] in stopped


def deliver(recorder: Recorder) -> None:
    """Bring to MLflow what it lacks, with progress."""
    with err.status("delivering to MLflow") as status:
        while (lacking := recorder.finish(1.0)).records and lacking.problem is None:
            status.update(f"delivering to MLflow: {lacking.records:,} records left")
        lacking = recorder.finish()
    say_lacking(lacking, recorder)
