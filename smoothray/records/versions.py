"""What a record was made with."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from functools import lru_cache
from pathlib import Path

from smoothray.study.settings import StudentSettings

ROOT = Path(__file__).parent.parent.parent


def versions(student: StudentSettings) -> str:
    """The versions of all that a record of this student hangs on, and the commit of a checkout.

    Without loading any of it.
    """
    from smoothray.students import find_student

    program = find_student(student.name)
    packages = ("torch", "ray", *program.packages)
    parts = [("python", platform.python_version())]
    parts += [(name, _version(name)) for name in packages]
    parts += program.more_versions()
    parts += [("commit", commit_here())]
    return ", ".join(f"{name} {version}" for name, version in parts if version)


def completed(versions: str, student: str) -> str:
    """The same with what a student's program tells only once it is loaded or installed by its first start.

    >>> completed("python 3.12.1, commit 0123abcd", "operon")
    'python 3.12.1, commit 0123abcd'
    """
    from smoothray.students import find_student

    told = dict(find_student(student).more_versions())
    parts = [part for part in versions.split(", ") if part and part.rpartition(" ")[0] not in told]
    more = [f"{name} {version}" for name, version in told.items()]
    place = len(parts) - bool(parts and parts[-1].startswith("commit "))
    return ", ".join([*parts[:place], *more, *parts[place:]])


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@lru_cache
def commit_here() -> str:
    """The commit of the project's checkout, with a + where files differ from it; none elsewhere."""
    if not (ROOT / ".git").exists():
        return ""
    try:
        said = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=9", "--exclude=*"],
            capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip()
