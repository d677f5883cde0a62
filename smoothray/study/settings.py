"""The parts of a study file: strengths, the teacher's settings, the student's settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from smoothray.errors import StudyError
from smoothray.penalties import find_penalty
from smoothray.seeds import generator
from smoothray.teachers.defaults import ACTIVATION, HIDDEN, Training

Selection = Literal["fidelity", "accuracy", "native"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Strengths(Strict):
    """Strengths of one penalty: a list, or a distribution to draw `samples` of them from."""

    values: tuple[float, ...] = Field(
        default=(), description="The strengths themselves; a plain list means the same."
    )
    loguniform: tuple[float, float] | None = Field(
        default=None, description="Draw them from [low, high], evenly on a logarithmic scale."
    )
    uniform: tuple[float, float] | None = Field(
        default=None, description="Draw them from [low, high], evenly."
    )
    samples: int = Field(default=5, ge=1, le=1000, description="How many to draw.")
    searcher: Literal["random", "optuna"] = Field(
        default="random",
        description="What draws them: the study's seed alone, or Optuna's TPE, which learns from the "
        "validation scores of those before; then `samples` arms are drawn in all, augmentation and "
        "ensemble searched along.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Strengths:
        for value in self.values:
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"a strength must be a number of at least 0, not {value:g}")
        for kind, low in (("loguniform", 0.0), ("uniform", -1e-300)):
            bounds = getattr(self, kind)
            if bounds and not (low < bounds[0] < bounds[1] < math.inf):
                raise ValueError(
                    f"{kind} takes [low, high] with {'0 <' if low == 0 else '0 <='} low < high, "
                    f"not {list(bounds)}"
                )
        if sum(map(bool, (self.values, self.loguniform, self.uniform))) != 1:
            raise ValueError("give a list of strengths, or one of loguniform and uniform")
        if self.values and self.searcher != "random":
            raise ValueError("a list of strengths is run whole; 'searcher' takes a distribution")
        return self

    def __len__(self) -> int:
        """How many there are."""
        return len(self.values) or self.samples

    @property
    def bounds(self) -> tuple[float, float]:
        """The interval that strengths are drawn from, or that of the list."""
        return self.loguniform or self.uniform or (min(self.values), max(self.values))

    def of(self, *names: object) -> tuple[float, ...]:
        """The strengths; drawn ones depend on `names` and their place alone, so more may be added."""
        if self.values:
            return self.values
        places = [generator(*names, "strength", i).random() for i in range(self.samples)]
        if self.loguniform:
            low, high = map(math.log, self.loguniform)
            drawn = [math.exp(low + place * (high - low)) for place in places]
        else:
            assert self.uniform is not None
            low, high = self.uniform
            drawn = [low + place * (high - low) for place in places]
        return tuple(float(f"{value:.3g}") for value in drawn)


def default_strengths(penalty: str, count: int = 5) -> tuple[float, ...]:
    """A log grid over the penalty's own default range. Raises StudyError where it has none."""
    bounds = find_penalty(penalty).default_range
    if bounds is None:
        raise StudyError(f"the penalty '{penalty}' has no default_range; give its strengths")
    if not (len(bounds) == 2 and 0 < bounds[0] < bounds[1] < math.inf):
        raise StudyError(
            f"the penalty '{penalty}' has default_range {bounds}; it takes (low, high) with 0 < low < high"
        )
    low, high = map(math.log10, bounds)
    step = (high - low) / (count - 1)
    return tuple(float(f"{10 ** (low + i * step):.3g}") for i in range(count))


def read_strengths(value: Any) -> Any:
    value = (
        value.tolist() if hasattr(value, "tolist") else value
    )  # of NumPy, as np.logspace gives them
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float | str):
        value = [value]
    return {"values": value} if isinstance(value, Sequence) else value


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


def _as_names(value: Any) -> Any:
    # A YAML file's `none` is text, but Python's None may stand for it.
    values = value if isinstance(value, list | tuple) else (value,)
    return tuple("none" if each is None else each for each in values)


Axis = Annotated[tuple[int, ...], BeforeValidator(_as_tuple)]
Stopping = Literal["early", "none"]


class TeacherSettings(Strict):
    """How teachers are built and trained."""

    hidden: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        default=HIDDEN, min_length=1, description="Widths of the hidden layers."
    )
    activation: Literal["tanh", "relu", "softplus"] = Field(
        default=ACTIVATION, description="What stands between the layers."
    )
    steps: int = Field(default=Training.steps, ge=10, description="Gradient steps at most.")
    learning_rate: float = Field(
        default=Training.learning_rate,
        gt=0,
        le=1,
        description="Adam's, with a cosine decay to a hundredth.",
    )
    patience: int = Field(
        default=Training.patience,
        ge=10,
        description="Steps without a better validation loss before stopping.",
    )
    batch_size: int = Field(
        default=Training.batch_size,
        ge=8,
        description="Rows in a step; smaller training sets are used whole.",
    )
    stopping: Annotated[tuple[Stopping, ...], BeforeValidator(_as_names)] = Field(
        default=("early",),
        min_length=1,
        description="`early`: the weights of the best validation loss are kept, and training ends when "
        "`patience` has run out. `none`: all steps are done, and the last weights are kept. A list is an "
        "axis of arms.",
    )
    ensemble: Axis = Field(
        default=(1,), description="Networks a trial, whose mean is the teacher; a list is an axis."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where teachers train; auto: a GPU where there is one."
    )
    gpu_share: float = Field(
        default=0.25, gt=0, le=1, description="The part of a GPU that one bank asks for."
    )

    def regime(self, stopping: str) -> TeacherSettings:
        """The same for teachers of one regime."""
        return self.model_copy(update={"stopping": (stopping,)})

    @property
    def training(self) -> Training:
        """How a bank of the first regime is trained."""
        keep: Literal["best", "last"] = "best" if self.stopping[0] == "early" else "last"
        return Training(self.steps, self.learning_rate, self.patience, self.batch_size, keep)

    @field_validator("stopping")
    @classmethod
    def _each_once(cls, value: tuple[Stopping, ...]) -> tuple[Stopping, ...]:
        if len(set(value)) < len(value):
            raise ValueError("write each way of stopping once")
        return value

    @field_validator("ensemble")
    @classmethod
    def _positive(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return axis("ensemble", value, low=1)


EARLIER: dict[str, Any] = {"nesting": "free", "shorten": False, "simplify": False, "rows": None}
"""Keys of a student that studies recorded before they were there lack, and what these count as."""


class StudentSettings(Strict):
    """A student and its budget."""

    name: str = Field(
        default="operon",
        description="`operon`, `pysr`, `gplearn`, or one of your own as `my_module:MyClass`.",
    )
    budget: str = Field(default="quick", description="`quick`, `standard` or `thorough`.")
    operators: tuple[str, ...] | None = Field(
        default=None, description="What formulas are made of; none given: the student's own set."
    )
    max_size: int = Field(
        default=30,
        description="The most nodes of a formula's SymPy tree, in the data's own units (with "
        "`shorten: false` on the standard scale).",
    )
    nesting: Literal["one", "free"] = Field(
        default="one",
        description="How deep sin, cos, exp, log, tanh and their like may stand within each other's "
        "arguments: one in another, as sin(exp(x)), or as deep as they will (free).",
    )
    shorten: bool = Field(
        default=True,
        description="Whether the student's formulas are made shorter: parts dropped one at a time, the "
        "constants that remain refitted. Sizes then count in the data's own units.",
    )
    simplify: bool = Field(
        default=False,
        description="Whether constants become 0, 1, -1, 2, 1/2 or a rounder number where the validation "
        "loss's standard error allows it.",
    )
    selection: Selection = Field(
        default="fidelity",
        description="What chooses from the front, on validation rows: closeness to the teacher "
        "(fidelity), to the labels (accuracy), or the student's own rule (native).",
    )
    rows: int | None = Field(
        default=None,
        ge=20,
        description="The most rows that it sees, new points among them: a random part by the trial's seed, "
        "the same for all arms; none given: all.",
    )
    timeout: float = Field(default=600, gt=0, description="Seconds after which a fit has failed.")
    options: dict[str, Any] = Field(
        default={}, description="Single settings of the budget to replace."
    )

    @model_validator(mode="after")
    def _simple_and_short(self) -> StudentSettings:
        if self.simplify and not self.shorten:
            raise ValueError("'simplify' comes after shortening: leave out 'shorten: false'")
        return self

    @field_validator("options")
    @classmethod
    def _numbers_of_the_budget(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key, number in value.items():
            if key in cls.model_fields:
                raise ValueError(f"'{key}' stands beside 'options', not in it")
            if not isinstance(number, Real):
                raise ValueError(f"'{key}' is {number!r}; give a number")
        return value

    def build(self) -> Any:
        """The student itself. Raises StudentError."""
        from smoothray.students import make_student

        return make_student(
            self.name,
            budget=self.budget,
            operators=self.operators,
            max_size=self.max_size,
            nesting=self.nesting,
            **self.options,
        )


def in_words(settings: Mapping[str, Any]) -> str:
    """Settings in a line, leaving out what was not set.

    >>> in_words({"hidden": [64, 64], "activation": "tanh", "operators": None})
    'hidden 64, 64; activation tanh'
    """

    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{name} {text(part)}" for name, part in value.items())
        if isinstance(value, list | tuple):
            return ", ".join(map(text, value))
        return f"{value:g}" if isinstance(value, float) else str(value)

    shown = {name: text(value) for name, value in settings.items() if value not in (None, {}, [])}
    return "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())


def axis(what: str, value: tuple[int, ...], low: int) -> tuple[int, ...]:
    if not value or min(value) < low or len(set(value)) < len(value):
        raise ValueError(f"{what} takes whole numbers of at least {low}, each once")
    return value
