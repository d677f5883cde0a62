"""What tests of whole commands share: the command line as a process, and a place of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from smoothray.study import Study
from smoothray.study.plan import Key, arms, settings

COMMAND = [sys.executable, "-c", "from smoothray.cli import main; main()"]
OURS = ("MLFLOW_TRACKING_URI", "SMOOTHRAY_JOURNAL", "RAY_ADDRESS")

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def clean_environment() -> dict[str, str]:
    """The environment without what would lead a study out of its folder."""
    return {name: value for name, value in os.environ.items() if name not in OURS}


def interrupted(
    command: Sequence[str],
    folder: Path,
    seen: str,
    seconds: float = 240,
    until: Callable[[], object] = lambda: True,
) -> tuple[int, str, str]:
    """A command that is ended by Ctrl-C, which reaches all processes of its terminal, once its progress has
    this and that is so: its exit status, what it printed, and what it said."""
    process = subprocess.Popen(
        command, cwd=folder, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
        # Where these tests are a shell's background job, Ctrl-C is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    watchdog = threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        said = ""
        while not re.search(seen, said):
            line = process.stderr.readline()
            assert line, said
            said += line
        while not until() and process.poll() is None:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        printed, more = process.communicate()
    finally:
        watchdog.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert "Traceback" not in said + more
    return process.returncode, printed, said + more


@pytest.fixture(scope="session")
def smoothray() -> Command:
    """Run `smoothray ARGUMENTS` in a folder, as a process of its own."""

    def run(
        *arguments: object, cwd: Path, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip

    return run


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run `smoothray ARGUMENTS` in this process: for what ends before any heavy work starts."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        from smoothray.cli import main

        monkeypatch.setattr(sys, "argv", ["smoothray", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(sys.argv, ended.value.code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs: making one takes seconds, copying it does not."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").get_experiment_by_name("none")
    return file


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Path) -> Path:
    """An empty current folder, with a database of its own that MLflow is pointed to."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    # An absolute address: MLflow keeps connections open by address.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


@pytest.fixture
def figures_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports draw their figures, but write no pictures of them, which takes most of their time."""
    import matplotlib
    from matplotlib.figure import Figure
    from smoothray_analysis.plots.style import RC

    def save(figure: Figure, stem: Path) -> list[Path]:
        with matplotlib.rc_context(RC):
            figure.draw_without_rendering()
            figure.get_tightbbox()
        file = stem.parent / f"{stem.name}.svg"
        file.write_text("<svg/>")
        return [file, file]

    monkeypatch.setattr("smoothray_analysis.report.write.save", save)


def at_work(doing: bytes = b"StudentActor.fit", under: int | None = None) -> list[int]:
    """This process's descendants, or another's, that are at a task, by default at a student's fit."""
    top = os.getpid() if under is None else under
    parents, titles = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            titles[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])

    def ours(pid: int) -> bool:
        while pid in parents and pid != top:
            pid = parents[pid]
        return pid == top

    return [p for p, title in titles.items() if doing in title and ours(p)]


def all_keys(study: Study, datasets: Iterable[str], trials: int) -> list[Key]:
    """Every trial of a study on these data sets."""
    students = [student.name for student in study.students]
    return [
        key
        for dataset in datasets
        for setting in settings(dataset, arms(study, dataset))
        for key in setting.keys(students, trials)
    ]
