"""The search of a whole study: a group for each (data set, penalty), served in turn."""

from __future__ import annotations

import statistics
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from smoothray.records.schema import Record
from smoothray.search.draws import Draws, Listed, Tpe
from smoothray.search.racing import ETA, FUTILE, halve, race
from smoothray.study import Study
from smoothray.study.plan import Arm, Key, arms

Decision = dict[str, Any]
"""What a search decided, as it is kept: `what` is "drawn" or "stopped", and the arm's fields."""


class Wait:
    """There is nothing to give now, but there may be later."""


@dataclass(frozen=True)
class Turn:
    """One block of trials of an arm on a data set."""

    dataset: str
    arm: Arm
    block: int


@dataclass
class Group:
    """The arms of one (data set, penalty). Groups never look at each other."""

    dataset: str
    penalty: str
    draws: Draws
    raced: bool
    running: dict[Arm, int] = field(default_factory=dict)
    ready: list[Turn] = field(default_factory=list)
    again: list[Turn] = field(default_factory=list)
    drawn: bool = False
    stopped: dict[Arm, str] = field(default_factory=dict)
    met: dict[Arm, None] = field(default_factory=dict)

    @property
    def undrawn(self) -> int:
        """How many arms are still to be drawn."""
        return max(0, self.draws.total - len({*self.draws.listed, *self.met}))


class Search:
    """Which arm of which data set comes next, for how many trials, and which need not go on.

    records: what is recorded. decisions: what an earlier start decided; it is kept to. `decided` collects
    what is new. Safe to use from several threads.
    """

    def __init__(
        self,
        study: Study,
        datasets: Iterable[str],
        records: Mapping[Key, Record],
        decisions: Iterable[Decision] = (),
        again: Iterable[Key] = (),
    ) -> None:
        self.study = study
        self._seen = set(records)
        self._again = set(again)
        self._recorded = self._seen - self._again
        self.blocks = blocks(study)
        self._students = [student.name for student in study.students]
        self._lock = threading.RLock()
        self._scores: dict[tuple[str, Arm], dict[int, dict[str, float]]] = {}
        self._decided: list[Decision] = []
        decisions = list(decisions)
        for record in records.values():
            self._score(record)
        self.groups = [
            group for dataset in datasets for group in self._groups(dataset, records, decisions)
        ]
        self._turn = 0

    def add(self, record: Record) -> None:
        """Take in a new record."""
        with self._lock:
            self._recorded.add(Key.of(record))
            self._seen.add(Key.of(record))
            self._score(record)

    def _score(self, record: Record) -> None:
        """Keep a trial's score: the student's validation R² against the labels."""
        key = Key.of(record)
        score = record["student_r2_val"] if record["status"] == "ok" else None
        with self._lock:
            trials = self._scores.setdefault((key.dataset, key.arm), {})
            if score is None:
                trials.get(key.trial, {}).pop(key.student, None)
            else:
                trials.setdefault(key.trial, {})[key.student] = float(score)

    def next(self) -> Turn | Wait | None:
        """What to do next; a Wait where there is nothing now, None where all is given.

        Groups take turns, those with fewer arms under way first. Within a group the arms with the fewest
        blocks behind them come first, so that a race is decided early.
        """
        with self._lock:
            count = len(self.groups)
            order = [self.groups[(self._turn + i) % count] for i in range(count)]
            waiting = False
            for group in sorted(order, key=lambda group: len(group.running)):
                turn = self._next_of(group)
                if isinstance(turn, Turn):
                    group.running[turn.arm] = turn.block
                    self._turn = (self.groups.index(group) + 1) % count
                    return turn
                waiting = waiting or turn is not None
            return Wait() if waiting else None

    def _next_of(self, group: Group) -> Turn | Wait | None:
        if group.again:
            return group.again.pop()
        if len(group.running) >= group.draws.parallel:
            return Wait()
        while (arm := group.draws.draw()) is not None:
            if self._complete(group, arm):
                group.draws.tell(arm, self._median(group, arm))
                continue
            if arm not in group.met:
                self._decide("drawn", group, arm)
            group.met[arm] = None
            turn = Turn(group.dataset, arm, self._first_open_block(group.dataset, arm))
            if not turn.block:
                return turn
            # It was begun before; it goes on if it may.
            group.draws.tell(arm, self._median(group, arm))
            group.ready.append(turn)
        group.drawn = True
        while group.ready:
            group.ready.sort(key=lambda turn: turn.block)
            # An arm is judged beside all that were given the same block.
            if any(block < group.ready[0].block for block in group.running.values()):
                return Wait()
            turn = group.ready.pop(0)
            # What was begun has been let through before.
            if self._begun(turn) or not self._judge(group, turn.arm, turn.block - 1):
                return turn
        return Wait() if group.running else None

    def _begun(self, turn: Turn) -> bool:
        before = set(self.wanted(turn.dataset, turn.arm, turn.block - 1))
        return any(
            key in self._seen
            for key in self.wanted(turn.dataset, turn.arm, turn.block)
            if key not in before
        )

    def _first_open_block(self, dataset: str, arm: Arm) -> int:
        for block in range(len(self.blocks)):
            if not self._recorded.issuperset(self.wanted(dataset, arm, block)):
                return block
        return len(self.blocks) - 1

    def wanted(self, dataset: str, arm: Arm, block: int) -> list[Key]:
        """The trials of an arm up to the end of a block."""
        return [
            Key(dataset, arm, student, trial)
            for student in self._students
            for trial in range(self.blocks[block])
        ]

    def score(self, turn: Turn) -> float | None:
        """The median over the trials of a turn's arm; None where none finished."""
        with self._lock:
            return self._median(self._known_group(turn), turn.arm)

    def done(self, turn: Turn) -> None:
        """A turn has come to its end; its arm is judged when its next one comes up."""
        with self._lock:
            group = self._known_group(turn)
            group.running.pop(turn.arm, None)
            group.draws.tell(turn.arm, self._median(group, turn.arm))
            if turn.block < len(self.blocks) - 1:
                group.ready.append(Turn(turn.dataset, turn.arm, turn.block + 1))

    def given_up(self, turn: Turn) -> None:
        """A turn could not be done; it is given once more."""
        with self._lock:
            group = self._known_group(turn)
            group.running.pop(turn.arm, None)
            group.again.append(turn)

    def left_over(self) -> bool:
        """Whether there is something to give that was not, or was given and is not done.

        To be asked when nobody works for the search any more: what was under way is given once more.
        """
        with self._lock:
            for group in self.groups:
                group.again += [Turn(group.dataset, arm, n) for arm, n in group.running.items()]
                group.running.clear()
            return any(group.again or group.ready or not group.drawn for group in self.groups)

    def _judge(self, group: Group, arm: Arm, block: int) -> str | None:
        """Why an arm should stop after a block, or None. What is decided is kept."""
        if not group.raced:
            return None
        reason = self._reason(group, arm, block)
        if reason:
            group.stopped[arm] = reason
            self._decide("stopped", group, arm, reason=reason, trials=self.blocks[block])
        return reason

    def decided(self) -> list[Decision]:
        """What was decided since the last call."""
        with self._lock:
            found, self._decided = self._decided, []
            return found

    def settled(self, dataset: str, arm: Arm) -> bool:
        """Whether an arm has all the trials that it will get; one that the study no longer has gets none."""
        with self._lock:
            group = self._group(dataset, arm)
            if group is None or not (arm in group.met or arm in group.draws.listed):
                return True
            return self._complete(group, arm)

    def _complete(self, group: Group, arm: Arm) -> bool:
        return arm in group.stopped or self._recorded.issuperset(
            self.wanted(group.dataset, arm, len(self.blocks) - 1)
        )

    def known_keys(self) -> list[Key]:
        """The trials of all arms that are known: all of those that run, what is recorded of the stopped."""
        with self._lock:
            found = []
            for group in self.groups:
                for arm in dict.fromkeys([*group.draws.listed, *group.met]):
                    mine = self.wanted(group.dataset, arm, len(self.blocks) - 1)
                    stopped = arm in group.stopped
                    found += [key for key in mine if not stopped or key in self._seen]
            return found

    def to_draw(self) -> Counter[str]:
        """How many trials of each data set belong to arms that are not drawn yet."""
        with self._lock:
            found: Counter[str] = Counter()
            for group in self.groups:
                found[group.dataset] += group.undrawn * self.blocks[-1] * len(self._students)
            return +found

    @property
    def stops(self) -> int:
        """How many arms were stopped."""
        with self._lock:
            return sum(len(group.stopped) for group in self.groups)

    def _groups(
        self, dataset: str, records: Mapping[Key, Record], decisions: list[Decision]
    ) -> list[Group]:
        by_penalty: dict[str, list[Arm]] = {}
        for arm in arms(self.study, dataset):
            by_penalty.setdefault(arm.penalty, []).append(arm)
        found = []
        for penalty in [*self.study.baselines, *self.study.penalties]:
            mine = [d for d in decisions if (d["dataset"], d["penalty"]) == (dataset, penalty)]
            drawn = [arm_of(d) for d in mine if d["what"] == "drawn"]
            recorded = [
                key.arm for key in records if (key.dataset, key.arm.penalty) == (dataset, penalty)
            ]
            met = list(dict.fromkeys([*drawn, *recorded]))
            strengths = self.study.penalties.get(penalty)
            if strengths is not None and strengths.searcher == "optuna":
                draws: Draws = Tpe(self.study, dataset, penalty, met)
            else:
                draws = Listed(by_penalty.get(penalty, []), met)
            raced = self.study.scheduler != "none" and penalty in self.study.penalties
            wanted_again = {key.arm for key in self._again if key.dataset == dataset}
            stopped = {
                arm_of(d): d["reason"]
                for d in mine
                if d["what"] == "stopped" and raced and arm_of(d) not in wanted_again
            }
            known = dict.fromkeys(draws.known)
            group = Group(dataset, penalty, draws, raced, stopped=stopped, met=known)
            found.append(group)
        return found

    def _group(self, dataset: str, arm: Arm) -> Group | None:
        mine = (g for g in self.groups if (g.dataset, g.penalty) == (dataset, arm.penalty))
        return next(mine, None)

    def _known_group(self, turn: Turn) -> Group:
        group = self._group(turn.dataset, turn.arm)
        assert group is not None  # turns are given by groups
        return group

    def _reason(self, group: Group, arm: Arm, block: int) -> str | None:
        trials = self.blocks[block]
        mine = self._by_trial(group, arm)
        others = {other: self._by_trial(group, other) for other in group.met if other != arm}
        if all(other in group.stopped for other in others):
            return None  # one of them must have all trials
        if self.study.scheduler == "race":
            alive = {str(o): scores for o, scores in others.items() if o not in group.stopped}
            if reason := race(mine, alive):
                return reason
        at_block = [
            statistics.median(part)
            for other, scores in others.items()
            if self._seen.issuperset(self.wanted(group.dataset, other, block))
            and (part := [s for t, s in scores.items() if t < trials])
        ]
        part = [score for trial, score in mine.items() if trial < trials]
        if not part:
            return "every trial failed"
        count = len(at_block) + 1
        go_on = count / FUTILE if self.study.scheduler == "race" else count // ETA
        return halve(statistics.median(part), at_block, go_on)

    def _by_trial(self, group: Group, arm: Arm) -> dict[int, float]:
        """The mean over the students of each trial that all of them finished."""
        trials = self._scores.get((group.dataset, arm), {})
        wanted = set(self._students)
        return {
            trial: statistics.fmean(scores[name] for name in wanted)
            for trial, scores in trials.items()
            if wanted <= scores.keys()
        }

    def _median(self, group: Group, arm: Arm) -> float | None:
        scores = self._by_trial(group, arm)
        return statistics.median(scores.values()) if scores else None

    def _decide(self, what: str, group: Group, arm: Arm, **more: Any) -> None:
        searched = self.study.penalties.get(group.penalty)
        # A listed arm needs no record of being drawn: it is drawn again just so.
        if what == "drawn" and (searched is None or searched.searcher != "optuna"):
            return
        self._decided.append(
            {
                "what": what, "dataset": group.dataset, "penalty": arm.penalty,
                "strength": arm.strength, "augment": arm.augment, "ensemble": arm.ensemble, **more,
            }
        )  # fmt: skip


def blocks(study: Study) -> tuple[int, ...]:
    """The numbers of trials after which an arm is looked at; the last is all of them."""
    if study.scheduler == "none":
        return (study.trials,)
    return (*(block for block in study.blocks if block < study.trials), study.trials)


def arm_of(fields: Mapping[str, Any]) -> Arm:
    """The arm that a decision or a record is about."""
    return Arm(
        fields["penalty"], fields["strength"], int(fields["augment"]), int(fields["ensemble"])
    )
