"""Run a study from its file to its records: check, load, plan, schedule, record."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smoothray.commands.console import StudyProgress, say
from smoothray.datasets import Dataset, expand, load_dataset
from smoothray.errors import StudyError, did_you_mean, plural
from smoothray.penalties import find_penalty
from smoothray.records.connection import shown
from smoothray.records.journal import journal_folder
from smoothray.records.outline import COMMAND, typed
from smoothray.records.recorded import read_study
from smoothray.records.recorder import Lacking, Recorder
from smoothray.records.schema import Record, as_frame, without_front
from smoothray.search import Board, Score, Search
from smoothray.study import Study
from smoothray.study.plan import Key, jobs

if TYPE_CHECKING:
    import pandas as pd
    from ray.tune import ResultGrid


@dataclass(frozen=True, eq=False, repr=False)
class StudyResult:
    """What a run came to.

    wanted: the trials of the part that was asked for. rows: their records, without fronts. stopped: whether
    it was ended early. tune: what Ray Tune says of this run's trials, one for each teacher setting; None
    where all was recorded before.
    """

    study: Study
    wanted: list[Key]
    rows: dict[Key, Record]
    stopped: bool = False
    tune: ResultGrid | None = None

    def __repr__(self) -> str:
        done = len(self.wanted) - self.missing
        failures = sum(row["status"] == "failed" for row in self.rows.values())
        return (
            f"<study '{self.study.name}': {done} of {plural(len(self.wanted), 'trial')} recorded"
            + (f", {failures} of them failed" if failures else "")
            + (", stopped; the same call goes on>" if self.stopped else ">")
        )

    @property
    def missing(self) -> int:
        """How many of the wanted trials have no record."""
        return sum(key not in self.rows for key in self.wanted)

    @property
    def lost_arms(self) -> list[str]:
        """The arms of which every fit failed, each with its data set."""
        fits: dict[str, list[bool]] = {}
        for key, row in self.rows.items():
            fits.setdefault(f"{key.arm} on {key.dataset}", []).append(row["status"] == "failed")
        return [arm for arm, failed in fits.items() if all(failed)]

    @property
    def records(self) -> pd.DataFrame:
        """A row a trial, with the fields of a record but its front and bank."""
        return as_frame(self.rows.values())

    def report(self, folder: Path | str | None = None) -> Path:
        """Write the study's report into a folder, `STUDY-report` by default; the path of its page."""
        from smoothray.commands.report import report

        return report(self.study, None if folder is None else Path(folder))


def run_study(
    study: Study,
    only: Sequence[str] = (),
    *,
    cores: int | None = None,
    retry_failed: bool = False,
) -> StudyResult:
    """Run what is not recorded yet of a study, or of some of its data sets.

    only: names of data sets. cores: of this machine, all by default. retry_failed: whether failed trials
    are tried again. A call that was interrupted (Ctrl-C) returns what there is; the same call goes on.

    Ray is the cluster that `RAY_ADDRESS` names, or else one of its own on this machine, which ends with the
    call; where `ray.init()` was called before, it is that one, which goes on, and `cores` says nothing.

    Raises SmoothrayError for anything that the user can mend, before any work starts.
    """
    study.check()
    os.environ[COMMAND] = typed()
    if study.teacher.device == "cuda" and "RAY_ADDRESS" not in os.environ:
        from smoothray.teachers.device import choose_device

        choose_device("cuda")
    datasets = load_datasets(study, only)
    with Recorder(study.name, study.identity(), say) as recorder:
        records = recorder.records
        refuse_changed_data(records.values(), datasets)
        failures = {key for key, record in records.items() if record["status"] == "failed"}
        again = failures if retry_failed else set()
        board = Board(study, map(Score.of, records.values()), again)
        search = Search(study, datasets, board, recorder.decisions)
        left = say_plan(study, search, records, again)
        if not left:
            settled = search.settled()
            recorder.start(complete=lambda cell: cell[:2] in settled)
            say_lacking(recorder.finish(), recorder)
            wanted = search.known_keys()
            rows = {key: without_front(records[key]) for key in wanted if key in records}
            return StudyResult(study, wanted, rows)
        done = Counter(key.dataset for key in search.known_keys() if board.has(key))
        del records  # the recorder's own process reads them again
    return _work(study, search, datasets, recorder, again, done, cores)


def _work(
    study: Study,
    search: Search,
    datasets: Mapping[str, Dataset],
    recorder: Recorder,
    again: Collection[Key],
    done: Counter[str],
    cores: int | None,
) -> StudyResult:
    # Ray and Tune take seconds to load, which commands that do not run a study should not wait for.
    from smoothray.scheduling.run import StudyRun
    from smoothray.scheduling.session import ray_session

    totals = Counter(key.dataset for key in search.known_keys()) + search.to_draw()
    identity = recorder.identity
    recorder.forget()
    stopped, rows, tune = False, None, None
    try:
        # Twice, since Ray puts a handler of its own in place of ours.
        with (
            interruptible(),
            ray_session(cores, study.modules(), say),
            interruptible() as stop,
            StudyRun(study, search, datasets, identity, again, tune_folder(study.name)) as run,
        ):
            try:
                with StudyProgress(totals, done) as progress:
                    for score in run.scores(stop.is_set):
                        progress.count(score.key.dataset, score.value is None)
            except KeyboardInterrupt:
                stopped = True
                say("Stopping: keeping what is recorded …")
            except BaseException:
                run.close()
                run.finish(timeout=5)
                raise
            run.close()
            say_lacking(run.finish(timeout=5 if stopped else None), recorder)
            rows, tune = run.rows(search.known_keys()), run.results
    except KeyboardInterrupt:
        stopped = True
    wanted = search.known_keys()
    if rows is None:  # stopped before anything ran, once more while it stopped, or with its head
        records = read_study(study.name, say).records
        rows = {key: without_front(records[key]) for key in wanted if key in records}
    if search.stops:
        say(f"{plural(search.stops, 'arm')} did not run to the end ({study.scheduler}).")
    return StudyResult(study, wanted, rows, stopped, tune)


def tune_folder(study: str) -> Path:
    """Where Ray Tune keeps its results of a study: a folder a trial, for its users and for TensorBoard."""
    return journal_folder() / "tune" / study


def say_lacking(lacking: Lacking | None, recorder: Recorder) -> None:
    """Say what MLflow has not got, if anything. lacking: None where the recorder's process died."""
    later = "when the study is started again"
    if lacking is None:
        say(
            f"The recorder's process died; all records are in {recorder.journal.path}, and what MLflow lacks "
            f"is delivered {later}."
        )
        return
    why = f" ({lacking.problem})" if lacking.problem else ""
    if lacking.records:
        say(
            f"{lacking.records} records are not in MLflow at {shown(recorder.tracker.uri)} yet{why}. "
            f"They are kept in {recorder.journal.path} and delivered {later}."
        )
    elif lacking.tables:
        say(f"MLflow lacks some tables of records{why}; they are written {later}.")
    elif lacking.problem:
        say(f"MLflow lacks the best formulas as models{why}; they are kept {later}.")


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
        f"{study.name}: {plural(datasets, 'data set')} × {plural(arms, 'arm')} × "
        + (f"{students} students × " if students > 1 else "")
        + f"{plural(trials, 'trial')} = {plural(whole, 'fit')}{before}; "
        f"to do: {most}{plural(left, 'fit')} and {plural(training, 'bank')} of teachers."
    )
    return left


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let a polite request to end (SIGTERM) stop the study as Ctrl-C does.

    The event is set by both: an exception that comes while an object is deleted is lost.
    """
    wanted = threading.Event()

    def stop(*_: object) -> None:
        wanted.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield wanted  # signals are the main thread's
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield wanted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
