"""A network or function of the user's own in the place of the perceptron."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smoothray.distillation.attempts import suited
from smoothray.errors import StudyError
from smoothray.study.plan import Arm

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class OwnTeacher:
    """What a distiller's parameters say of its teacher; None: the perceptron."""

    teacher: Any
    prefit: bool
    penalty: str

    def factory(self, d: int) -> Any:
        """What makes the networks to train for d inputs; None where the perceptron or none is trained."""
        if self.teacher is None or self.prefit or self.penalty == "direct":
            return None
        from smoothray.teachers.fitted import factory_of

        return factory_of(self.teacher, d)

    def suited(self, arms: list[Arm], network: nn.Module) -> list[Arm]:
        """The arms, or with a warning those in place of what the network's layers do not allow."""
        others = suited(arms, network)
        pairs = {arm.penalty: other.penalty for arm, other in zip(arms, others, strict=True)}
        for penalty, other in pairs.items():
            if other != penalty:
                warnings.warn(
                    f"the penalty '{penalty}' is for a plain chain of layers, which this network is not; "
                    f"'{other}', which is for any network, takes its place",
                    UserWarning,
                    stacklevel=5,
                )
        return others

    def trained(self, outputs: int, names: Sequence[str]) -> list[Any] | None:
        """A trained teacher for each output; None where they are to be trained. names: the inputs' names."""
        if not self.prefit:
            return None
        from smoothray.teachers.fitted import Teacher

        if self.teacher is None:
            raise StudyError(
                "prefit=True needs a teacher: a trained module, or a function of arrays"
            )
        if not callable(getattr(self.teacher, "predict", self.teacher)):
            raise StudyError(
                f"the teacher is {self.teacher!r}; give a torch module, an object with a predict method, "
                "or a function of arrays"
            )
        return [Teacher(self.teacher, output, outputs, names) for output in range(outputs)]
