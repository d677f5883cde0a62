"""Study files: where they are found by name, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import smoothray
from smoothray.errors import SmoothrayError, StudyError, did_you_mean
from smoothray.study.study import Study

SHIPPED = "search_spaces"
"""The folder of the studies that come along: in the project's folder, and in an installed package."""


def load_study(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read and check a study file; `overrides` replace its top-level keys.

    Raises:
        StudyError: one line for each thing that is wrong.
    """
    path = study_file(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        there = studies()
        hint = f"{did_you_mean(path.stem, there) or '.'} Known by name are {', '.join(there)}"
        raise StudyError(f"cannot read the study file {path}: {error.strerror}{hint}") from None
    except OSError as error:
        raise StudyError(f"cannot read the study file {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = re.sub(r"\s+", " ", str(error))
        raise StudyError(f"{path} is not YAML: {where}") from None
    if not isinstance(raw, dict):
        raise StudyError(f"{path} holds no study; it must be a mapping with 'name' and 'datasets'")
    raw.setdefault("name", path.stem)
    return parse_study({**raw, **(overrides or {})}, str(path))


def study_file(study: Path | str) -> Path:
    """The file of a study given by its path, or by its name: here, in `search_spaces`, or installed."""
    places = (Path(study), *(folder / f"{study}.yaml" for folder in _folders()))
    return next((place for place in places if place.is_file()), Path(study))


def studies() -> list[str]:
    """The names that `study_file` finds: of files here, then in `search_spaces`, then of the installed."""
    files = (file for folder in _folders() for file in sorted(folder.glob("*.yaml")))
    return list(dict.fromkeys(file.stem for file in files))


def _folders() -> tuple[Path, ...]:
    """Where studies are looked for by name."""
    installed = Path(smoothray.__file__).parent / SHIPPED
    checkout = Path(smoothray.__file__).parent.parent / SHIPPED
    return Path(), Path(SHIPPED), installed if installed.is_dir() else checkout


def study_name(study: Study | Path | str) -> str:
    """The name of a study that is given by itself, its file or its name."""
    if isinstance(study, Study):
        return study.name
    file = study_file(study)
    named_as_file = file.suffix in (".yaml", ".yml")
    return load_study(file).name if named_as_file or file.is_file() else str(study)


def parse_study(raw: Mapping[str, Any], where: str = "study") -> Study:
    """A Study from plain values. Raises StudyError, a line for each thing that is wrong."""
    try:
        return Study.model_validate(raw)
    except SmoothrayError as error:
        lines = [f"{where}: {line}" for line in str(error).splitlines()]
        raise StudyError("\n".join(lines)) from None
