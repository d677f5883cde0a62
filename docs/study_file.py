"""Write docs/study-file.md: every key of a study file, from the models that read it.

python docs/study_file.py
"""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from smoothray.study import Study
from smoothray.study.settings import Strengths, StudentSettings, TeacherSettings

FILE = Path(__file__).with_name("study-file.md")
TEXT = """# The study file

<!-- Written by docs/study_file.py from the models in smoothray/study/. -->

A study is one YAML file. What stands in it is checked before anything runs: an unknown key, a data set that
is not there or a value out of range ends the command with a line that says what to write.

```yaml
name: example
datasets: [sklearn:diabetes, sklearn:friedman1]
trials: 20
penalties:
  jacobian: [0.01, 0.1]                      # a list of strengths,
  lipschitz: {{loguniform: [0.001, 1.0], samples: 8, searcher: optuna}}  # or a distribution
augment: [0, 4]
scheduler: race
teacher: {{hidden: [64, 64], ensemble: 1, stopping: [early, none]}}
student: {{name: operon, budget: quick, selection: fidelity, rows: 1000}}
```

An arm is a penalty at a strength, with an augmentation, an ensemble size, a way of stopping, and the number
of its attempt (`restarts`). Every data set gets every arm, every arm every student, each of them all
trials. Under the same name a study may grow by data sets, trials and arms; `seed`, `teacher` and a
student's settings may not change (but for `device`, `gpu_share` and `timeout`), since its records would no
longer belong together. Options of `smoothray run` (`--trials`, `--student`, `--budget`, `--selection`,
`--seed`, `--device`) replace what stands in the file.

## The study

{Study}

## `penalties:`

A mapping from a penalty's name (`jacobian`, `jacobian_between`, `lipschitz`, `lipschitz_sampled`,
`weight_decay`) to its strengths: a list, nothing for five on the penalty's own range, or a mapping with

{Strengths}

## `teacher:`

{TeacherSettings}

## `student:` or `students:`

{StudentSettings}
"""


def main() -> None:
    FILE.write_text(page())


def page() -> str:
    models = (Study, Strengths, TeacherSettings, StudentSettings)
    return TEXT.format(**{model.__name__: table(model) for model in models})


def table(model: type[BaseModel]) -> str:
    lines = ["| key | takes | by default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        lines.append(f"| `{name}` | {kind(field)} | {default(name, field)} | {field.description} |")
    return "\n".join(lines)


def kind(field: FieldInfo) -> str:
    return described(field.annotation) + limits(field.metadata)


def described(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return described(arguments[0]) + limits(arguments[1:])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return described(next(part for part in arguments if part is not type(None)))
    if origin is tuple:
        if arguments[-1] is not Ellipsis:
            return f"[{', '.join(described(part) for part in arguments)}]"
        inner = arguments[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            return "a list of mappings"
        return "a list" if inner is Any else f"a list of: {described(inner)}"
    if origin is dict:
        return "a mapping"
    names = {bool: "yes or no", int: "whole number", float: "number", str: "text"}
    return names.get(annotation, "a mapping")


def limits(metadata: Any) -> str:
    found = []
    for each in metadata:
        for name, words in (("ge", "at least"), ("gt", "above"), ("le", "at most")):
            if getattr(each, name, None) is not None:
                found.append(f"{words} {getattr(each, name):g}")
    return f" ({', '.join(found)})" if found else ""


def default(key: str, field: FieldInfo) -> str:
    value = field.default
    if key == "name" and value is PydanticUndefined:
        return "the file's name"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is PydanticUndefined:
        return "must be given"
    if isinstance(value, BaseModel) or (
        value and isinstance(value, tuple) and isinstance(value[0], BaseModel)
    ):
        return "their defaults"
    if value is None or value == () or value == {}:
        return "none"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


if __name__ == "__main__":
    main()
