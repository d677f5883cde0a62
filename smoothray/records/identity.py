"""A study's identity: what may not change while it keeps its name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import yaml

from smoothray.errors import StudyError
from smoothray.study.settings import EARLIER


def continued(
    study: str,
    recorded: Mapping[str, Any],
    given: Mapping[str, Any],
    penalties: Collection[str] = (),
) -> dict[str, Any]:
    """The identity of a recorded study that goes on as given: with the students of both.

    penalties: those that have records; a strength of theirs cannot be fixed, or let go, any more.

    Raises StudyError, with all that differs, unless it may.
    """
    lacking = {
        key
        for name, student in (recorded.get("students") or {}).items()
        for key in EARLIER.keys() - student.keys()
        if name in given["students"]
    }
    recorded = completed(recorded)
    differences = []
    for name in ("seed", "teacher", "students"):
        before, now = recorded.get(name), given.get(name)
        if name == "students" and isinstance(before, dict) and isinstance(now, dict):
            shared = before.keys() & now.keys()
            before = {s: before[s] for s in sorted(shared)}
            now = {s: now[s] for s in sorted(shared)}
        differences += _differences((name,), before, now)
    fixed = [
        {name: strength for name, strength in each.get("fixed", {}).items() if name in penalties}
        for each in (recorded, given)
    ]
    differences += _differences(("fixed",), *fixed)
    new = {place[-1] for place, _, _ in differences}
    if differences and new <= lacking:
        wanted = {key: value for key, value in EARLIER.items() if key in new}
        raise StudyError(
            f"the study '{study}' was recorded before students had {', '.join(wanted)}; to go on with it "
            f"write `student: {_as_yaml(wanted)}`, else give this one another name (--name)"
        )
    if differences:
        lines = [
            f"{'.'.join(place)} was {before}, now is {now}" for place, before, now in differences
        ]
        raise StudyError(
            f"the study '{study}' is recorded with other settings:\n  "
            + "\n  ".join(lines)
            + "\nIt may grow by data sets, trials and arms; for other settings give it another name "
            "(--name)."
        )
    return {**given, "students": {**recorded["students"], **given["students"]}}


def completed(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity that was recorded before students had all the keys that they have now, with these."""
    identity = {key: value for key, value in identity.items() if key != "fixed" or value}
    students = identity.get("students")
    if not isinstance(students, Mapping):
        return identity
    return {**identity, "students": {name: {**EARLIER, **s} for name, s in students.items()}}


def _as_yaml(values: Mapping[str, Any]) -> str:
    """
    >>> _as_yaml({"shorten": False})
    '{shorten: false}'
    """
    return yaml.safe_dump(dict(values), default_flow_style=True, sort_keys=False).strip()


def _differences(
    place: tuple[str, ...], before: Any, now: Any
) -> list[tuple[tuple[str, ...], Any, Any]]:
    """Where two values differ, with what is there."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            difference
            for key in sorted({*before, *now})
            for difference in _differences((*place, str(key)), before.get(key), now.get(key))
        ]
    return [] if before == now else [(place, before, now)]
