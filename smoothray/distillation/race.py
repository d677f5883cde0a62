"""Many fits of one target: which of them go on to longer ones, and the one front that all of them make."""

from __future__ import annotations

import math
from bisect import insort
from collections import Counter
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass, field, replace

from smoothray.distillation.attempts import Attempt
from smoothray.distillation.choice import with_member
from smoothray.students import select
from smoothray.study.plan import Arm

KEEP = 3
"""Of so many settings one goes on to the next budget, as in Hyperband (Li et al., 2018)."""


@dataclass(frozen=True, order=True)
class Fit:
    """One fit, which gives the same whatever is fitted beside it.

    restart: which teachers, each with first weights of its own. level: which budget, from the shortest.
    draw: which seed of the student. place: which target. arm: which setting.
    """

    restart: int
    level: int
    draw: int
    place: int
    arm: int


class Bracket:
    """The race of one restart on one target: all settings by the shortest fits, the best third of them by
    longer ones, and so on (successive halving).

    What goes on depends on this race's own fits alone, not on which was done first.
    """

    def __init__(self, restart: int, place: int, arms: Iterable[int], levels: int) -> None:
        self.restart, self.place = restart, place
        self._awaited = set(arms)
        self._entered: list[set[int]] = [set() for _ in range(levels)]
        self._losses: list[dict[int, float]] = [{} for _ in range(levels)]

    def enter(self, arm: int) -> list[Fit]:
        """The first fit of a setting whose teacher is there."""
        self._awaited.discard(arm)
        return self._enter(0, [arm])

    def leave_out(self, arms: Iterable[int]) -> list[Fit]:
        """The fits that are next where these settings have no teacher, and will have none."""
        self._awaited.difference_update(arms)
        return self._next(0)

    def record(self, fit: Fit, loss: float) -> list[Fit]:
        """The fits that are next. loss: a fit's best on validation rows, inf where it failed."""
        self._losses[fit.level][fit.arm] = loss
        return self._next(fit.level)

    @property
    def is_first_pass_done(self) -> bool:
        return not self._awaited and len(self._losses[0]) == len(self._entered[0])

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is to be fitted any more."""
        return not self._awaited and all(map(_same_size, self._entered, self._losses))

    def best_arms(self) -> list[int]:
        """The better third of the settings by the best of their fits, best first."""
        best: dict[int, float] = {}
        for losses in self._losses:
            for arm, loss in losses.items():
                best[arm] = min(loss, best.get(arm, math.inf))
        return _best(best)

    def _next(self, level: int) -> list[Fit]:
        losses = self._losses[level]
        is_last = level + 1 == len(self._losses)
        if is_last or self._awaited or len(losses) < len(self._entered[level]):
            return []
        if self._entered[level + 1]:
            return []
        return self._enter(level + 1, _best(losses))

    def _enter(self, level: int, arms: Sequence[int]) -> list[Fit]:
        self._entered[level].update(arms)
        return [Fit(self.restart, level, 0, self.place, arm) for arm in arms]


def _same_size(one: Sized, other: Sized) -> bool:
    return len(one) == len(other)


def _best(losses: dict[int, float]) -> list[int]:
    finite = [arm for arm, loss in losses.items() if loss < math.inf]
    return sorted(finite, key=lambda arm: (losses[arm], arm))[: -(-len(finite) // KEEP)]


@dataclass(order=True)
class _Member:
    complexity: int
    loss: float
    fit: Fit
    place: int
    error: float = field(compare=False)
    attempt: Attempt = field(compare=False)


class Pool:
    """All fits of a target as one front: size against validation loss, and the choice from it.

    pooled: whether the fits' losses mean the same, so that their fronts may be made one; else the best single
    fit stands for all. aim: "accuracy", or "fidelity" where all fits are to one teacher.

    The choice is the simplest member within one standard error of the best, as from any front; but its loss
    is never above that of a formula that a single fit would have chosen, so that more fits make no choice
    worse on the validation rows than the best of them alone. What comes of it depends on the fits alone, not
    on their order.
    """

    def __init__(self, pooled: bool = True, aim: str = "accuracy") -> None:
        self.pooled, self.aim = pooled, aim
        self.best_by_arm: dict[Arm, tuple[float, Fit, Attempt]] = {}
        self.counts: Counter[Arm] = Counter()
        self._members: list[_Member] = []
        self._bound = math.inf

    def __bool__(self) -> bool:
        return bool(self.best_by_arm)

    def add(self, fit: Fit, attempt: Attempt, counts: bool = True) -> float:
        """Take in a fit's formulas; returns the least validation loss among them. counts: as one of its arm's
        fits."""
        self.counts[attempt.arm] += counts
        entry = (attempt.loss, fit, attempt)
        kept = self.best_by_arm.get(attempt.arm)
        if kept is None or entry[:2] < kept[:2]:
            self.best_by_arm[attempt.arm] = entry
        members = [
            _Member(
                member["complexity"],
                member[f"val_loss_{self.aim}"],
                fit,
                place,
                member[f"val_error_{self.aim}"],
                attempt,
            )
            for place, member in enumerate(attempt.fields["front"])
            if member["chosen"]
            or not member.get("unsafe")  # one is chosen only where all are unsafe
        ]
        if self.pooled:
            chosen = next(m for m in attempt.fields["front"] if m["chosen"])
            self._bound = min(self._bound, chosen[f"val_loss_{self.aim}"])
            for member in members:
                if math.isfinite(member.loss):
                    insort(self._members, member)
            self._prune()
        return min(member.loss for member in members)

    def _prune(self) -> None:
        kept: list[_Member] = []
        for member in self._members:
            if not kept or member.loss < kept[-1].loss:
                kept.append(member)
        self._members = kept

    def formulas(self) -> list[tuple[Fit, str]]:
        """The formulas that the choice is made from, the chosen one first, and the fit of each."""
        if self._members:
            texts = [
                (member.fit, member.attempt.fields["front"][member.place]["formula"])
                for member in self._members
            ]
            return [texts.pop(self._choice()), *texts]
        if not self:
            return []
        _, fit, attempt = self._best()
        return [(fit, member["formula"]) for member in attempt.fields["front"]]

    @property
    def is_perfect(self) -> bool:
        """Whether nothing better or shorter can come."""
        return bool(self._members) and self._members[0].loss == 0.0

    def _best(self) -> tuple[float, Fit, Attempt]:
        return min(self.best_by_arm.values(), key=lambda entry: entry[:2])

    def _choice(self) -> int:
        """The place of the chosen member."""
        place = select(
            [member.loss for member in self._members],
            [member.complexity for member in self._members],
            [member.error for member in self._members],
        )
        while self._members[place].loss > self._bound:
            place += 1
        return place

    def chosen(self) -> Attempt:
        """The attempt of the formula that is chosen, with the front that it is chosen from."""
        if not self._members:
            return self._best()[2]
        place = self._choice()
        front = [
            {
                **member.attempt.fields["front"][member.place],
                **{
                    name: member.attempt.fields.get(name)
                    for name in ("teacher_jacobian", "teacher_gradient_max", "teacher_spectral")
                },
                "penalty": member.attempt.arm.penalty,
                "strength": member.attempt.arm.strength,
                "restart": member.fit.restart,
            }
            for member in self._members
        ]
        origins = tuple(member.attempt for member in self._members)
        first = origins[place]
        pooled = replace(first, fields={**first.fields, "front": front}, origins=origins)
        return with_member(pooled, place)

    def attempts(self) -> list[Attempt]:
        """What was chosen, then the best single fit of each other setting, best first; none where there is
        none."""
        if not self:
            return []
        first = self.chosen()
        others = [entry for arm, entry in self.best_by_arm.items() if arm != first.arm]
        ordered = [first, *(each for *_, each in sorted(others, key=lambda entry: entry[:2]))]
        return [
            replace(each, fields={**each.fields, "fits": self.counts[each.arm]}) for each in ordered
        ]
