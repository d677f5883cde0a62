"""A fitted distiller as JSON, and back."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from sympy import Symbol

import smoothray
from smoothray.datasets import Encoding
from smoothray.errors import StudyError
from smoothray.formulas import parse, to_python
from smoothray.students import find_student
from smoothray.study.settings import EARLIER

if TYPE_CHECKING:
    from smoothray.distillation.distiller import SymbolicDistiller

    Model = TypeVar("Model", bound=SymbolicDistiller)

FILE = "model.json"
KIND = "smoothray formula"
FORMAT = 1
OUTPUTS = ("formula", "complexity", "penalty", "strength", "smoothness")
TABLES = ("pareto_front", "strengths")


def save(model: SymbolicDistiller, path: str | Path) -> Path:
    """Write a fitted model into a folder, as `model.json`, or a file ending in `.json`.

    Raises StudyError for a setting that JSON does not hold or a place that cannot be written to.
    """
    file = file_of(path)
    text = json.dumps(as_json(model), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StudyError(f"cannot write {file}: {error.strerror}") from None
    return file


def load(cls: type[Model], path: str | Path) -> Model:
    """The model in a folder or file. Raises StudyError: there is none, or it cannot be read."""
    file = file_of(path)
    fields = read(file)
    try:
        return _restored(cls, fields)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise StudyError(f"{file} is damaged: {what}; save the model again") from None


def read(file: Path) -> dict[str, Any]:
    """A saved model's fields. Raises StudyError unless it is one that this version reads."""
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise StudyError(
            f"there is no {file}; give the folder that 'smoothray distill --out' or save() wrote"
        ) from None
    except OSError as error:
        raise StudyError(f"cannot read {file}: {error.strerror}") from None
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or fields.get("kind") != KIND:
        raise StudyError(
            f"{file} is no saved formula; 'smoothray distill --out' and save() write one"
        )
    if fields.get("format") != FORMAT:
        by = (fields.get("versions") or {}).get("smoothray", "another version")
        raise StudyError(
            f"{file} was saved by smoothray {by} in the format {fields.get('format')}, and this one, "
            f"{smoothray.__version__}, reads {FORMAT}; use that version or a newer one"
        )
    return fields


def as_json(model: SymbolicDistiller) -> dict[str, Any]:
    """A fitted model's fields: plain JSON, a list with an entry an output where there is one for each."""
    encoding = model.encoding_
    outputs = {name: _listed(model, getattr(model, f"{name}_")) for name in OUTPUTS}
    tables = {
        name: [_table(frame) for frame in _listed(model, getattr(model, f"{name}_"))]
        for name in TABLES
    }
    return {
        "kind": KIND,
        "format": FORMAT,
        **_plain(outputs, "results"),
        "several": model._many,
        "columns": list(model._names),
        "named": hasattr(model, "feature_names_in_"),
        "target_mean": [float(mean) for mean in model._means],
        "encoding": None if encoding is None else encoding.to_json(),
        "scores": _plain(model.scores_, "scores"),
        **({} if model.search_ is None else {"search": _plain(model.search_, "search")}),
        "settings": _settings(model),
        "versions": dict(model.versions_),
        **tables,
    }


def sources(fields: Mapping[str, Any], name: str = "predict") -> list[str]:
    """Python modules that need numpy alone, one for each output, of a saved model's fields.

    Of these `formula` (a list), `columns`, `named` and `encoding` are used.
    """
    symbols = {column: Symbol(column) for column in fields["columns"]}
    encoding = fields.get("encoding")
    categories = Encoding.from_json(encoding).categories if encoding else None
    return [
        to_python(
            parse(text, symbols),
            fields["columns"],
            name,
            named=fields.get("named", True),
            categories=categories,
        )
        for text in fields["formula"]
    ]


def versions_now(student: str) -> dict[str, str]:
    """The versions of what a formula's values hang on, without loading any of it."""
    versions = {"smoothray": smoothray.__version__, "python": platform.python_version()}
    program = find_student(student)
    for package in ("numpy", "sympy", "torch", *program.packages):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**versions, **dict(program.more_versions())}


def file_of(path: str | Path) -> Path:
    """Where a model is kept: a file ending in `.json`, or `model.json` in a folder."""
    path = Path(path).expanduser()
    return path if path.suffix == ".json" and not path.is_dir() else path / FILE


def _restored(cls: type[Model], fields: Mapping[str, Any]) -> Model:
    settings = fields["settings"]
    earlier = {name: EARLIER[name] for name in EARLIER.keys() & cls._get_param_names()}
    model = cls(**{**earlier, **settings})
    names = tuple(fields["columns"])
    symbols = {name: Symbol(name) for name in names}
    model._many, model._names = fields["several"], names
    model._means = np.array(fields["target_mean"], dtype=np.float64)
    model._expressions = [parse(text, symbols) for text in fields["formula"]]
    for name in OUTPUTS:
        setattr(model, f"{name}_", model._shaped(fields[name]))
    for name in TABLES:
        setattr(model, f"{name}_", model._shaped([_frame(table) for table in fields[name]]))
    model.teacher_ = model._shaped([None] * len(fields["formula"]))
    model._teachers, model.search_ = [], fields.get("search")
    model.validation_rows_ = None
    model.encoding_ = Encoding.from_json(fields["encoding"]) if fields["encoding"] else None
    model.scores_, model.versions_ = fields["scores"], fields["versions"]
    model.n_features_in_ = len(names)
    if fields["named"]:
        model.feature_names_in_ = np.array(names, dtype=object)
    return model


def _listed(model: SymbolicDistiller, value: Any) -> list[Any]:
    return list(value) if model._many else [value]


def _settings(model: SymbolicDistiller) -> dict[str, Any]:
    settings = model.get_params(deep=False)
    settings["teacher"] = None
    if not (
        settings["random_state"] is None or isinstance(settings["random_state"], int | np.integer)
    ):
        settings["random_state"] = None
    return {name: _plain(value, f"the setting {name}") for name, value in settings.items()}


def _plain(value: Any, where: str) -> Any:
    """The same in JSON's terms: a number that is none is null."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(each, f"{where}: {key}") for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each, where) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise StudyError(f"{where} is {value!r}, which cannot be saved as JSON; use plain values")


def _table(frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "columns": {str(name): str(dtype) for name, dtype in frame.dtypes.items()},
        "rows": [_plain(list(row), "a table") for row in frame.itertuples(index=False)],
    }


def _frame(table: Mapping[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(table["rows"], columns=list(table["columns"]))
    return frame.astype(table["columns"])
