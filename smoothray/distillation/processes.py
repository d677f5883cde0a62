"""Processes that fit formulas: warm from one fit to the next, ended where a fit passes its time limit."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from joblib.externals.loky import ProcessPoolExecutor, process_executor
from joblib.externals.loky.backend import resource_tracker

from smoothray.distillation.own_process import START_SECONDS, hush, memory, outgrown
from smoothray.errors import Failure, SmoothrayError, StudentError, past_limit
from smoothray.students import Student

IDLE_SECONDS = 300
"""A process that has had nothing to do for so long ends by itself, but for those of a student that needs its
own: they take long to start, and stay until the program ends."""
WATCH_SECONDS = 1.0
"""How often a process looks whether the one that it works for is still there."""


@dataclass(frozen=True)
class Ready:
    """What it took to have a student's program ready: seconds, and bytes that its process then holds."""

    seconds: float
    memory: int


class Process:
    """A process that makes one call at a time; it starts with the first.

    kind: which students it is for. stays: whether it waits for its next call however long that takes.
    """

    def __init__(self, kind: str = "", stays: bool = False) -> None:
        self.parent = os.getpid()
        self.kind = kind
        self.ready = Ready(0.0, 0)
        self.fits = 0
        self.ended = False
        _have_quiet_tracker()
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            timeout=None if stays else IDLE_SECONDS,
            initializer=_begin,
            initargs=(self.parent,),
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

    def load(self, student: Student, matching: bool = False) -> None:
        """Have the student's program ready, so that no fit's time limit pays for it. matching: also for a
        search that matches derivatives."""
        late = f"{student.name} was not ready after {START_SECONDS:g} s"
        started = time.monotonic()
        is_new, held = self.call(_load, student, matching, seconds=START_SECONDS, late=late)
        if is_new:
            self.ready = Ready(time.monotonic() - started, held)

    def worn(self) -> bool:
        """Whether it has grown so much over its fits that a new one is better."""
        held = self.call(memory, seconds=START_SECONDS, late="")
        return outgrown(self.fits, self.ready.memory, held)

    def end(self) -> None:
        """End it, whatever it is doing."""
        self.ended = True
        self._executor.shutdown(kill_workers=True)


_idle: defaultdict[str, list[Process]] = defaultdict(list)
"""Processes that wait, by what they are for."""
_tracker_lock = threading.Lock()
_loaded: set[tuple[str, bool]] = set()
"""The students whose programs this process, where it is one of these, has ready, and whether for matching."""


def _have_quiet_tracker() -> None:
    """Start joblib's tracker of what is to be cleaned up: where a signal ends a program, it tells of that."""
    with _tracker_lock:
        given = os.environ.get("PYTHONWARNINGS")
        quiet = "ignore:resource_tracker:UserWarning"
        os.environ["PYTHONWARNINGS"] = f"{given},{quiet}" if given else quiet
        try:
            resource_tracker.ensure_running()
        finally:
            if given is None:
                del os.environ["PYTHONWARNINGS"]
            else:
                os.environ["PYTHONWARNINGS"] = given


def _begin(parent: int) -> None:
    """What each of these processes does first."""
    os.setpgid(0, 0)  # a terminal's Ctrl-C is for the program alone, which then ends this process
    # Else one that grows by 300 MB, as Julia does, is ended after its fit, and what it has compiled is lost.
    process_executor._USE_PSUTIL = False
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os.killpg(0, signal.SIGKILL)  # nobody is there to end it, or to hear of it


def _program(student: Student) -> str:
    """Which student it is; one of a plug-in may share its name with another."""
    return f"{type(student).__module__}:{type(student).__qualname__}"


def _load(student: Student, matching: bool) -> tuple[bool, int]:
    """Whether the student's program was still to be loaded, and what the process holds now."""
    program = _program(student)
    is_new = (program, matching) not in _loaded
    if (program, False) not in _loaded:
        if student.needs_own_process:
            hush()
        student.warm_up()
        _loaded.add((program, False))
    if matching and is_new:
        student.warm_up_matching()
        _loaded.add((program, True))
    return is_new, memory()


def _take(student: Student, busy: set[Process], matching: bool = False) -> Process:
    """A process that has the student's program ready: an idle one, or a new one."""
    kind = _program(student) if student.needs_own_process else ""
    while True:
        try:
            process, is_new = _idle[kind].pop(), False
        except IndexError:
            process, is_new = Process(kind, student.needs_own_process), True
        if process.parent != os.getpid():
            continue  # a fork has copies of what its parent keeps, and may not use them
        busy.add(process)
        try:
            process.load(student, matching)
            return process
        except BrokenProcessPool:
            busy.discard(process)
            if is_new:
                raise
        except BaseException:  # one whose program is not there is of no use
            process.end()
            busy.discard(process)
            raise


def _give_back(process: Process, busy: set[Process]) -> None:
    if process.ended:
        busy.discard(process)
        return
    process.fits += 1
    try:
        worn = process.worn()
    except (BrokenProcessPool, StudentError):
        busy.discard(process)
        return
    if worn:
        process.end()
    else:
        _idle[process.kind].append(process)
    busy.discard(process)


def start(student: Student) -> Ready:
    """Have a process ready for a student's fits, and say what that took.

    Raises StudentError where it cannot start here.
    """
    busy: set[Process] = set()
    try:
        process = _take(student, busy)
    except BrokenProcessPool:
        raise StudentError(f"{student.name}: its process died while it started") from None
    _idle[process.kind].append(process)
    return process.ready


def warm(student: Student, busy: set[Process], matching: bool = False) -> None:
    """Have one more process ready for the student's fits. What goes wrong shows in the first of them."""
    run_one(_nothing, (), student, busy, matching=matching)


def _nothing() -> None:
    pass


def run_one(
    function: Callable[..., Any],
    call: tuple[Any, ...],
    student: Student,
    busy: set[Process],
    seconds: float | None = None,
    late: str | None = None,
    matching: bool = False,
) -> Any:
    """`function(*call)` in a process that stays for the next; it is among the busy ones meanwhile. matching:
    whether the student's search is to match derivatives.

    A Failure stands for what the process died of, or, with `late` as its reason, was ended for since it ran
    for more than `seconds`.
    """
    late = late or ("" if seconds is None else past_limit(seconds))
    process = None
    try:
        process = _take(student, busy, matching)
        outcome = process.call(function, *call, seconds=seconds, late=late)
    except BrokenProcessPool:
        outcome = Failure(
            "the student's process died (out of memory, or a crash in its native code)"
        )
    except SmoothrayError as error:
        outcome = Failure(str(error))
    except Exception as error:  # what cannot be sent there or back
        outcome = Failure(f"{type(error).__name__}: {error}")
    if process is not None:
        _give_back(process, busy)
    return outcome


def run_all(
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    student: Student,
    workers: int,
    seconds: float | None = None,
    matching: bool = False,
) -> list[Any]:
    """`function(*call)` for each call in processes of their own, so many at a time, which stay for the next.

    A Failure stands for what a process died of, or was ended for since it ran for more than `seconds`.
    """
    busy: set[Process] = set()

    def run(call: tuple[Any, ...]) -> Any:
        return run_one(function, call, student, busy, seconds, matching=matching)

    with ThreadPoolExecutor(workers) as threads:
        try:
            return list(threads.map(run, calls))
        except BaseException:  # Ctrl-C: nobody wants any more what the threads wait for
            for process in busy.copy():
                process.end()
            raise
