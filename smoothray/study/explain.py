"""What is wrong with a study or with settings, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from smoothray.errors import StudyError, did_you_mean
from smoothray.study.naming import no_name

Model = TypeVar("Model", bound=BaseModel)
MOST = 10
"""Errors of a file that are shown at once."""
FORMS = {"model_type": "a mapping of its settings", "tuple_type": "a list"}


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """`values` as a model, for options of the command line. Raises StudyError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise StudyError(explain(error, {"": model})) from None


def _lies_within(place: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def _as_written(place: tuple[int | str, ...], raw: Any) -> list[str]:
    """A place in a study as its file has it: `student: selection`, not `students.0.selection`.

    >>> _as_written(("students", 0, "selection"), {"student": {"selection": "best"}})
    ['student', 'selection']
    >>> _as_written(("students", 1, "budget"), {"students": ["pysr", {"name": "operon", "budget": 5}]})
    ['students', 'operon', 'budget']
    """
    parts = [f"number {part + 1}" if isinstance(part, int) else str(part) for part in place]
    if parts[:1] == ["penalties"] and parts[2:3] == ["values"]:
        del parts[2]  # of a list it is not written
    if parts[:1] != ["students"] or len(parts) < 2 or not isinstance(raw, Mapping):
        return parts
    students = raw.get("students")
    if "student" in raw or isinstance(students, str | Mapping):
        return ["student" if "student" in raw else "students", *parts[2:]]
    number = place[1]
    entry = students[number] if isinstance(students, Sequence) and isinstance(number, int) else None
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return ["students", str(name) if name else parts[1], *parts[2:]]


def explain(
    error: ValidationError, sections: Mapping[str, type[BaseModel]], raw: Any = None
) -> str:
    """Pydantic's errors in plain words, a line for each thing that is wrong, with its place; MOST of them.

    sections: what is read, as "", and what its keys are read as. raw: what was written.
    """
    lines = list(dict.fromkeys(_lines(error, sections, raw)))
    more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return "\n".join([*lines[:MOST], *more])


def _lines(error: ValidationError, sections: Mapping[str, type[BaseModel]], raw: Any) -> list[str]:
    lines = []
    items = error.errors()
    for item in items:
        path = _as_written(item["loc"], raw)
        place = ": ".join(path)
        kind = item["type"]
        if kind == "extra_forbidden":
            section = str(item["loc"][0]) if len(path) > 1 else ""
            known = [
                *sections[section].model_fields,
                *(["student"] if "student" in sections and not section else []),
            ]
            within = f" in '{': '.join(path[:-1])}'" if section else ""
            hint = did_you_mean(path[-1], known) or f"; it takes {', '.join(known)}"
            lines.append(f"unknown key '{path[-1]}'{within}{hint}")
        elif kind == "missing":
            lines.append(f"the key '{place}' is missing")
        elif kind == "value_error":
            for message in str(item["ctx"]["error"]).splitlines():
                lines.append(f"{place}: {message}" if place else message)
        elif kind == "too_short" and any(
            _lies_within(other["loc"], item["loc"]) for other in items
        ):
            continue  # its entries are there, but wrong, which has a line of its own
        elif kind == "string_pattern_mismatch" and place == "name":
            lines.append(f"name is {no_name(item['input'])}")
        elif kind in FORMS:
            lines.append(f"{place} is {repr(item['input'])[:80]}: write {FORMS[kind]}")
        else:
            given = repr(item["input"])
            lines.append(f"{place} is {given[:80]}: {item['msg'][0].lower()}{item['msg'][1:]}")
    return lines
