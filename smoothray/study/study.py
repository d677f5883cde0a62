"""The Study: what to run, read from one YAML file and checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

import smoothray
from smoothray.errors import SmoothrayError, StudyError, did_you_mean
from smoothray.penalties import PENALTIES, find_penalty, try_penalty
from smoothray.penalties.jacobian import Placebo
from smoothray.plugins import modules_to_ship
from smoothray.study.settings import (
    Axis,
    Strengths,
    Strict,
    StudentSettings,
    TeacherSettings,
    axis,
    default_strengths,
    read_strengths,
)

if TYPE_CHECKING:
    from smoothray.datasets.suites import Named

    GivenStrengths = Strengths | Mapping[str, Any] | Sequence[float] | float | None
    GivenStudent = StudentSettings | Mapping[str, Any] | str

Model = TypeVar("Model", bound=BaseModel)
Baseline = Literal["none", "direct"]
SHIPPED = "search_spaces"
"""The folder of the studies that come along: in the project's folder, and in an installed package."""
NAME, LONGEST = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", 100
"""What a study's name is like, and how many characters it may have."""


class Study(Strict):
    """The whole grid: datasets × arms × students × trials.

    From Python its fields are keyword arguments, written as in a study file (`docs/study-file.md`).
    Raises StudyError, a line for each thing that is wrong.

    >>> study = Study(name="mine", datasets="offline", penalties=["jacobian"], student="operon")
    >>> study.students[0].name, study.penalties["jacobian"].values
    ('operon', (0.001, 0.00562, 0.0316, 0.178, 1.0))
    """

    if TYPE_CHECKING:
        # What may be written, which the validators make the fields' own types.
        def __init__(
            self,
            *,
            name: str,
            datasets: Named | Sequence[Named],
            trials: int = ...,
            penalties: Sequence[str] | Mapping[str, GivenStrengths] = ...,
            baselines: Sequence[Baseline] = ...,
            restarts: int | Mapping[str, int] | None = ...,
            placebo: bool = ...,
            fixed: Mapping[str, float] = ...,
            augment: int | Sequence[int] = ...,
            teacher: TeacherSettings | Mapping[str, Any] = ...,
            student: GivenStudent = ...,
            students: Sequence[GivenStudent] = ...,
            seed: int = ...,
            scheduler: Literal["none", "asha", "race"] = ...,
            blocks: Sequence[int] = ...,
        ) -> None: ...

    name: str = Field(
        pattern=NAME,
        max_length=LONGEST,
        description="What its records are kept under, in the journal and as MLflow's experiment. "
        "Letters, digits and `_.-`.",
    )
    datasets: tuple[Any, ...] = Field(
        description="A suite's name, or a list of data sets: `pmlb:NAME`, `sklearn:NAME`, "
        "`{file: PATH, target: COLUMN, name: NAME}`, `{load: my_module:my_function, target: COLUMN, "
        "name: NAME}`, or suites' names. A file may be text (.csv, .tsv, .txt, also .gz), Excel, Parquet or "
        "Feather, with `sheet: NAME` (or its number) and `decimal: ','` where they are needed."
    )
    trials: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Random splits of each data set, each with its own teachers and student seeds.",
    )
    penalties: dict[str, Strengths] = Field(
        default={},
        description="Each penalty's strengths: a list, a distribution, or nothing for "
        "five on its default range. A penalty of your own is named as `my_module:MyClass`.",
    )
    baselines: tuple[Baseline, ...] = Field(
        default=("none", "direct"),
        description="Arms to compare with: a teacher without penalty, the student on the labels.",
    )
    restarts: dict[str, Annotated[int, Field(ge=1, le=1000)]] | None = Field(
        default=None,
        description="How often an arm is tried on the same splits, each time with other first weights and "
        "student seeds: a number for baselines and placebo, or a number for each by name, penalties too, as "
        "in `{none: 5, jacobian: 2}`. Not given: baselines and placebo have as many attempts as a penalty "
        "has strengths, which is a fair choice for each trial.",
    )
    placebo: bool = Field(
        default=False,
        description="Whether there is an arm `placebo`, a penalty at a strength that changes nothing: an "
        "analysis that finds something there finds too much.",
    )
    fixed: dict[str, float] = Field(
        default={},
        description="Of a penalty one of its strengths, named before anything is known: the report compares "
        "it as it is, beside the chosen ones.",
    )
    augment: Axis = Field(
        default=(0,),
        description="New points per training point, labelled by the teacher; a list is an axis of arms.",
    )
    teacher: TeacherSettings = Field(
        default=TeacherSettings(), description="How teachers are built and trained; see below."
    )
    students: tuple[StudentSettings, ...] = Field(
        default=(StudentSettings(),),
        min_length=1,
        description="Who distils, each with its settings below; of one also written `student:`.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Decides splits, first weights, student seeds and drawn strengths, each together with "
        "the names of what it is for.",
    )
    scheduler: Literal["none", "asha", "race"] = Field(
        default="none",
        description="Whether teacher settings may stop early, after each of `blocks` of trials: those that a "
        "paired test shows not to be better than the best of the same data set and penalty, and those not in "
        "its better half (race); or those not in its best third so far (asha: Ray Tune's, which looks after "
        "the first of `blocks` and each three times as many). Baselines and what is left at the end get all "
        "trials.",
    )
    blocks: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(5, 10, 20), description="Trials after which `scheduler` looks at an arm."
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthands(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        raw = dict(raw)
        if "student" in raw:
            if "students" in raw:
                raise ValueError("give either 'student' or 'students', not both")
            raw["students"] = raw.pop("student")
        students = raw.get("students")
        if isinstance(students, str | Mapping):
            students = [students]
        if isinstance(students, Sequence):
            raw["students"] = [{"name": s} if isinstance(s, str) else s for s in students]
        penalties = raw.get("penalties")
        if isinstance(penalties, list | tuple) and all(isinstance(name, str) for name in penalties):
            raw["penalties"] = dict.fromkeys(penalties)
        return raw

    @field_validator("datasets", mode="before")
    @classmethod
    def _one_or_a_list(cls, raw: Any) -> Any:
        from smoothray.datasets import Dataset

        entries = [raw] if isinstance(raw, str | Mapping | Dataset) or _is_frame(raw) else raw
        if isinstance(entries, Sequence) and any(map(_is_frame, entries)):
            raise ValueError(
                "a frame needs a target; write smoothray.Dataset.from_frame(frame, target=COLUMN, name=NAME)"
            )
        return entries

    @field_validator("penalties", mode="before")
    @classmethod
    def _known_penalties(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise ValueError("write each penalty with its strengths, as in 'jacobian: [0.01, 0.1]'")
        searched = [name for name, penalty in PENALTIES.items() if penalty.has_strength()]
        strengths: dict[str, Any] = {}
        wrong: list[str] = []
        for name, value in raw.items():
            try:
                if not find_penalty(name, searched).has_strength():
                    raise StudyError(f"'{name}' takes no strength; list it under 'baselines'")
                strengths[name] = (
                    {"values": default_strengths(name)} if value is None else read_strengths(value)
                )
            except StudyError as error:
                wrong.append(str(error))
        if wrong:
            raise ValueError("\n".join(wrong))
        return strengths

    @field_validator("restarts", mode="before")
    @classmethod
    def _restarts(cls, raw: Any) -> Any:
        if isinstance(raw, int) and not isinstance(raw, bool):
            return dict.fromkeys((*get_args(Baseline), Placebo.name), raw)
        return raw

    @field_validator("augment")
    @classmethod
    def _augment(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return axis("augment", value, low=0)

    @field_validator("blocks")
    @classmethod
    def _blocks(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if sorted(set(value)) != list(value):
            raise ValueError("blocks are numbers of trials in rising order, as in [5, 10, 20]")
        return value

    @model_validator(mode="after")
    def _something_to_run(self) -> Study:
        if not self.baselines and not self.penalties:
            raise ValueError("there is nothing to run: give 'penalties' or 'baselines'")
        if self.restarts:
            known = [*self.baselines, *self.penalties, *([Placebo.name] if self.placebo else [])]
            given = {
                name for name in self.restarts if name not in (*get_args(Baseline), Placebo.name)
            }
            for name in sorted(given.difference(known)):
                raise ValueError(
                    f"restarts: there is no arm '{name}'{did_you_mean(name, known)}; there are "
                    f"{', '.join(known)}"
                )
        for name, strength in self.fixed.items():
            if name not in self.penalties or strength not in self.penalties[name].values:
                raise ValueError(
                    f"fixed: {name} at {strength:g} is no arm; name a penalty and a strength of its list"
                )
        names = [student.name for student in self.students]
        if len(set(names)) < len(names):
            raise ValueError(f"each student may stand once under 'students', not {names}")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _in_plain_words(cls, raw: Any, validate: Callable[[Any], Study]) -> Study:
        """Stands last, around all others. Raises StudyError, a line for each thing that is wrong."""
        try:
            return validate(raw)
        except ValidationError as error:
            lines = list(dict.fromkeys(_explain(error, raw)))
            more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
            raise StudyError("\n".join([*lines[:MOST], *more])) from None

    def restarts_of(self, penalty: str) -> int:
        """How many attempts an arm of a penalty or baseline has on the same splits."""
        if self.restarts is not None:
            return self.restarts.get(penalty, 1)
        if penalty in self.penalties:
            return 1
        return max((len(given) for given in self.penalties.values()), default=1)

    def check(self, available: bool = True) -> None:
        """Raise what is wrong with the data sets, penalties and students, before any work starts.

        available: also refuse students that cannot run on this machine.
        """
        from smoothray.datasets import check_spec, expand
        from smoothray.students import STUDENTS

        for spec in expand(self.datasets):
            check_spec(spec)
        for penalty in self.penalties:
            _refuse_registered("penalty", penalty, PENALTIES)
            try_penalty(penalty)
        for settings in self.students:
            _refuse_registered("student", settings.name, STUDENTS)
            settings.build()
        refused = self.unavailable()
        if refused and available:
            raise StudyError(next(iter(refused.values())))

    def unavailable(self) -> dict[str, str]:
        """Of its students, those that cannot run on this machine, and why."""
        reasons = {s.name: s.build().unavailable() for s in self.students}
        return {
            name: f"the student '{name}' cannot run here: {reason} ('smoothray doctor' lists those that can)"
            for name, reason in reasons.items()
            if reason
        }

    def modules(self) -> list[str]:
        """Files and folders of its plug-ins that are not installed: other machines need them."""
        return modules_to_ship([*self.penalties, *(student.name for student in self.students)])

    def identity(self) -> dict[str, Any]:
        """What may not change while a study keeps its name; what may grow is left out."""
        grows = {"stopping", "ensemble", "device", "gpu_share"}
        teacher = self.teacher.model_dump(mode="json", exclude=grows)
        students = {
            s.name: s.model_dump(mode="json", exclude={"name", "timeout"}) for s in self.students
        }
        fixed = {"fixed": self.fixed} if self.fixed else {}
        return {"seed": self.seed, "teacher": teacher, "students": students, **fixed}


def _refuse_registered(what: str, name: str, registry: Mapping[str, type]) -> None:
    """Raise StudyError for a class that was registered at run time: a study's processes would not know it."""
    registered = registry.get(name)
    if registered is not None and not registered.__module__.startswith("smoothray."):
        raise StudyError(
            f"the {what} '{name}' is registered in this process alone, and a study runs in others; write its "
            f"import path, such as my_module:{registered.__name__}"
        )


def load_study(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read and check a study file; `overrides` replace its top-level keys.

    Raises:
        StudyError: one line for each thing that is wrong.
    """
    path = study_file(path)
    try:
        raw = yaml.safe_load(path.read_text())
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


def study_name(study: Path | str) -> str:
    """The name of a study that is given by its file or its name."""
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


def validated(model: type[Model], values: Mapping[str, Any]) -> Model:
    """`values` as a model, for options of the command line. Raises StudyError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise StudyError("\n".join(_explain(error))) from None


SECTIONS: dict[str, type[BaseModel]] = {
    "": Study,
    "teacher": TeacherSettings,
    "student": StudentSettings,
    "students": StudentSettings,
    "penalties": Strengths,
}


MOST = 10
"""Errors of a file that are shown at once."""
FORMS = {"model_type": "a mapping of its settings", "tuple_type": "a list"}


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "dtypes")


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


def no_name(name: Any) -> str:
    """What is wrong with a study's name that NAME does not match, and the nearest that would do."""
    offered = re.sub(r"[^A-Za-z0-9_.-]+", "-", str(name)).strip("-_.")
    return (
        f"{name!r}: a study's name is of letters, digits, '_', '.' and '-', and begins with a letter or digit"
        + (f"; '{offered}' would do" if offered else "")
    )


def _explain(error: ValidationError, raw: Any = None) -> list[str]:
    """Pydantic's errors in plain words, each with the place in the file. raw: what was written."""
    lines = []
    items = error.errors()
    for item in items:
        path = _as_written(item["loc"], raw)
        place = ": ".join(path)
        kind = item["type"]
        if kind == "extra_forbidden":
            section = str(item["loc"][0]) if len(path) > 1 else ""
            known = [*SECTIONS[section].model_fields, *(["student"] if not section else [])]
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
