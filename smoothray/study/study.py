"""The Study: what to run, checked before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from smoothray.errors import StudyError, did_you_mean
from smoothray.penalties import PENALTIES, find_penalty, try_penalty
from smoothray.penalties.jacobian import Placebo
from smoothray.plugins import modules_to_ship
from smoothray.study.explain import explain
from smoothray.study.naming import LONGEST, NAME
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

Baseline = Literal["none", "direct"]


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
            raise StudyError(explain(error, SECTIONS, raw)) from None

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


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "dtypes")


SECTIONS: dict[str, type[BaseModel]] = {
    "": Study,
    "teacher": TeacherSettings,
    "student": StudentSettings,
    "students": StudentSettings,
    "penalties": Strengths,
}
"""What each part of a study file is read as, for `explain`."""
