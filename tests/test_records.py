"""Records on their way: to the journal at once, to MLflow when it is there, to Parquet files."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from smoothray.commands.run import refuse_changed_data
from smoothray.datasets import Dataset
from smoothray.errors import StudyError, TrackingError
from smoothray.records.journal import Journal
from smoothray.records.parquet import read_parquet, write_parquet
from smoothray.records.recorded import read_study, require_records
from smoothray.records.recorder import Lacking, Recorder
from smoothray.records.schema import Record, as_frame, failed, in_order, new_record
from smoothray.study import parse_study
from smoothray.study.plan import Arm, Key

SIZES = {"train": 60, "val": 15, "test": 25}
MEMBER = {
    "complexity": 3, "formula": "2*`a b`", "mathml": "<math/>", "loss": 0.5, "native": True,
    "chosen": True, "r2_train": 0.9, "r2_val": 0.8, "r2_test": None, "jacobian": float("inf"),
}  # fmt: skip


def identity(**changes: object) -> dict[str, object]:
    return parse_study({"name": "s", "datasets": "offline", **changes}).identity()


NONE = Arm("none")


def record(trial: int = 0, arm: Arm = NONE, **fields: object) -> Record:
    blank = new_record("s", Key("iris", arm, "operon", trial), SIZES, "print", [0, 1], "fidelity")
    scores = {"student_r2_test": 0.5, "complexity": 3, "formula": "2*`a b`", "front": [MEMBER]}
    return {**blank, **scores, **fields}


def deliver(*records: Record, study_identity: dict[str, object] | None = None) -> Recorder:
    """One start of the study that brings these records to its end."""
    with Recorder("s", study_identity or identity(), say=lambda text: None) as recorder:
        recorder.start(complete=lambda cell: True)
        for each in records:
            recorder.add(each)
        recorder.lacking = recorder.finish(timeout=60)  # type: ignore[attr-defined]
    return recorder


def runs(kind: str = "trial", uri: str | None = None) -> list:
    from mlflow import MlflowClient

    from smoothray.records.connection import tracking_uri

    client = MlflowClient(uri or tracking_uri())
    experiment = client.get_experiment_by_name("s")
    return client.search_runs([experiment.experiment_id], f"tags.`smoothray.kind` = '{kind}'")


def tables() -> list[Record]:
    """What MLflow's tables hold, without the journal."""
    from smoothray.records.tracker import Tracker

    tracker = Tracker("s")
    tracker.open()
    return tracker.records({})


# ---- the journal


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SMOOTHRAY_JOURNAL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(count: int) -> Journal:
    with Journal("s") as journal:
        for number in range(count):
            journal.append("record", record={"number": number, "text": "ä" * 50})
    return journal


def numbers(journal: Journal) -> list[int]:
    return [entry["record"]["number"] for entry in journal.entries()]


def test_a_journal_keeps_its_order(folder):
    assert numbers(written(300)) == list(range(300))
    written(2)
    assert numbers(Journal("s"))[-3:] == [299, 0, 1]
    unpacked = subprocess.run(["zcat", Journal("s").path], capture_output=True, check=True).stdout
    assert len(unpacked.splitlines()) == 302


def test_no_journal_has_no_entries(folder):
    assert list(Journal("s").entries()) == []
    assert not Journal("s").path.parent.exists()


def test_the_journal_s_place_can_be_chosen(folder, monkeypatch):
    monkeypatch.setenv("SMOOTHRAY_JOURNAL", str(folder / "else" / "where"))
    assert written(1).path == folder / "else" / "where" / "s.jsonl.gz"


@pytest.mark.parametrize("cut", [1, 9, 20])
def test_a_torn_last_entry_costs_that_entry_alone(folder, cut):
    journal = written(3)
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    assert numbers(journal) == [0, 1]
    written(1)
    assert numbers(journal) == [0, 1, 0]


def test_a_damaged_journal_is_refused(folder):
    journal = written(3)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:4] + b"garbage" + whole[11:])
    for _ in range(2):
        with pytest.raises(StudyError, match=r"s\.jsonl\.gz is damaged .*move it away"), journal:
            pass


def test_one_process_at_a_time(folder):
    program = (
        "from smoothray.records import journal\n"
        "journal.LOCK_SECONDS = 0.1\n"
        "from smoothray.records.journal import Journal\n"
        "from smoothray.errors import StudyError\n"
        "try: Journal('s').__enter__()\n"
        "except StudyError as error: print(error)\n"
    )
    with Journal("s"):
        other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "another process is running this study" in other.stdout
    assert other.stdout.count("\n") == 1 and not other.stderr
    written(1)


def test_a_process_that_is_just_ending_is_waited_for(folder):
    first = Journal("s").__enter__()
    threading.Timer(0.3, first.__exit__, (None, None, None)).start()
    with Journal("s") as second:
        second.append("study", identity={})
    assert [entry["kind"] for entry in second.entries()] == ["study"]


def test_a_closed_journal_takes_nothing(folder):
    with pytest.raises(StudyError, match="not open"):
        written(1).append("record", record={})


def test_a_folder_that_cannot_be_written(folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setenv("SMOOTHRAY_JOURNAL", str(folder / "file" / "x"))
    with pytest.raises(StudyError, match="SMOOTHRAY_JOURNAL"), Journal("s"):
        pass


# ---- tables


def test_parquet_gives_back_what_it_was_given(tmp_path):
    records = [
        record(1, Arm("jacobian", 0.1)),
        record(0, Arm("jacobian", 0.1, 2, 3), teacher_jacobian=1e300, undefined_test=2),
        record(0),
        failed(record(2, front=[]), "a reason\n  over lines"),
    ]
    file = tmp_path / "new" / "all.parquet"
    write_parquet(records, file)
    back = read_parquet(file)
    members = [{**dict.fromkeys(back[0]["front"][0]), **MEMBER}]
    expected = [{**r, "front": members if r["front"] else []} for r in in_order(records)]
    assert back == expected
    assert [r["reason"] for r in back if r["trial"] == 2] == ["a reason over lines"]


def test_records_have_an_order():
    records = [record(1), record(0, Arm("direct")), record(0), record(0, Arm("jacobian", 0.1))]
    ordered = [(r["penalty"], r["trial"]) for r in in_order(records)]
    assert ordered == [("direct", 0), ("jacobian", 0), ("none", 0), ("none", 1)]


# ---- the recorder


def test_records_are_delivered_once(place):
    first = deliver(record(0), record(1), failed(record(2), "why"))
    assert first.lacking == Lacking()
    size = first.journal.path.stat().st_size
    assert deliver().lacking == Lacking()
    assert first.journal.path.stat().st_size == size
    assert len(runs()) == 3
    (parent,) = runs("cell")
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials"] == 3 and parent.data.metrics["failed"] == 1
    assert parent.data.metrics["student_r2_test"] == 0.5
    assert {run.info.status for run in runs()} == {"FINISHED", "FAILED"}
    assert {run.data.tags["formula"] for run in runs()} == {"2*`a b`"}
    assert sorted(r["trial"] for r in tables()) == [0, 1, 2]
    assert tables()[0]["front"][0]["formula"] == MEMBER["formula"]


def test_a_trial_that_is_tried_again_replaces_its_first_try(place):
    deliver(record(0), record(1, status="failed", reason="it died", formula=None))
    deliver(record(1))
    assert [r["status"] for r in tables()] == ["ok", "ok"]
    found = {run.data.tags["smoothray.key"]: run.info.status for run in runs()}
    assert len(runs()) == 2 and set(found.values()) == {"FINISHED"}
    with Recorder("s", identity(), say=lambda text: None) as recorder:
        assert [r["status"] for r in recorder.records.values()] == ["ok", "ok"]


@pytest.mark.parametrize("wait", [False, True], ids=["together", "meanwhile"])
def test_a_first_try_that_is_delivered_with_its_retry_leaves_no_run(place, monkeypatch, wait):
    """Whether both wait in one batch, or the second comes while the first is on its way."""
    with Recorder("s", identity(), say=lambda text: None) as recorder:
        retried = threading.Event()
        create = recorder.tracker._child

        def slowly(first: Record) -> None:
            create(first)
            if wait and first["status"] == "failed":
                recorder.add(record(0))
                retried.set()

        monkeypatch.setattr(recorder.tracker, "_child", slowly)
        recorder.add(failed(record(0), "it died"))
        if not wait:
            recorder.add(record(0))
        recorder.start(complete=lambda cell: True)
        assert not wait or retried.wait(30)
        assert recorder.finish(timeout=60) == Lacking()
    assert [run.info.status for run in runs()] == ["FINISHED"]


def test_what_was_journaled_but_not_delivered_is_delivered_next_time(place):
    with Recorder("s", identity()) as recorder:
        recorder.add(record(0))  # killed before it could deliver
    assert deliver(record(1)).lacking == Lacking()
    assert len(runs()) == 2
    assert len(tables()) == 2


def test_killed_between_delivery_and_table(place):
    with Recorder("s", identity()) as recorder:
        recorder.start(complete=lambda cell: False)
        recorder.add(record(0))
        for _ in range(200):
            if recorder.delivered:
                break
            time.sleep(0.05)
        assert recorder.delivered
    assert len(runs()) == 1 and tables() == []
    assert deliver().lacking == Lacking()
    assert len(runs()) == 1 and len(tables()) == 1


def test_killed_before_the_delivery_was_noted(place):
    """MLflow has the run, the journal does not say so: it is replaced, not doubled."""
    journal = deliver(record(0)).journal
    entries = [entry for entry in journal.entries() if entry["kind"] != "delivered"]
    journal.path.unlink()
    with journal:
        for entry in entries:
            journal.append(**entry)
    assert deliver().lacking == Lacking()
    assert len(runs()) == 1


def test_a_study_goes_on_from_mlflow_alone(place):
    deliver(record(0), record(1)).journal.path.unlink()
    with Recorder("s", identity()) as recorder:
        assert sorted(key.trial for key in recorder.records) == [0, 1]
        (held, *_) = recorder.records.values()
        assert held["front"][0]["formula"] == MEMBER["formula"]
    deliver(record(2))
    assert len(runs()) == 3 and len(tables()) == 3
    # Its identity came along, though the journal had been taken away.
    with pytest.raises(StudyError, match="seed was 0, now is 1"):
        deliver(study_identity=identity(seed=1))


def test_another_database_gets_everything(place, empty_database, monkeypatch):
    import shutil

    deliver(record(0))
    shutil.copy(empty_database, place / "other.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/other.db")
    assert deliver(record(1)).lacking == Lacking()
    assert len(runs()) == 2 and len(tables()) == 2


def test_changed_settings_are_refused_and_shown(place):
    deliver(record(0))
    with pytest.raises(StudyError) as refused:
        deliver(study_identity=identity(seed=1, teacher={"steps": 50}))
    assert "seed was 0, now is 1" in str(refused.value)
    assert "teacher.steps was 2000, now is 50" in str(refused.value)
    deliver(record(1))  # the journal was let go


def before(*lacking: str, **changes: object) -> dict[str, object]:
    """The identity of a study that was recorded before students had these keys."""
    whole = identity(**changes)
    students = {
        name: {key: value for key, value in student.items() if key not in lacking}
        for name, student in whole["students"].items()
    }
    return {**whole, "students": students}


def test_a_study_recorded_before_shortening_goes_on_without_it(place):
    deliver(record(0), study_identity=before("shorten", "simplify"))
    with pytest.raises(StudyError) as refused:
        deliver(record(1))
    assert "\n" not in str(refused.value)
    assert "before students had shorten" in str(refused.value)
    assert "write `student: {shorten: false}`" in str(refused.value)
    same = identity(student={"shorten": False})
    assert deliver(record(1), study_identity=same).lacking == Lacking()
    assert Journal("s").path.exists()
    deliver(record(2), study_identity=same)
    with pytest.raises(StudyError, match="shorten was False, now is True"):
        deliver()  # by now it is recorded that it does not


def test_other_changes_are_told_with_those_of_later_keys(place):
    deliver(record(0), study_identity=before("shorten", "simplify"))
    with pytest.raises(StudyError) as refused:
        deliver(study_identity=identity(seed=1))
    assert "seed was 0, now is 1" in str(refused.value)
    assert "students.operon.shorten was False, now is True" in str(refused.value)


def test_a_later_student_s_settings_are_kept(place):
    deliver(record(0))
    deliver(record(0, student="gplearn"), study_identity=identity(student="gplearn"))
    changed = identity(student={"name": "gplearn", "budget": "standard"})
    for _ in range(2):
        with pytest.raises(StudyError, match="students.gplearn.budget was quick, now is standard"):
            deliver(study_identity=changed)
        Journal("s").path.unlink(missing_ok=True)  # MLflow was told as well


def test_changed_data_are_refused():
    X = np.arange(20.0).reshape(10, 2)
    before, after = (Dataset("iris", X, np.arange(10) + k, ("a", "b"), "y") for k in (0.0, 1.0))
    refuse_changed_data([record(fingerprint=before.fingerprint)], {"iris": before})
    refuse_changed_data([record(fingerprint=before.fingerprint)], {})
    with pytest.raises(StudyError, match="'iris' has changed since .*--name"):
        refuse_changed_data([record(fingerprint=before.fingerprint)], {"iris": after})


def test_records_are_found_by_name_from_either_place(place):
    deliver(record(0), record(1))
    assert len(require_records("s", print)) == 2
    Journal("s").path.unlink()
    assert len(require_records("s", print)) == 2
    with pytest.raises(StudyError, match="no records of a study 'other'.*there are s$"):
        require_records("other", print)
    with pytest.raises(StudyError, match="no records of a study 'ss'.*did you mean 's'"):
        require_records("ss", print)


def test_looking_for_a_study_makes_no_database(folder, main):
    (folder / "mine.yaml").write_text("{datasets: offline, trials: 1}")
    assert read_study("nothing", print).records == {}
    assert main("export", "nothing", "a.parquet").returncode == 2
    assert main("status", "mine").returncode == 0
    assert main("report", "nothing").returncode == 2
    assert not list(folder.glob("mlflow.db*")) and not (folder / "mlruns").exists()


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("mlruns", "a folder, which MLflow no longer takes"),
        ("file:///tmp/mlruns", "a folder, which MLflow no longer takes"),
        ("sqlite:////proc/none/mlflow.db", "cannot make the database"),
    ],
)
def test_addresses_that_mlflow_cannot_use(folder, monkeypatch, uri, told):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(StudyError, match=told):
        deliver()


# ---- MLflow away, and back


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def start_server(place: Path, port: int) -> Iterator:
    started: list[subprocess.Popen] = []

    def start() -> None:
        with open(place / "server.log", "w") as log:
            options = [
                "--backend-store-uri", f"sqlite:///{place}/mlflow.db", "--workers", "1",
                "--default-artifact-root", str(place / "mlruns"), "--port", str(port),
            ]  # fmt: skip
            command = [sys.executable, "-m", "mlflow", "server", *options]
            started.append(
                subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
            )
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                return
            except OSError:
                time.sleep(0.25)
        pytest.fail((place / "server.log").read_text()[-2000:])

    yield start
    import os
    import signal

    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_user_whom_mlflow_refuses_is_told_so_before_any_work(place, port, monkeypatch, main):
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b"You are not authenticated.")

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:sesame@127.0.0.1:{port}")
    (place / "s.yaml").write_text("{datasets: [sklearn:friedman1], trials: 2}")
    with HTTPServer(("127.0.0.1", port), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            for command in ("run", "status"):
                ended = main(command, "s.yaml")
                assert ended.returncode == 2 and "refuses this user" in ended.stderr
                assert ended.stderr.count("\n") == 1 and "MLFLOW_TRACKING_PASSWORD" in ended.stderr
                assert "sesame" not in ended.stderr
        finally:
            server.shutdown()


def test_mlflow_away_then_back(place, port, start_server, monkeypatch):
    """The study goes on without a server; when it is back, it gets all and loses nothing it had."""
    deliver(record(0), record(1)).journal.path.unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    said: list[str] = []
    with Recorder("s", identity(), said.append) as recorder:
        assert "does not answer" in said[0] and "\n" not in said[0]
        recorder.start(complete=lambda cell: True)
        recorder.add(record(2))
        lacking = recorder.finish(timeout=60)
        assert lacking.records == 1 and lacking.problem and "\n" not in lacking.problem
    with Recorder("s", identity(), said.append) as recorder:
        assert [key.trial for key in recorder.records] == [2]
        recorder.start(complete=lambda cell: True)
        start_server()
        recorder.add(record(3))
        assert recorder.finish(timeout=60) == Lacking()
        assert sorted(key.trial for key in recorder.records) == [0, 1, 2, 3]
    assert sorted(r["trial"] for r in tables()) == [0, 1, 2, 3]
    assert len(runs()) == 4


def test_an_entry_that_the_disk_has_no_room_for_leaves_the_journal_whole(place, monkeypatch):
    """The rest of it is not on disk, so the part that was written must not be either."""
    with Journal("s") as journal:
        journal.append("study", identity={})
        whole = journal.path.read_bytes()
        file = journal._file

        class Full:
            def __init__(self) -> None:
                self.written = 0

            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

            def write(self, data: memoryview) -> int:
                if self.written:
                    raise OSError(errno.ENOSPC, "No space left on device")
                self.written = file.write(data[:5])
                return self.written

        journal._file = Full()
        with pytest.raises(StudyError, match="cannot write the journal .*No space left on device"):
            journal.append("decision", decision={"what": "drawn"})
        assert journal.path.read_bytes() == whole
        journal._file = file
        journal.append("decision", decision={"what": "stopped"})
    assert [entry["kind"] for entry in Journal("s").entries()] == ["study", "decision"]


def test_an_mlflow_that_is_away_is_asked_again_by_itself_and_at_the_end_but_once(
    place, monkeypatch
):
    tries: list[int] = []

    def reach() -> None:
        tries.append(len(tries))
        raise TrackingError("it does not answer")

    monkeypatch.setattr("smoothray.records.recorder.RETRY_SECONDS", 0.05)
    with Recorder("s", identity()) as recorder:
        monkeypatch.setattr(recorder, "_reach", reach)
        recorder.start(complete=lambda cell: False)
        recorder.add(record(0))
        for _ in range(200):
            if len(tries) > 3:
                break
            time.sleep(0.05)
        assert len(tries) > 3  # though nothing was added
        monkeypatch.setattr("smoothray.records.recorder.RETRY_SECONDS", 60.0)
        for trial in range(1, 200):
            recorder.add(record(trial))
        time.sleep(0.2)
        before = len(tries)
        lacking = recorder.finish(timeout=60)
        assert lacking == Lacking(200, 0, "it does not answer")
        assert len(tries) <= before + 2


# ---- what MLflow's readers see


def test_a_parent_run_says_what_it_is(place, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("SMOOTHRAY_COMMAND", "smoothray run s.yaml")
    fields = {"version": "1", "versions": "python 3.11.7, commit 0123abc+", "teacher_seconds": 20.0}
    middle = record(1, student_r2_test=0.6, formula="x + 1", student_seconds=10.0, **fields)
    deliver(record(0, **fields), middle, record(2, student_r2_test=0.7, **fields))
    (parent,) = runs("cell")
    note = parent.data.tags["mlflow.note.content"]
    for word in ("x + 1", "R² 0.6", "nodes 3", "`smoothray run s.yaml`"):
        assert word in note
    assert parent.data.tags["mlflow.source.name"] == "smoothray run s.yaml"
    assert parent.data.tags["mlflow.source.git.commit"] == "0123abc"
    assert "python 3.11.7" in parent.data.tags["smoothray.versions"]
    assert parent.data.tags["mlflow.user"]
    (data,) = parent.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("iris", "print")
    assert '"num_rows": 100' in data.dataset.profile
    assert parent.data.params["teacher.steps"] == "2000"
    assert parent.data.params["student.budget"] == "quick"
    names = {item.path for item in MlflowClient().list_artifacts(parent.info.run_id)}
    assert names >= {"trials.parquet", "front.png"}


def test_runs_last_as_long_as_the_work(place):
    deliver(record(0, teacher_seconds=20.0, student_seconds=10.5), record(1, student_seconds=2.0))
    for kind, seconds in (("cell", [32.5]), ("trial", [2.0, 30.5])):
        found = sorted(run.info.end_time - run.info.start_time for run in runs(kind))
        assert found == [1000 * number for number in seconds]


def test_arms_without_a_strength_are_at_zero(place):
    """MLflow draws a run that lacks a number above the largest one, as if it were the smoothest."""
    deliver(record(0), record(0, Arm("direct")), record(0, Arm("jacobian", 0.3)))
    for kind in ("cell", "trial"):
        shown = {run.data.params["penalty"]: run.data.params["strength"] for run in runs(kind)}
        assert shown == {"none": "0", "direct": "0", "jacobian": "0.3"}


def test_the_pages_of_a_study_have_an_address(place, main, monkeypatch):
    import json
    import os

    deliver(record(0))
    monkeypatch.setattr(os, "execv", lambda *command: sys.exit(0))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.listen()
        taken = main("ui", "--port", port)
    assert taken.returncode == 2
    assert taken.stderr.count("\n") == 1 and f"port {port} of 127.0.0.1 is taken" in taken.stderr
    said = main("ui", "--port", port).stderr.replace("\n", "")
    assert "/runs?viewStateShareKey=smoothray" in said
    from mlflow import MlflowClient

    tags = MlflowClient().get_experiment_by_name("s").tags
    view = json.loads(tags["mlflow.sharedViewState.smoothray"])
    assert "params.`strength`" in view["selectedColumns"]


def test_a_database_is_made_whole_or_not_at_all(place, monkeypatch):
    """A process that ends while MLflow makes its tables leaves nothing that stops the next one."""
    import mlflow

    from smoothray.records.tracker import Tracker

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/other.db")
    made = mlflow.MlflowClient.search_experiments

    def killed(*arguments, **named):
        made(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(mlflow.MlflowClient, "search_experiments", killed)
    with pytest.raises(KeyboardInterrupt):
        Tracker("s").client()
    assert not list(place.glob("other.db*"))
    monkeypatch.setattr(mlflow.MlflowClient, "search_experiments", made)
    Tracker("s").client().create_experiment("s")
    assert [file.name for file in place.glob("other.db*")] == ["other.db"]


def test_files_of_an_experiment_lie_beside_its_database(place, monkeypatch):
    """Not in the folder where a study is started, which on a cluster is the project's."""
    from smoothray.records.tracker import Tracker

    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    tracker = Tracker("s")
    tracker.create({})
    found = tracker.client().get_experiment_by_name("s").artifact_location
    assert Path(found.removeprefix("file://")) == place / "mlruns" / "s"


def test_the_best_formula_of_a_data_set_is_a_model(place):
    import mlflow
    import pandas as pd
    from mlflow import MlflowClient

    better = record(0, Arm("jacobian", 0.1), student_r2_val=0.9, formula="x + exp(`a b`)")
    deliver(record(0, student_r2_val=0.5, formula="2*x"), better)
    client = MlflowClient()
    experiment = client.get_experiment_by_name("s").experiment_id

    def models() -> list:
        return client.search_logged_models([experiment])

    (model,) = models()
    rows = pd.DataFrame({"a b": [0.0, 1.0], "more": [5.0, 5.0], "x": [1.0, 2.0]})
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    assert loaded.predict(rows)["prediction"].to_numpy() == pytest.approx([2, 2 + np.e])
    assert loaded.metadata.get_input_schema().input_names() == ["x", "a b"]
    deliver()
    assert [again.model_id for again in models()] == [model.model_id]
    deliver(record(1, student_r2_val=1.0, formula="3*x"), record(2, student_r2_val=1.0))
    (other,) = models()
    assert (
        mlflow.pyfunc.load_model(other.model_uri).predict(rows.assign(**{"a b": 1.0})) is not None
    )
    tagged = [
        run.data.params["penalty"] for run in runs("cell") if "smoothray.model" in run.data.tags
    ]
    assert tagged == ["none"] and other.source_run_id != model.source_run_id


def test_older_records_are_read_without_what_they_lack():
    (older, *_) = read_parquet(Path(__file__).parent / "reference" / "quickstart.parquet")
    assert older["student_seconds"] > 0 and older["student_cpu_seconds"] is None
    shorter = {name: value for name, value in older.items() if name != "student_cpu_seconds"}
    assert as_frame([shorter])["student_cpu_seconds"].isna().all()
