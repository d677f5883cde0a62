"""Errors that are the user's to mend. The command line prints their text alone, without a traceback."""

from __future__ import annotations


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
