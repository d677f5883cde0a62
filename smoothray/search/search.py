"""The search of a whole study: a group for each (data set, penalty, regime), served in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from smoothray.penalties import find_penalty
from smoothray.penalties.jacobian import Placebo
from smoothray.search.board import Board, Decision, decision
from smoothray.search.racing import FUTILE, halve, race
from smoothray.search.sampler import Listed, Sampler, Searched, Suggest
from smoothray.study import Study
from smoothray.study.plan import Arm, Key, Setting, arms, settings


class Wait:
    """There is nothing to give now, but there may be later."""


@dataclass
class Group:
    """The settings of one (data set, penalty, regime). Groups never look at each other.

    met: arms that were given or recorded. running: settings under way. waiting: settings that have a block
    behind them and wait for the next one, which is given. stopped: arms, and why.
    """

    dataset: str
    penalty: str
    stopping: str
    sampler: Sampler
    raced: bool
    stopped: dict[Arm, str] = field(default_factory=dict)
    met: dict[Arm, None] = field(default_factory=dict)
    running: dict[Setting, int] = field(default_factory=dict)
    waiting: dict[Setting, int] = field(default_factory=dict)
    again: list[Setting] = field(default_factory=list)
    drawn: bool = False

    @property
    def undrawn(self) -> int:
        """How many arms are still to be drawn."""
        return max(0, self.sampler.total - len({*self.sampler.listed, *self.met}))

    @property
    def arms(self) -> list[Arm]:
        """All arms that are known."""
        return list(dict.fromkeys([*self.sampler.listed, *self.met]))

    @property
    def settings(self) -> list[Setting]:
        """All settings that were given or recorded, without the arms of theirs that were stopped alone."""
        together = [self.met] if self.sampler.listed else [[arm] for arm in self.met]
        met = [setting for arms in together for setting in settings(self.dataset, arms)]
        alive = [setting.without(self.stopped) for setting in met]
        return [part if part.augments else whole for part, whole in zip(alive, met, strict=True)]


class Search:
    """Which setting of which data set comes next, and which need not go on.

    board: what is recorded. decisions: what earlier starts decided; it is kept to.
    """

    def __init__(
        self,
        study: Study,
        datasets: Iterable[str],
        board: Board,
        decisions: Iterable[Decision] = (),
    ) -> None:
        self.study, self.board = study, board
        self.keep: Callable[[Decision], None] = lambda decision: None
        self.given: set[Setting] = set()
        decisions = list(decisions)
        self.groups = [
            self._group_of(dataset, penalty, stopping, decisions)
            for dataset in datasets
            for penalty, stopping in regimes(study)
        ]
        self._by_name = {(g.dataset, g.penalty, g.stopping): g for g in self.groups}
        self._turn = 0

    def use(self, suggest: Suggest, keep: Callable[[Decision], None]) -> None:
        """suggest: draws strengths where the study asks for a searcher. keep: is told each decision."""
        self.keep = keep
        for group in self.groups:
            if isinstance(group.sampler, Searched):
                group.sampler.suggest = suggest

    def next(self) -> Setting | Wait | None:
        """The setting to begin next; a Wait where there is none now, None where all was given.

        What needs no teacher comes first: the students have work while the first banks train. Groups take
        turns, those with fewer settings under way first.
        """
        count = len(self.groups)
        order = [self.groups[(self._turn + i) % count] for i in range(count)]
        order.sort(key=lambda g: (find_penalty(g.penalty).has_teacher, len(g.running)))
        wait = False
        for group in order:
            setting = self._next_of(group)
            if isinstance(setting, Setting):
                self.given.add(setting)
                group.running[setting] = self.board.first_open_block(setting)
                self._turn = (self.groups.index(group) + 1) % count
                return setting
            wait = wait or setting is not None
        return Wait() if wait else None

    def _next_of(self, group: Group) -> Setting | Wait | None:
        if group.again:
            return group.again.pop()
        if len(group.running) >= group.sampler.parallel:
            return Wait()
        while (drawn := group.sampler.draw()) is not None:
            setting = drawn.without(group.stopped)
            if not setting.augments or self.board.done(setting):
                continue
            for arm in setting.arms:
                # A listed arm needs no record of being drawn: it is drawn again just so.
                if arm not in group.met and arm not in group.sampler.listed:
                    self.keep(decision("drawn", group.dataset, arm))
                group.met[arm] = None
            block = self.board.first_open_block(setting)
            # What was begun has been let through before.
            if not group.raced or not block or self.board.begun(setting, block):
                return setting
            group.waiting[setting] = block
        group.drawn = True
        return self.released(group, given=False) or (
            Wait() if group.running or group.waiting else None
        )

    # --- what became of a setting

    def waits(self, setting: Setting) -> None:
        """A setting has done a block, and waits to be let through to the next one."""
        group = self.group(setting)
        group.running.pop(setting, None)
        group.waiting[setting] = self.board.first_open_block(setting)

    def ended(self, setting: Setting) -> None:
        """A setting has come to its end."""
        group = self.group(setting)
        group.running.pop(setting, None)
        group.waiting.pop(setting, None)

    def given_up(self, setting: Setting) -> None:
        """A setting could not be done; it is given once more."""
        self.ended(setting)
        self.given.discard(setting)
        self.group(setting).again.append(setting)

    def stop(self, setting: Setting, block: int, reason: str) -> None:
        """A setting need not go on after a block; that is kept."""
        group = self.group(setting)
        for arm in setting.arms:
            group.stopped[arm] = reason
            self.keep(
                decision(
                    "stopped", group.dataset, arm, reason=reason, trials=self.board.blocks[block]
                )
            )

    def stopped(self, setting: Setting) -> bool:
        return all(arm in self.group(setting).stopped for arm in setting.arms)

    # --- racing

    def released(self, group: Group, given: bool) -> Setting | None:
        """The setting that waits and may go on now, in a group that is raced; those that may not are stopped.

        A setting is judged beside all that had the same block. given: whether one that was given by `next`
        before is wanted, or one that an earlier start has begun.
        """
        while group.drawn and group.waiting:
            setting, block = min(group.waiting.items(), key=lambda item: item[1])
            if any(running < block for running in group.running.values()):
                return None
            if (setting in self.given) is not given:
                return None
            # What was begun has been let through before.
            begun = self.board.begun(setting, block)
            reason = None if begun else self._reason(group, setting, block - 1)
            del group.waiting[setting]
            if reason is None:
                group.running[setting] = block
                return setting
            self.stop(setting, block - 1, reason)
        return None

    def _reason(self, group: Group, setting: Setting, block: int) -> str | None:
        """Why a setting should stop after a block, or None."""
        mine = self.board.by_trial(setting)
        rivals = [other for other in group.settings if other != setting]
        alive = [other for other in rivals if not self.stopped(other)]
        if not alive:
            return None  # one of them must have all trials
        others = {str(other.arms[0]): self.board.by_trial(other) for other in alive}
        if reason := race(mine, others):
            return reason
        score = self.board.median(setting, block)
        if score is None:
            return "every trial failed"
        medians = [
            self.board.median(other, block) for other in rivals if self.board.had(other, block)
        ]
        at_block = [median for median in medians if median is not None]
        return halve(score, at_block, (len(at_block) + 1) / FUTILE)

    # --- what a plan or a status says

    def settled(self) -> set[tuple[str, Arm]]:
        """Of these data sets the arms that have all the trials they will get, each with its data set."""
        datasets = {group.dataset for group in self.groups}
        known = {(group.dataset, arm) for group in self.groups for arm in group.arms}
        known |= {cell for cell in self.board.recorded if cell[0] in datasets}
        return {cell for cell in known if self._settled(*cell)}

    def _settled(self, dataset: str, arm: Arm) -> bool:
        group = self._by_name.get((dataset, arm.penalty, arm.stopping))
        if group is None or arm not in group.arms or arm in group.stopped:
            return True  # an arm that the study no longer has gets no more
        return self.board.done(settings(dataset, [arm])[0])

    def known_keys(self) -> list[Key]:
        """The trials of all arms that are known: all of those that run, what is recorded of the stopped."""
        keys = []
        for group in self.groups:
            for arm in group.arms:
                mine = self.board.keys(settings(group.dataset, [arm])[0])
                keys += [key for key in mine if arm not in group.stopped or self.board.seen(key)]
        return keys

    def open_keys(self) -> list[Key]:
        """Those of them that are to be done."""
        return [key for key in self.known_keys() if not self.board.has(key)]

    def to_draw(self) -> Counter[str]:
        """How many trials of each data set belong to arms that are not drawn yet."""
        counts: Counter[str] = Counter()
        for group in self.groups:
            counts[group.dataset] += (
                group.undrawn * self.board.blocks[-1] * len(self.study.students)
            )
        return +counts

    @property
    def stops(self) -> int:
        """How many arms were stopped."""
        return sum(len(group.stopped) for group in self.groups)

    def group(self, setting: Setting) -> Group:
        return self._by_name[setting.dataset, setting.penalty, setting.stopping]

    def _group_of(
        self, dataset: str, penalty: str, stopping: str, decisions: list[Decision]
    ) -> Group:
        mine = [
            d
            for d in decisions
            if (d["dataset"], d["penalty"], Arm.of(d).stopping) == (dataset, penalty, stopping)
        ]
        drawn = [Arm.of(d) for d in mine if d["what"] == "drawn"]
        before = list(dict.fromkeys([*drawn, *self.board.arms(dataset, penalty, stopping)]))
        strengths = self.study.penalties.get(penalty)
        stops_early = self.study.scheduler != "none" and strengths is not None
        again = self.board.again(dataset)
        stopped = {
            Arm.of(d): d["reason"]
            for d in mine
            if d["what"] == "stopped" and stops_early and Arm.of(d) not in again
        }
        sampler: Sampler
        if strengths is not None and strengths.searcher != "random":
            sampler = Searched(self.study, dataset, penalty, stopping, before, self.board)
        else:
            whole = arms(self.study, dataset)
            listed = [a for a in whole if (a.penalty, a.stopping) == (penalty, stopping)]
            sampler = Listed(dataset, listed, before)
        raced = stops_early and self.study.scheduler == "race"
        given = dict.fromkeys(sampler.before)
        return Group(dataset, penalty, stopping, sampler, raced, stopped, given)


def regimes(study: Study) -> list[tuple[str, str]]:
    """The penalties of a study's arms, baselines first, each with the ways in which its teachers stop."""
    placebo = [Placebo.name] if study.placebo else []
    return [
        (penalty, stopping)
        for penalty in (*study.baselines, *placebo, *study.penalties)
        for stopping in (study.teacher.stopping if find_penalty(penalty).has_teacher else ["early"])
    ]
