"""Students: symbolic regression programs behind one contract, and the choice from their fronts."""

from __future__ import annotations

from typing import Any

from smoothray.plugins import Family
from smoothray.students.base import OPERATORS, RawFormula, Student
from smoothray.students.front import Candidate, pareto_front
from smoothray.students.gplearn import GplearnStudent
from smoothray.students.operon import OperonStudent
from smoothray.students.pysr import PySRStudent
from smoothray.students.select import select

STUDENTS: dict[str, type[Student]] = {
    student.name: student for student in (OperonStudent, PySRStudent, GplearnStudent)
}


_STATED = ("name", "packages", "budgets", "vocabulary")
_STUDENTS = Family("student", Student, STUDENTS, _STATED)  # type: ignore[type-abstract]


def find_student(name: str) -> type[Student]:
    """The student of a name, an entry point's name or an import path. Raises PluginError."""
    return _STUDENTS.find(name)


def make_student(name: str, **settings: Any) -> Student:
    """The student that `find_student` finds; `settings` are those of `Student`.

    Raises:
        StudentError: an unknown name or setting.
    """
    return find_student(name)(**settings)


__all__ = [
    "OPERATORS",
    "STUDENTS",
    "Candidate",
    "GplearnStudent",
    "OperonStudent",
    "PySRStudent",
    "RawFormula",
    "Student",
    "find_student",
    "make_student",
    "pareto_front",
    "select",
]
