"""Run a study from its file to its records: check, load, plan, schedule, record."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smoothray.commands.console import StudyProgress, say
from smoothray.datasets import Dataset, expand, load_dataset
from smoothray.errors import StudyError, did_you_mean
from smoothray.penalties import find_penalty
from smoothray.records.recorder import Recorder
from smoothray.records.schema import Record
from smoothray.search import Search
from smoothray.study import Study, load_study
from smoothray.study.plan import Key, jobs


@dataclass(frozen=True)
class Outcome:
    """What a run came to. wanted: the keys of the part that was asked for. stopped: ended early."""

    wanted: list[Key]
    records: dict[Key, Record]
    stopped: bool

    @property
    def missing(self) -> int:
        return sum(key not in self.records for key in self.wanted)


def run_study(
    study: Study,
    only: Sequence[str] = (),
    *,
    cores: int | None = None,
    retry_failed: bool = False,
) -> Outcome:
    """Run what is not recorded yet of a study, or of some of its data sets.

    only: names of data sets. cores: of this machine, all by default.

    Raises SmoothrayError for anything that the user can mend, before any work starts.
    """
    study.check()
    if study.teacher.device == "cuda" and "RAY_ADDRESS" not in os.environ:
        from smoothray.teachers.device import choose_device

        choose_device("cuda")
    datasets = load_datasets(study, only)
    with Recorder(study.name, study.identity(), say) as recorder:
        refuse_changed_data(recorder.records.values(), datasets)
        failures = {key for key, r in recorder.records.items() if r["status"] == "failed"}
        again = failures if retry_failed else set()
        search = Search(study, datasets, recorder.records, recorder.decisions, again)
        left = say_plan(study, search, recorder.records, again)
        recorder.start(complete=lambda cell: search.settled(cell[0], cell[1]))
        stopped = False
        try:
            with interruptible():
                if left:
                    _work(study, search, datasets, recorder, again, cores)
        except KeyboardInterrupt:
            stopped = True
            say("Stopping: keeping what is recorded …")
        except BaseException:
            _finish(recorder, stopped=True)
            raise
        _finish(recorder, stopped)
        wanted = search.known_keys()
        records = {key: recorder.records[key] for key in wanted if key in recorder.records}
        if search.stops:
            say(f"{_counted(search.stops, 'arm')} did not run to the end ({study.scheduler}).")
    return Outcome(wanted, records, stopped)


def _work(
    study: Study,
    search: Search,
    datasets: Mapping[str, Dataset],
    recorder: Recorder,
    again: Collection[Key],
    cores: int | None,
) -> None:
    # Ray takes a second to load, which commands that do not run a study should not wait for.
    from smoothray.scheduling.runner import run_search
    from smoothray.scheduling.session import ray_session

    known = search.known_keys()
    totals = Counter(key.dataset for key in known) + search.to_draw()
    done = Counter(key.dataset for key in known if key in recorder.records and key not in again)
    banks = {key: record["bank"] for key, record in recorder.records.items()}
    with (
        ray_session(cores, study.modules()),
        interruptible() as stop,  # once more: Ray has put its own handler in place of ours
        StudyProgress(totals, done) as progress,
        closing(run_search(study, search, datasets, banks, again, stop.is_set)) as records,
    ):
        try:
            for record in records:
                recorder.add(record)
                for decision in search.decided():
                    recorder.decide(decision)
                progress.count(record["dataset"], record["status"] == "failed")
        finally:
            for decision in search.decided():
                recorder.decide(decision)


def _finish(recorder: Recorder, stopped: bool) -> None:
    lacking = recorder.finish(timeout=5 if stopped else None)
    if lacking:
        why = f" ({recorder.problem})" if recorder.problem else ""
        say(
            f"{lacking} records are not in MLflow at {recorder.tracker.uri} yet{why}. They are kept in "
            f"{recorder.journal.path} and delivered when the study is started again."
        )
    elif recorder.problem:
        say(
            f"MLflow lacks some tables of records ({recorder.problem}); "
            "they are written when the study is started again."
        )


def load_datasets(study: Study, only: Sequence[str] = ()) -> dict[str, Dataset]:
    """The study's data sets by name, or those of `only`. Raises DataError or StudyError."""
    specs = {spec.name: spec for spec in expand(study.datasets)}
    for name in only:
        if name not in specs and name.partition(":")[2] not in specs:
            raise StudyError(
                f"the study '{study.name}' has no data set '{name}'{did_you_mean(name, specs)} "
                f"(it has {', '.join(specs)})"
            )
    chosen = {name.partition(":")[2] or name for name in only} or set(specs)
    datasets = {name: load_dataset(spec) for name, spec in specs.items() if name in chosen}
    for dataset in datasets.values():
        for notice in dataset.notices:
            say(f"{dataset.name}: {notice}")
    return datasets


def refuse_changed_data(records: Iterable[Record], datasets: Mapping[str, Dataset]) -> None:
    """Raise StudyError where a data set is not the one that the records were made with."""
    for record in records:
        dataset = datasets.get(record["dataset"])
        if dataset and record["fingerprint"] != dataset.fingerprint:
            raise StudyError(
                f"the data set '{dataset.name}' has changed since its trials were recorded "
                f"(fingerprint {record['fingerprint']}, now {dataset.fingerprint}); "
                "give the study another name (--name) or bring the old data back"
            )


def say_plan(
    study: Study, search: Search, recorded: Mapping[Key, Record], again: Collection[Key]
) -> int:
    """One line on what there is to do; returns how many fits that may be."""
    wanted = search.known_keys()
    to_draw = sum(search.to_draw().values())
    banks = {key: record["bank"] for key, record in recorded.items()}
    todo = jobs(wanted, banks, again)
    whole = len(wanted) + to_draw
    left = sum(len(job.fits) for job in todo) + to_draw
    datasets = len({group.dataset for group in search.groups})
    students, trials = len(study.students), study.trials
    if not left:
        say(f"{study.name}: all {len(wanted)} fits are recorded already.")
        return 0
    by_dataset = Counter(dataset for dataset, _ in {(key.dataset, key.arm) for key in wanted})
    arms = max(by_dataset.values(), default=0)
    arms += max(search.to_draw().values(), default=0) // (students * trials)
    training = sum(find_penalty(job.penalty).has_teacher for job in todo)
    training += to_draw // (students * trials)
    before = f", {whole - left} recorded already" if left < whole else ""
    most = "at most " if study.scheduler != "none" else ""
    say(
        f"{study.name}: {_counted(datasets, 'data set')} × {_counted(arms, 'arm')} × "
        + (f"{students} students × " if students > 1 else "")
        + f"{_counted(trials, 'trial')} = {_counted(whole, 'fit')}{before}; "
        f"to do: {most}{_counted(left, 'fit')} and {_counted(training, 'bank')} of teachers."
    )
    return left


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let a polite request to end (SIGTERM) stop the study as Ctrl-C does.

    The event is set by both: an exception that comes while an object is deleted is lost.
    """
    wanted = threading.Event()

    def stop(*_: object) -> None:
        wanted.set()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wanted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def study_name(study: str) -> str:
    """The name of a study that is given by its file or its name."""
    is_file = Path(study).suffix in (".yaml", ".yml") or Path(study).is_file()
    return load_study(study).name if is_file else study


def known_records(name: str) -> tuple[dict[Key, Record], list[dict[str, Any]]]:
    """What is recorded of a study, in the journal or in MLflow, and what its search decided."""
    from smoothray.records.journal import Journal
    from smoothray.records.tracker import Tracker

    found, decisions = {}, []
    for entry in Journal(name).entries():
        if entry["kind"] == "record":
            found[Key.of(entry["record"])] = entry["record"]
        elif entry["kind"] == "decision":
            decisions.append(entry["decision"])
    tracker = Tracker(name)
    try:
        if tracker.open():
            for record in tracker.records(found):
                found.setdefault(Key.of(record), record)
            decisions += [d for d in tracker.decisions() if d not in decisions]
    except ConnectionError as error:
        say(f"{error}. Reading the journal alone.")
    return found, decisions


def recorded_study(study: str) -> tuple[str, list[Record]]:
    """The name and the records of a study, by its file or its name. Raises StudyError if it has none."""
    from smoothray.records.journal import Journal
    from smoothray.records.tracker import tracking_uri

    name = study_name(study)
    found, _ = known_records(name)
    if not found:
        raise StudyError(
            f"no records of a study '{name}' in {Journal(name).path} or in MLflow at {tracking_uri()}; "
            "run it first, or set MLFLOW_TRACKING_URI to where it was recorded"
        )
    return name, list(found.values())
