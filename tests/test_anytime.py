"""A search that goes on for as long as it may: in time, one front, never worse, and kept at Ctrl-C."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Command, interrupted
from sklearn.base import clone

from smoothray import SymbolicDistiller
from smoothray.distillation.agenda import Agenda
from smoothray.distillation.anytime import ladder
from smoothray.distillation.attempts import Attempt
from smoothray.distillation.race import Bracket, Fit, Pool
from smoothray.students import STUDENTS, OperonStudent
from smoothray.study.plan import Arm
from smoothray.study.settings import StudentSettings

TINY = {
    "student_options": {"generations": 3},
    "teacher_options": {"hidden": (8,), "steps": 100},
    "random_state": 0,
}
FEW = 4
"""Seconds in which processes that are warm make several such fits, even beside other tests."""


def small(*arguments, **changes) -> SymbolicDistiller:
    return SymbolicDistiller(*arguments, **{**TINY, **changes})


def table(n: int = 120, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(1, 3, (n, 3)), columns=["mass kg", "x-1", "E"])
    noise = rng.normal(0, 0.5, n)
    return X, pd.Series(2 * X["mass kg"] * X["x-1"] + np.sin(3 * X["E"]) + noise, name="force")


def chosen_r2(model: SymbolicDistiller) -> float:
    front = model.pareto_front_
    return float(front.loc[front["chosen"], "r2_val"].item())


@pytest.fixture(scope="module")
def warm() -> None:
    """Two processes and torch, loaded: what that takes no test's seconds are to pay for."""
    small("jacobian", [0.001, 0.1], n_jobs=2, budget="quick", timeout=100).fit(*table())


@pytest.fixture(scope="module")
def searched(warm) -> SymbolicDistiller:
    return small("jacobian", [0.001, 0.01, 0.1], n_jobs=2, max_seconds=3 * FEW).fit(*table())


def test_it_ends_in_time_with_more_fits_than_settings(searched):
    spent = searched.search_
    assert spent["fits"] > 3 and spent["restarts"] >= 1 and not spent["interrupted"]
    assert spent["seconds"] < 3 * FEW + 10
    tried = searched.strengths_
    assert tried["fits"].sum() == spent["fits"] and tried["strength"].tolist() == [0.001, 0.01, 0.1]


def test_the_pooled_front_is_one(searched):
    front = searched.pareto_front_
    assert front["complexity"].is_monotonic_increasing and front["complexity"].is_unique
    assert front["r2_val"].is_monotonic_increasing and front["r2_val"].is_unique
    chosen = front[front["chosen"]]
    assert chosen["formula"].tolist() == [searched.formula_]
    assert chosen["strength"].tolist() == [searched.strength_]
    assert chosen["teacher_jacobian"].item() == searched.smoothness_["teacher_jacobian"]
    X, y = table()
    rows = searched.validation_rows_
    told = searched.predict(X)[rows]
    truth = y.to_numpy()[rows]
    r2 = 1 - ((truth - told) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert r2 == pytest.approx(chosen.iloc[0]["r2_val"], abs=1e-6)


def test_more_time_is_not_worse_than_each_setting_once(searched):
    once = clone(searched).set_params(max_seconds=None, budget="quick").fit(*table())
    assert once.search_ is None and "penalty" not in once.pareto_front_
    assert chosen_r2(searched) >= chosen_r2(once)
    assert chosen_r2(searched) >= searched.strengths_["r2_val"].max()


def test_a_member_of_the_front_brings_its_own_teacher(searched):
    X, _ = table()
    for size, strength in searched.pareto_front_[["complexity", "strength"]].to_numpy():
        picked = searched.select(int(size))
        row = picked.pareto_front_[picked.pareto_front_["chosen"]].iloc[0]
        assert (picked.strength_, picked.complexity_) == (strength, size)
        assert picked.smoothness_["teacher_jacobian"] == row["teacher_jacobian"]
        rows = searched.validation_rows_
        taught, told = picked.teacher_.predict(X.to_numpy())[rows], picked.predict(X)[rows]
        fidelity = 1 - ((taught - told) ** 2).sum() / ((taught - taught.mean()) ** 2).sum()
        assert fidelity == pytest.approx(row["fidelity_val"], abs=1e-5)


def test_it_is_kept_by_clone_pickle_and_file(searched, tmp_path):
    assert clone(searched).get_params()["max_seconds"] == 3 * FEW
    assert clone(searched).get_params() == searched.get_params()
    kept = pickle.loads(pickle.dumps(searched))
    assert kept.select(5).teacher_ is not None
    loaded = SymbolicDistiller.load(searched.save(tmp_path))
    assert loaded.max_seconds == 3 * FEW and loaded.search_ == searched.search_
    assert loaded.teacher_ is None and loaded.pareto_front_.equals(searched.pareto_front_)
    least = int(searched.pareto_front_["complexity"].iloc[1])
    ours, theirs = searched.select(least), loaded.select(least)
    assert theirs.teacher_ is None
    for name in ("formula_", "penalty_", "strength_", "smoothness_"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_a_first_fit_is_always_made(warm):
    model = small("none", max_seconds=0.001).fit(*table())
    assert model.search_["fits"] == 1 and model.formula_
    assert model.formula_ == small("none", budget="quick").fit(*table()).formula_


def test_several_outputs_and_a_direct_fit(warm):
    X, y = table()
    both = pd.DataFrame({"a": y, "b": y**2})
    model = small("direct", n_jobs=2, max_seconds=FEW).fit(X, both)
    assert len(model.formula_) == 2 and model.penalty_ == ["direct", "direct"]
    assert [curve["fits"].item() for curve in model.strengths_] > [1, 1]
    assert model.select(5).teacher_ == [None, None]


@pytest.mark.parametrize("selection", ["fidelity", "native", "sobolev"])
def test_where_losses_cannot_be_compared_the_best_fit_stands(warm, selection):
    model = small("none", max_seconds=FEW, selection=selection).fit(*table())
    assert model.search_["fits"] > 1 and "restart" not in model.pareto_front_
    assert model.select(5).complexity_ <= 5


def test_a_trained_teacher_is_distilled_again_and_again(warm):
    X, y = table()
    model = small(teacher=lambda rows: rows[:, 0] * rows[:, 1], prefit=True, max_seconds=FEW)
    model.fit(X, y)
    assert model.search_["fits"] > 1 and model.penalty_ is None
    assert model.pareto_front_["fidelity_val"].is_monotonic_increasing


def test_signs_hold_for_the_whole_front(warm):
    X, y = table()
    model = small("none", max_seconds=FEW, monotone={"mass kg": -1})
    with pytest.warns(UserWarning, match="the best formula is not monotone as asked"):
        model.fit(X, y)
    assert "mass kg" not in model.formula_
    with pytest.warns(UserWarning, match="is not monotone"):
        model.fit(X, y)
    assert not model.pareto_front_["formula"].str.contains("mass kg").any()


def test_failures_are_told_and_do_not_go_on_for_ever(monkeypatch):
    class Failing(OperonStudent):
        def _search(self, X, y, seed):
            raise ValueError("no luck")

    monkeypatch.setitem(STUDENTS, "operon", Failing)
    started = time.monotonic()
    with pytest.raises(ValueError, match="no formula came of it; none: ValueError: no luck"):
        small("none", max_seconds=500).fit(*table())
    assert time.monotonic() - started < 120


def test_a_fit_that_does_not_end_is_ended_with_the_search(warm, monkeypatch):
    class Slow(OperonStudent):
        def _search(self, X, y, seed):
            if self.budget != "quick":
                time.sleep(600)
            return super()._search(X, y, seed)

    monkeypatch.setitem(STUDENTS, "operon", Slow)
    model = small("none", max_seconds=2 * FEW, n_jobs=2).fit(*table())
    assert model.search_["fits"] >= 1 and model.search_["seconds"] < 30


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "long"])
def test_times_that_are_refused(seconds):
    with pytest.raises(ValueError, match=r"max_seconds is .*; give a number of seconds above 0"):
        small("none", max_seconds=seconds).fit(*table())


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf"])
def test_minutes_that_are_refused(main, minutes):
    ended = main("distill", "mine.csv", "--target", "y", "--minutes", minutes)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"error: --minutes takes a number above 0, not {minutes}\n"


# Races and pools, without fits.


def attempt(arm: Arm, *members: tuple[int, float], chosen: int, error: float = 0.1) -> Attempt:
    front = [
        {
            "complexity": size, "complexity_standard": size, "chosen": i == chosen,
            "formula": f"{arm} {size}", "mathml": "",
            "val_loss_accuracy": loss, "val_error_accuracy": error, "jacobian": 1.0, "gradient_max": 1.0,
            **{f"{name}_{part}": 0.0 for name in ("r2", "fidelity") for part in ("train", "val", "test")},
        }
        for i, (size, loss) in enumerate(members)
    ]  # fmt: skip
    fields = {"front": front, "teacher_jacobian": 2.0, "latex": "", "alignment": 0.0}
    return Attempt(arm, None, fields)


ONE, TWO = Arm("jacobian", 0.1), Arm("jacobian", 1.0)


def both_orders(*entries: tuple[Fit, Attempt]) -> list[Pool]:
    pools = []
    for order in (entries, entries[::-1]):
        pools.append(Pool())
        for entry in order:
            pools[-1].add(*entry)
    return pools


def test_a_pool_is_the_front_of_all_whatever_came_first():
    entries = (
        (Fit(0, 0, 0, 0, 0), attempt(ONE, (1, 1.0), (5, 0.5), (9, 0.3), chosen=2)),
        (Fit(0, 0, 0, 0, 1), attempt(TWO, (1, 1.0), (4, 0.45), (9, 0.35), (20, 0.28), chosen=3)),
    )
    for pool in both_orders(*entries):
        first, second = pool.attempts()
        front = first.fields["front"]
        assert [member["complexity"] for member in front] == [1, 4, 9, 20]
        assert [member["strength"] for member in front] == [0.1, 1.0, 0.1, 1.0]
        # Within a standard error lies also 9, but a single fit chose 20, with a smaller loss.
        assert first.fields["complexity"] == 20 and first.arm == TWO and second.arm == ONE


def test_the_simplest_within_a_standard_error_is_chosen_if_no_fit_chose_better():
    entries = (
        (Fit(0, 0, 0, 0, 0), attempt(ONE, (1, 1.0), (9, 0.35), (20, 0.3), chosen=1)),
        (Fit(0, 0, 0, 0, 1), attempt(TWO, (1, 1.0), (7, 0.34), (20, 0.29), chosen=1)),
    )
    for pool in both_orders(*entries):
        assert pool.chosen().fields["complexity"] == 7 and pool.chosen().arm == TWO


def test_more_fits_choose_no_worse_than_the_best_single_one():
    rng = np.random.default_rng(0)
    pool, singles = Pool(), []
    for i in range(200):
        losses = np.sort(rng.uniform(0.2, 1, 4))[::-1]
        sizes = np.sort(rng.choice(np.arange(1, 30), 4, replace=False))
        one = attempt(ONE, *zip(map(int, sizes), losses, strict=True), chosen=int(rng.integers(4)))
        singles.append(one.loss)
        pool.add(Fit(i, 0, 0, 0, 0), one)
        assert pool.chosen().loss <= min(singles)


def test_a_bracket_lets_a_third_go_on_once_all_are_in():
    bracket = Bracket(0, 0, range(4), levels=3)
    fits = [fit for arm in (0, 1, 2) for fit in bracket.enter(arm)]
    assert [bracket.record(fit, fit.arm / 10) for fit in fits] == [[], [], []]
    assert bracket.leave_out([3]) == [Fit(0, 1, 0, 0, 0)]
    assert bracket.is_first_pass_done and not bracket.is_done
    assert bracket.record(Fit(0, 1, 0, 0, 0), 0.5) == [Fit(0, 2, 0, 0, 0)]
    assert bracket.record(Fit(0, 2, 0, 0, 0), float("inf")) == [] and bracket.is_done
    assert bracket.best_arms() == [0]


def test_the_ladder_has_each_different_budget_once():
    assert [student.budget for student in ladder(StudentSettings(budget="thorough"))] == [
        "quick", "standard", "thorough",
    ]  # fmt: skip
    same = {"population_size": 50, "generations": 3}
    assert len(ladder(StudentSettings(options=same))) == 1


# What is next, without fits: the clock is set by hand.


def agenda(levels: int = 1, places: int = 1, seconds: float = 100.0, **options) -> Agenda:
    """Of two settings, one of which has no teacher yet; the other's fit of each target took a second."""
    made = Agenda([ONE, Arm("direct")], levels, [Pool() for _ in range(places)], seconds, **options)
    for place in range(places):
        made.enter(0, place, 1, is_taught=True)
        fit = made.take()
        assert fit == Fit(0, 0, 0, place, 1)
        made.running.remove(fit)
        made.record(fit, attempt(Arm("direct"), (1, 1.0), (9, 0.3), chosen=1), 1.0)
    return made


def test_the_last_part_is_for_shortening():
    for left, begins in ((60.0, False), (11.5, False), (10.5, True), (2.0, True), (1.0, False)):
        ours = agenda()
        ours.end = time.monotonic() + left
        assert ours.take() == (Fit(0, 1, 0, 0, 1) if begins else None), left
    ours = agenda(places=2)
    ours.end = time.monotonic() + 10.5
    taken = [ours.take() for _ in range(2)]
    assert taken == [Fit(0, 1, 0, place, 1) for place in range(2)]  # each target once
    assert ours.to_shorten(taken[0]) == ["direct 9", "direct 1"]  # the chosen one first
    assert ours.take() is None and not ours.is_over()
    shorter = attempt(Arm("direct"), (1, 1.0), (5, 0.3), chosen=1)
    for fit in taken:
        ours.running.remove(fit)
        ours.record(fit, shorter, 0.5)
        assert ours.pools[fit.place].chosen().fields["complexity"] == 5
    assert (ours.shortened, ours.fits) == (2, 2)
    ours.end = time.monotonic()
    assert ours.is_over()


def test_nothing_is_shortened_where_it_takes_too_much_or_is_not_asked_for():
    assert agenda().last() == 10.0 and agenda(seconds=10.0).last() == 1.5
    assert agenda(seconds=5.0).last() == 0.0
    assert agenda(shortens=False).last() == 0.0


def test_teachers_come_where_fits_run_out_and_while_they_are_worth_their_time():
    ours = Agenda([ONE, TWO, Arm("none")], 2, [Pool()], 100.0)
    assert ours.bank(2) == (0, "jacobian")
    for arm in (0, 1):
        ours.enter(0, 0, arm, is_taught=True)
    ours.bank_done((0, "jacobian"), 3.0)
    assert ours.bank(2) == (0, "none")  # the first restart's all come
    ours.enter(0, 0, 2, is_taught=False)
    ours.bank_done((0, "none"), 3.0)
    assert ours.bank(2) is None  # two fits wait for two processes
    first, second = ours.take(), ours.take()
    assert [first.arm, second.arm] == [0, 1] and ours.take() is None
    assert ours.limit(first) == pytest.approx(108, abs=1)
    for fit, loss in ((first, 0.3), (second, 0.5)):
        ours.running.remove(fit)
        ours.record(fit, attempt(ONE, (9, loss), chosen=0), 1.0)
    assert ours.take() == Fit(0, 1, 0, 0, 0)  # the best third by the next budget
    assert ours.bank(2) == (1, "jacobian")
    ours.end = time.monotonic() + 12.0
    assert (
        ours.bank(2) is None
    )  # three seconds of teachers, and a fit, would reach into the last part
    assert ours.restarts == 1


def test_a_target_without_a_formula_has_its_first_fit_whatever_the_time():
    ours = Agenda([ONE], 1, [Pool()], 1.0)
    ours.enter(0, 0, 0, is_taught=True)
    ours.bank_done((0, "jacobian"), 5.0)
    ours.end = time.monotonic() - 1
    fit = ours.take()
    assert fit is not None and ours.limit(fit) == float("inf") and not ours.is_over()
    ours.running.remove(fit)
    ours.record(fit, None, None)
    assert ours.is_over() and ours.fits == 0


# The command.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    X, y = table()
    X.assign(y=y).to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path / "mine.csv"


def test_the_command_takes_the_time_and_the_direct_fit_as_much(file, smoothray: Command):
    ended = smoothray(
        "distill", "mine.csv", "--target", "y", "--penalty", "none", "--minutes", 0.1, "--out", "out",
        cwd=file.parent,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "direct fit, same time" in ended.stdout and "splits" not in ended.stdout
    result = json.loads((file.parent / "out" / "result.json").read_text())
    for which in ("search", "direct_search"):
        assert result[which]["fits"] >= 1 and not result[which]["interrupted"]
    assert SymbolicDistiller.load(file.parent / "out").max_seconds == 3
    page = (file.parent / "out" / "report.html").read_text()
    assert re.search(r"operon, \d+ fits? in \d+ s", page)


TALKATIVE = """
from smoothray.commands import console
console.SELDOM = 0.5
from smoothray.cli import main
main()
"""


def stopped(file: Path, seen: str, *options: object) -> tuple[int, str, str]:
    """A `distill` that is ended by Ctrl-C, as `interrupted`."""
    command = [
        sys.executable, "-c", TALKATIVE, "distill", "mine.csv", "--target", "y", "--penalty", "none",
        "--out", "out", *map(str, options),
    ]  # fmt: skip
    return interrupted(command, file.parent, seen)


def test_ctrl_c_writes_what_there_is(file):
    code, printed, said = stopped(file, "best R² on validation rows", "--minutes", 60)
    assert code == 130, said
    assert re.search(r"with \d+ nodes(?: \(.*\))?; \d+ fits? done, 29:\d\d left", said)
    assert re.search(r"the search was stopped after \d+ of 1800 s and \d+ fits?", said)
    assert "Stopped: this is the best of what was searched." in said
    assert "direct fit, less time" in printed
    model = SymbolicDistiller.load(file.parent / "out")
    assert model.search_["interrupted"] and model.formula_ in printed


@pytest.mark.slow
def test_ctrl_c_among_the_repeats_leaves_them_out(file):
    """Of two splits, whose searches were to take the same seconds."""
    both = r"rows [^\n]* nodes, [^\n]* nodes; "
    code, printed, said = stopped(file, both, "--minutes", 0.3, "--repeats", 3)
    assert code == 130, said
    assert "Stopped before the repeats were done: they are left out." in said
    assert "the search was stopped" not in said
    assert "direct fit, same time" in printed and "splits" not in printed
    assert not SymbolicDistiller.load(file.parent / "out").search_["interrupted"]


class Interrupting(logging.Handler):
    """Ctrl-C, once, as soon as a fit says a text."""

    def __init__(self, text: str) -> None:
        super().__init__(logging.INFO)
        self.text = text

    def emit(self, record: logging.LogRecord) -> None:
        if self.text in record.getMessage():
            self.text = "never"
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def at(caplog) -> Iterator[Callable[[str], None]]:
    source = logging.getLogger("smoothray.distillation.attempts")
    caplog.set_level(logging.INFO, source.name)
    added: list[logging.Handler] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(text: str) -> None:
        added.append(Interrupting(text))
        source.addHandler(added[-1])

    yield interrupt
    for handler in added:
        source.removeHandler(handler)
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_keeps_what_there_is_if_a_time_was_given(at):
    X, y = table()
    at("best R² on validation rows")
    model = small("none", max_seconds=600)
    with pytest.warns(
        UserWarning, match=r"stopped after \d+ of 600 s and \d+ fit.*the best so far"
    ):
        model.fit(X, y)
    assert model.search_["interrupted"] and model.search_["seconds"] < 120
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize(("max_seconds", "text"), [(None, "fitting"), (600, "training")])
def test_an_interrupt_ends_a_fit_that_has_nothing_or_no_time(at, max_seconds, text):
    at(text)
    with pytest.raises(KeyboardInterrupt):
        small("none", max_seconds=max_seconds).fit(*table())
