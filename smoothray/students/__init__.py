"""Students: symbolic regression programs behind one contract, and the choice from their fronts."""

from __future__ import annotations

import difflib
from typing import Any

from smoothray.errors import StudentError
from smoothray.students.base import OPERATORS, Student
from smoothray.students.front import Candidate, pareto_front
from smoothray.students.gplearn import GplearnStudent
from smoothray.students.operon import OperonStudent
from smoothray.students.pysr import PySRStudent
from smoothray.students.select import select

STUDENTS: dict[str, type[Student]] = {
    student.name: student for student in (OperonStudent, PySRStudent, GplearnStudent)
}


def make_student(name: str, **settings: Any) -> Student:
    """The student of that name; `settings` are those of `Student`.

    Raises:
        StudentError: an unknown name or setting.
    """
    if name not in STUDENTS:
        close = difflib.get_close_matches(name, STUDENTS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(STUDENTS)}"
        raise StudentError(f"unknown student {name!r}; {hint}")
    return STUDENTS[name](**settings)


__all__ = [
    "OPERATORS",
    "STUDENTS",
    "Candidate",
    "GplearnStudent",
    "OperonStudent",
    "PySRStudent",
    "Student",
    "make_student",
    "pareto_front",
    "select",
]
