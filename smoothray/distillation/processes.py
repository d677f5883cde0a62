"""Processes that fit formulas: warm from one fit to the next, ended where a fit passes its time limit."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor

from smoothray.errors import Failure, SmoothrayError, StudentError
from smoothray.students import Student

IDLE_SECONDS = 300
"""A process that has had nothing to do for so long ends by itself."""
START_SECONDS = 900.0
"""How long a process may take until its student is ready; PySR compiles for minutes at worst."""


class Process:
    """A process that makes one call at a time; it starts with the first."""

    def __init__(self) -> None:
        self.parent = os.getpid()
        self._executor = ProcessPoolExecutor(
            max_workers=1, timeout=IDLE_SECONDS, initializer=_left_to_the_parent
        )

    def call(
        self, function: Callable[..., Any], *arguments: Any, seconds: float | None, late: str
    ) -> Any:
        """What the function returns or raises there.

        Raises StudentError, with `late`, after so many seconds, and BrokenProcessPool where the process died.
        """
        future = self._executor.submit(function, *arguments)
        limit = threading.TIMEOUT_MAX if seconds is None else min(seconds, threading.TIMEOUT_MAX)
        if not wait([future], limit).done:
            self.end()
            raise StudentError(late)
        return future.result()

    def load(self, student: Student) -> None:
        """Have the student's program ready, so that no fit's time limit pays for it."""
        late = f"{student.name} was not ready after {START_SECONDS:g} s"
        self.call(_load, student, seconds=START_SECONDS, late=late)

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._executor.shutdown(kill_workers=True)


def _left_to_the_parent() -> None:
    """Ctrl-C reaches all of a terminal's processes; what becomes of this one its parent says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_idle: list[Process] = []
_loaded: set[str] = set()
"""The students whose programs this process, where it is one of these, has ready."""


def _load(student: Student) -> None:
    if student.name not in _loaded:
        student.warm_up()
        _loaded.add(student.name)


def _take(student: Student, busy: set[Process]) -> Process:
    """A process that has the student's program ready: an idle one, or a new one."""
    while True:
        try:
            process, is_new = _idle.pop(), False
        except IndexError:
            process, is_new = Process(), True
        if process.parent != os.getpid():
            continue  # a fork has copies of what its parent keeps, and may not use them
        busy.add(process)
        try:
            process.load(student)
            return process
        except BrokenProcessPool:
            busy.discard(process)
            if is_new:
                raise


def warm(student: Student, busy: set[Process]) -> None:
    """Have one more process ready for the student's fits. What goes wrong shows in the first of them."""
    run_one(_nothing, (), student, busy)


def _nothing() -> None:
    pass


def run_one(
    function: Callable[..., Any],
    call: tuple[Any, ...],
    student: Student,
    busy: set[Process],
    seconds: float | None = None,
    late: str | None = None,
) -> Any:
    """`function(*call)` in a process that stays for the next; it is among the busy ones meanwhile.

    A Failure stands for what the process died of, or, with `late` as its reason, was ended for since it ran
    for more than `seconds`.
    """
    late = late or f"the fit passed its time limit of {seconds or 0:g} s"
    try:
        process = _take(student, busy)
        outcome = process.call(function, *call, seconds=seconds, late=late)
    except BrokenProcessPool:
        return Failure("the student's process died (out of memory, or a crash in its native code)")
    except SmoothrayError as error:
        return Failure(str(error))
    except Exception as error:  # what cannot be sent there or back
        return Failure(f"{type(error).__name__}: {error}")
    busy.discard(process)
    _idle.append(process)
    return outcome


def run_all(
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    student: Student,
    workers: int,
    seconds: float | None = None,
) -> list[Any]:
    """`function(*call)` for each call in processes of their own, so many at a time, which stay for the next.

    A Failure stands for what a process died of, or was ended for since it ran for more than `seconds`.
    """
    busy: set[Process] = set()

    def run(call: tuple[Any, ...]) -> Any:
        return run_one(function, call, student, busy, seconds)

    with ThreadPoolExecutor(workers) as threads:
        try:
            return list(threads.map(run, calls))
        except BaseException:  # Ctrl-C: nobody wants any more what the threads wait for
            for process in busy.copy():
                process.end()
            raise
