"""Processes of students that need their own: warm, ended with their program, and never heard."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COMMAND
from sympy import Symbol

from smoothray.distillation import own_process, processes
from smoothray.distillation.processes import Ready, run_all, start
from smoothray.errors import Failure, StudentError
from smoothray.students.base import OPERATORS, RawFormula, Student

HELD: list[bytes] = []


class Apart(Student):
    """Behaves to its process as Julia does: it grows, and tells of every signal in a hundred lines.

    It notes where it was loaded and where it fitted, in files in the folder APART; a fit lasts while a file
    `hang` is there.
    """

    name = "apart"
    source = "none"
    packages = ()
    vocabulary = dict.fromkeys(OPERATORS)
    budgets = {"quick": {"grow": 0}, "standard": {"grow": 0}}
    needs_own_process = True

    def warm_up(self) -> None:
        self._note("loaded")
        if "torch" in sys.modules:
            self._note("beside torch")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _tell)
        os.write(2, b"Compiling backtrace\n")

    def warm_up_matching(self) -> None:
        self._note("loaded for matching")

    def _search(self, X: np.ndarray, y: np.ndarray, seed: int) -> Iterable[RawFormula]:
        self._note("fitted")
        HELD.append(b"x" * (self.settings["grow"] * 2**20))
        while (Path(os.environ["APART"]) / "hang").exists():
            time.sleep(0.05)
        yield RawFormula(lambda: Symbol("x0"), X[:, 0])

    def _note(self, what: str) -> None:
        with (Path(os.environ["APART"]) / what).open("a") as file:
            file.write(f"{os.getpid()}\n")


def _tell(number: int, frame: object) -> None:
    for stream in (1, 2):
        os.write(stream, b"backtrace: unknown function (ip: 0x7f)\n" * 100)
    os._exit(1)


def fit(student: Student) -> int:
    """The number of the process that fitted."""
    x = np.linspace(-1, 1, 20)
    assert student.fit(x[:, None], 2 * x, ["a"], 0)[0].expr == Symbol("x0")
    return os.getpid()


def fit_once(student: Student, seconds: float | None = None) -> Any:
    return run_all(fit, [(student,)], student, 1, seconds)[0]


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("APART", str(tmp_path))
    monkeypatch.setattr(processes, "_idle", type(processes._idle)(list))
    yield tmp_path
    for idle in processes._idle.values():
        for process in idle:
            process.end()


def numbers(file: Path) -> list[int]:
    return list(map(int, file.read_text().split())) if file.exists() else []


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Any, seconds: float = 60) -> None:
    ending = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ending
        time.sleep(0.05)


def test_one_process_serves_all_fits_however_long_it_waits_for_them(notes, monkeypatch, capfd):
    monkeypatch.setattr(processes, "IDLE_SECONDS", 0.2)
    first = fit_once(Apart())
    time.sleep(1.5)
    assert fit_once(Apart()) == first != os.getpid()
    ready = start(Apart())
    assert isinstance(ready, Ready) and ready.seconds > 0 and ready.memory > 20 * 2**20
    assert numbers(notes / "loaded") == [first]
    assert numbers(notes / "fitted") == [first, first]
    told = capfd.readouterr()
    assert "backtrace" not in told.out + told.err


def test_a_process_that_has_outgrown_its_start_is_replaced(notes, monkeypatch):
    assert (own_process.ROOM, own_process.FITS_AT_LEAST) == (512 * 2**20, 50)
    monkeypatch.setattr(own_process, "ROOM", 2**20)
    monkeypatch.setattr(own_process, "FITS_AT_LEAST", 3)
    small, large = Apart(grow=30), Apart(grow=400)
    first = fit_once(large)
    assert fit_once(small) == first and fit_once(small) == first  # a new one is not for a few fits
    second = fit_once(small)
    assert second != first and fit_once(small) == second


def test_its_time_limit_ends_a_fit_and_the_next_one_begins_anew(notes):
    first = fit_once(Apart(), seconds=100)
    (notes / "hang").touch()
    assert fit_once(Apart(), seconds=0.5) == Failure("the fit passed its time limit of 0.5 s")
    wait_for(lambda: not is_there(first))
    (notes / "hang").unlink()
    assert fit_once(Apart(), seconds=100) != first


class Unsendable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


def fail(how: str) -> None:
    raise {"told": StudentError("no luck"), "raw": ValueError("bad"), "lost": Unsendable(1, 2)}[how]


@pytest.mark.parametrize(
    ("how", "reason"),
    [("told", "no luck"), ("raw", "ValueError: bad"), ("lost", r".*(died|Unsendable).*")],
)
def test_a_fit_that_fails_leaves_no_process_behind(notes, how, reason):
    first = fit_once(Apart())
    (failed,) = run_all(fail, [(how,)], Apart(), 1)
    assert isinstance(failed, Failure) and re.fullmatch(reason, failed.reason), failed
    then = fit_once(Apart())
    assert then == first or not is_there(first)
    assert numbers(notes / "loaded") == list(dict.fromkeys([first, then]))


def test_one_whose_program_does_not_load_is_ended(notes):
    class Broken(Apart):
        def warm_up(self) -> None:
            super().warm_up()
            raise StudentError("no program here")

    for _ in range(2):
        with pytest.raises(StudentError, match="no program here"):
            start(Broken())
    loaded = numbers(notes / "loaded")
    assert len(loaded) == 2
    wait_for(lambda: not any(map(is_there, loaded)))


def test_what_matching_needs_is_loaded_once_and_before_the_fit(notes):
    (first, *_) = [run_all(fit, [(Apart(),)], Apart(), 1, 100, m)[0] for m in (False, True, True)]
    assert numbers(notes / "loaded") == numbers(notes / "loaded for matching") == [first]
    assert numbers(notes / "fitted") == [first] * 3


def test_a_student_that_cannot_start_is_told(notes, monkeypatch):
    class Dying(Apart):
        name = "dying"

        def warm_up(self) -> None:
            os._exit(3)

    with pytest.raises(StudentError, match="dying: its process died while it started"):
        start(Dying())


SEARCH = """
import warnings
import numpy as np
from sklearn.model_selection import GridSearchCV
from smoothray import SymbolicDistiller
warnings.simplefilter("error")
X = np.random.default_rng(0).uniform(1, 2, (90, 2))
model = SymbolicDistiller("direct", student="test_processes:Apart", random_state=0)
search = GridSearchCV(model, {"max_size": [5, 6, 7]}, cv=2, n_jobs=2).fit(X, X[:, 0])
print(search.best_estimator_.formula_[:2])
model.fit(X, X[:, 0])
"""


def environment(notes: Path) -> dict[str, str]:
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "APART": str(notes), "PYTHONPATH": os.pathsep.join(places)}


def test_a_grid_search_keeps_one_process_a_worker_and_ends_without_a_word(notes):
    done = subprocess.run(
        [sys.executable, "-c", SEARCH], env=environment(notes), capture_output=True, text=True,
        timeout=400,
    )  # fmt: skip
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "x0\n")
    assert len(numbers(notes / "fitted")) == 3 * 2 + 1 + 1
    loaded = numbers(notes / "loaded")
    assert 2 <= len(loaded) == len(set(loaded)) <= 3  # at most two workers', and the program's own
    wait_for(lambda: not any(map(is_there, loaded)))


FIT = "from test_processes import Apart, fit_once; fit_once(Apart())"


def hanging(command: list[str], notes: Path) -> subprocess.Popen[str]:
    """A program whose fit is under way and does not end."""
    (notes / "hang").touch()
    program = subprocess.Popen(
        command, cwd=notes, env=environment(notes), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        # Where these tests are a shell's background job, Ctrl-C is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    wait_for(lambda: numbers(notes / "fitted") or program.poll() is not None)
    return program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_is_ended_takes_the_student_with_it(notes, number):
    program = hanging([sys.executable, "-c", FIT], notes)
    if number == signal.SIGKILL:
        program.kill()
    else:
        os.killpg(program.pid, number)  # as a cluster's scheduler does
    out, told = program.communicate(timeout=60)
    assert (program.returncode, out, told) == (-number, "", "")
    wait_for(lambda: not any(map(is_there, numbers(notes / "loaded"))))


def test_ctrl_c_ends_the_command_and_nothing_of_the_students_program_is_read(notes):
    rows = "\n".join(f"{a},{2 * a}" for a in np.linspace(1, 2, 80))
    (notes / "table.csv").write_text(f"a,y\n{rows}\n")
    command = [
        *COMMAND, "distill", "table.csv", "--target", "y", "--student", "test_processes:Apart",
        "--penalty", "none", "--jobs", "1",
    ]  # fmt: skip
    program = hanging(command, notes)
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does
    out, told = program.communicate(timeout=60)
    assert (program.returncode, out) == (130, "") and "backtrace" not in told
    assert told.splitlines()[-1] == "Stopped: nothing was written."
    (student,) = numbers(notes / "loaded")
    wait_for(lambda: not is_there(student))
    assert not (notes / "beside torch").exists()
