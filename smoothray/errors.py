"""Errors that are the user's to mend. The command line prints their text alone, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


class SmoothrayError(Exception):
    """Something the user can mend; the message says what was wrong, where, and what to do."""


class DataError(SmoothrayError):
    """A data set that cannot be used as it is."""


class StudyError(SmoothrayError):
    """A study file, or a command's options, that cannot be run as they are."""


class StudentError(SmoothrayError):
    """A student that cannot run here, or a formula that cannot be read."""


class TeacherError(SmoothrayError):
    """A network that cannot be a teacher, or not under this penalty."""


class TrackingError(SmoothrayError, ConnectionError):
    """MLflow, which does not answer now or cannot be read; what waits for it is not lost."""


class PluginError(StudyError, StudentError):
    """A penalty or student that is not there, or is none."""


@dataclass(frozen=True)
class Failure:
    """What stands where a result was expected, and why there is none."""

    reason: str


LATE = "the fit passed its time limit of"


def past_limit(seconds: float) -> str:
    """Why a fit has failed that ran for longer than its time limit.

    >>> past_limit(600.0)
    'the fit passed its time limit of 600 s'
    """
    return f"{LATE} {seconds:g} s"


def plural(count: int, what: str) -> str:
    """A number of things.

    >>> plural(1, "fit"), plural(1200, "fit")
    ('1 fit', '1,200 fits')
    """
    return f"{count:,} {what}{'s' * (count != 1)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error message that offers the known name nearest to `word`, or nothing.

    >>> did_you_mean("machine_cpu", ["230_machine_cpu", "560_bodyfat"])
    "; did you mean '230_machine_cpu'?"
    >>> did_you_mean("???", ["230_machine_cpu"])
    ''
    """
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""
