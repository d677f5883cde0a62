"""Whole studies from the command line: run, run again, grown, stopped and resumed, on one and two cores."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import COMMAND, Command, clean_environment

from smoothray.records.journal import Journal
from smoothray.records.parquet import read_identity, read_parquet, write_parquet

pytestmark = pytest.mark.ray

STUDY = """
name: small
datasets: [sklearn:iris, sklearn:friedman3]
trials: 2
penalties: {jacobian: [0.1]}
teacher: {steps: 60, hidden: [8]}
student: {options: {population_size: 150, generations: 30}}
"""
SCORES = [
    f"{score}_{part}"
    for score in ("teacher_r2", "fidelity", "student_r2")
    for part in ("train", "val", "test")
]
SMOOTHNESS = ["teacher_jacobian", "teacher_gradient_max", "teacher_spectral"]
SMOOTHNESS += ["student_jacobian", "student_gradient_max", "alignment"]
COLUMNS = ["dataset", "penalty", "strength", "augment", "ensemble", "student", "trial"]
COLUMNS += ["n_train", "n_val", "n_test", "version", "status", "reason", *SCORES]
COLUMNS += [
    "complexity",
    "formula",
    *SMOOTHNESS,
    "teacher_seconds",
    "student_seconds",
    "student_cpu_seconds",
]
ALL = 2 * 3 * 2


@pytest.fixture(scope="module")
def new_place(tmp_path_factory, empty_database):
    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        (folder / "small.yaml").write_text(STUDY)
        shutil.copy(empty_database, folder / "mlflow.db")
        return folder

    return make


@pytest.fixture(scope="module")
def done(new_place, smoothray: Command) -> Path:
    """The study, run to its end on two cores."""
    folder = new_place("done")
    ended = smoothray("run", "small.yaml", "--cores", 2, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "to do: 12 fits and 4 banks of teachers" in ended.stderr
    assert "smoothray ui" in ended.stderr
    for word in ("iris", "friedman3", "direct", "none", "jacobian λ=0.1"):
        assert word in ended.stdout
    ended = smoothray("export", "small.yaml", "first.parquet", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return folder


def journal(folder: Path) -> Path:
    return folder / ".smoothray" / "small.jsonl.gz"


def entries(folder: Path) -> list[dict]:
    place = Journal("small")
    place.path = journal(folder)
    return [entry["record"] for entry in place.entries() if entry["kind"] == "record"]


def recorded(folder: Path) -> int:
    return len(entries(folder))


def comparable(file: Path) -> list[dict]:
    """The records of a table without what the clock decides."""
    return [
        {name: value for name, value in record.items() if not name.endswith("seconds")}
        for record in read_parquet(file)
    ]


def test_export_has_a_row_a_trial(done):
    frame = pd.read_parquet(done / "first.parquet")
    assert len(frame) == ALL
    assert set(COLUMNS) <= set(frame.columns)
    assert (frame["status"] == "ok").all()
    assert frame["formula"].notna().all() and frame["front"].map(len).min() >= 1
    taught = frame[frame["penalty"] != "direct"]
    assert taught[[*SCORES, *SMOOTHNESS]].notna().all(axis=None)
    assert frame[frame["penalty"] == "direct"]["teacher_r2_test"].isna().all()
    assert (frame["n_train"] + frame["n_val"] + frame["n_test"]).isin([150, 300]).all()
    fronts = frame["front"].map(lambda front: sum(member["chosen"] for member in front))
    assert (fronts == 1).all()


def test_a_second_start_computes_nothing(done, smoothray):
    size = journal(done).stat().st_size
    ended = smoothray("run", "small.yaml", cwd=done)
    assert ended.returncode == 0
    assert "all 12 fits are recorded already" in ended.stderr
    assert "jacobian λ=0.1" in ended.stdout
    assert journal(done).stat().st_size == size


def test_changed_settings_are_refused(done, main, monkeypatch):
    monkeypatch.chdir(done)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{done}/mlflow.db")
    ended = main("run", "small.yaml", "--seed", 5, "--selection", "accuracy")
    assert ended.returncode == 2
    assert "seed was 0, now is 5" in ended.stderr
    assert "students.operon.selection was fidelity, now is accuracy" in ended.stderr


def start(folder: Path, until: int) -> subprocess.Popen[str]:
    """The study in a group of processes of its own, as from a terminal, once so many fits are recorded."""
    process = subprocess.Popen(
        [*COMMAND, "run", "small.yaml", "--cores", "1"],
        cwd=folder, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline and recorded(folder) < until:
        time.sleep(0.02)
    return process


@pytest.mark.slow
def test_stopped_killed_and_resumed_on_one_core_gives_the_same_records(done, new_place, smoothray):
    """Ctrl-C reaches every process of the terminal's group, Ray's as well; a kill the command alone."""
    folder = new_place("stopped")
    process = start(folder, until=2)
    try:
        pressed = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        took = time.monotonic() - pressed
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    kept = recorded(folder)
    assert process.returncode == 130, said
    assert took < 15
    assert 2 <= kept < ALL
    assert f"Stopped: {kept} of 12 fits are recorded. To go on: smoothray run small.yaml" in said
    assert "Traceback" not in said

    process = start(folder, until=kept + 2)
    process.kill()
    process.communicate()
    before, kept = kept, recorded(folder)
    assert before + 2 <= kept < ALL

    ended = smoothray("run", "small.yaml", "--cores", 1, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert f"{kept} recorded already" in ended.stderr
    write_parquet(entries(folder), folder / "resumed.parquet")
    assert comparable(folder / "resumed.parquet") == comparable(done / "first.parquet")


@pytest.mark.slow
def test_an_exported_study_goes_on_elsewhere(done, new_place, smoothray):
    folder = new_place("elsewhere")
    file = done / "first.parquet"
    lost = [("iris", "direct", 1), ("iris", "none", 1), ("iris", "jacobian", 0)]
    write_parquet(
        [r for r in read_parquet(file) if (r["dataset"], r["penalty"], r["trial"]) not in lost],
        folder / "part.parquet", identity=read_identity(file),
    )  # fmt: skip
    ended = smoothray("import", "part.parquet", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert "small: 9 records taken in, 0 were here already" in ended.stderr
    ended = smoothray("run", "small.yaml", "--cores", 1, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    assert "9 recorded already; to do: 3 fits" in ended.stderr
    write_parquet(entries(folder), folder / "whole.parquet")
    assert comparable(folder / "whole.parquet") == comparable(file)


def test_every_command_finds_a_study_by_its_name(done, main, monkeypatch):
    monkeypatch.chdir(done)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{done}/mlflow.db")
    for form in ("small", "small.yaml"):
        for command in (["run", form], ["status", form], ["plan", form, "--seconds", 0]):
            ended = main(*command)
            assert ended.returncode == 0, ended.stderr
        ended = main("export", form, "again.parquet")
        assert ended.returncode == 0 and "of 'small'" in ended.stderr
    grown = ("--datasets", "sklearn:iris", "--trials", 3, "--seconds", 0)
    ended = main("plan", "small", *grown)
    assert "9 fits, 6 recorded; to do: 3 fits and 2 banks" in " ".join(ended.stdout.split())
    for command in ("run", "status", "plan"):
        ended = main(command, "smal")
        assert ended.returncode == 2 and "smal" in ended.stderr and ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_study_all_of_whose_fits_failed_says_why_and_is_no_success(new_place, smoothray):
    folder = new_place("failing")
    (folder / "failing.yaml").write_text(
        "{datasets: [sklearn:iris], trials: 2, baselines: [direct], student: {timeout: 0.001}}"
    )
    ended = smoothray("run", "failing", "--cores", 1, cwd=folder)
    assert ended.returncode == 1
    assert "2 trials failed; --retry-failed tries them again:" in ended.stderr
    assert "  2 × the fit passed its time limit of 0.001 s" in ended.stderr
    assert "Every fit failed of direct on iris." in ended.stderr
    ended = smoothray("status", "failing", cwd=folder)
    assert ended.returncode == 0
    assert "2 × the fit passed its time limit of 0.001 s" in ended.stdout


def test_export_of_what_is_not_there(place, main):
    for arguments in (("nothing", "a.parquet"), ("nothing", "a.csv"), ("no.yaml", "a.parquet")):
        ended = main("export", *arguments)
        assert ended.returncode == 2
        assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
