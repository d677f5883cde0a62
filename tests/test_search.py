"""The search as plain Python: who comes next, who need not go on, and what a restart keeps to."""

from __future__ import annotations

import numpy as np
import pytest

from smoothray.errors import StudyError
from smoothray.records.schema import new_record
from smoothray.search import Search, Turn, Wait
from smoothray.search.racing import halve, race
from smoothray.search.search import blocks
from smoothray.study import parse_study
from smoothray.study.plan import Arm, Key

GRID = [0.01, 0.03, 0.1, 0.3]
DRAWN = {"loguniform": [0.001, 1.0], "samples": 8, "searcher": "optuna"}


def study(**changes):
    return parse_study(
        {
            "name": "s",
            "datasets": ["sklearn:iris", "sklearn:diabetes"],
            "trials": 20,
            "penalties": {"jacobian": GRID},
            **changes,
        }
    )


def record(key, score, status="ok"):
    sizes = {"train": 3, "val": 1, "test": 1}
    found = new_record("s", key, sizes, "f", (), "fidelity")
    return found | {"status": status, "student_r2_val": score}


def run(search, value, stop_after=None, at_once=4):
    """Play Tune and the students, some turns at once; value(dataset, arm, trial) is the score."""
    made, order, waiting = {}, [], []
    while True:
        enough = stop_after and len(order) >= stop_after
        found = search.next() if len(waiting) < at_once and not enough else Wait()
        if found is None and not waiting:
            break
        if isinstance(found, Turn):
            order.append(found)
            waiting.append(found)
        if not isinstance(found, Turn):
            turn = waiting.pop(0)
            for key in search.wanted(turn.dataset, turn.arm, turn.block):
                if key not in made and key not in search._recorded:
                    made[key] = record(key, value(turn.dataset, turn.arm, key.trial))
                    search.add(made[key])
            search.done(turn)
            if enough and not waiting:
                break
    return made, order


def best_at(strength, noise=0.02):
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.1, 1000)

    def value(dataset, arm, trial):
        away = 0 if arm.strength is None else abs(np.log10(arm.strength / strength))
        return 0.8 + luck[trial] - 0.1 * away + rng.normal(0, noise)

    return value


def trials_of(made, arm, dataset="iris"):
    return sum(key.dataset == dataset and key.arm == arm for key in made)


# --- rules


def test_seven_pairs_that_all_agree_are_enough_to_stop_and_six_are_not():
    best = dict.fromkeys(range(7), 0.5)
    worse = {trial: 0.4 + trial / 100 for trial in range(7)}
    assert "not better than a on 7 shared trials" in (race(worse, {"a": best}) or "")
    assert race({trial: worse[trial] for trial in range(6)}, {"a": best}) is None


@pytest.mark.parametrize("scheduler", ["race", "asha"])
@pytest.mark.parametrize("seed", range(12))
def test_one_arm_of_each_group_has_all_trials(scheduler, seed):
    """Arms that differ by next to nothing rule each other out, in turn."""
    luck = np.random.default_rng(seed)
    shared, tilt = luck.normal(0, 0.1, 50), luck.normal(0, 0.001, (8, 50))
    grid = [0.001, 0.002, 0.004, 0.01, 0.02, 0.04, 0.1, 0.2]
    plan = study(
        datasets=["sklearn:iris"], trials=50, penalties={"jacobian": grid}, scheduler=scheduler
    )
    made, _ = run(
        Search(plan, ["iris"], {}),
        lambda _, arm, trial: (
            shared[trial] + (0 if arm.strength is None else tilt[grid.index(arm.strength), trial])
        ),
    )
    whole = [s for s in grid if trials_of(made, Arm("jacobian", s, 0)) == 50]
    assert 1 <= len(whole) < len(grid)


def test_ties_end_and_gains_do_not():
    rng = np.random.default_rng(1)
    base = {trial: float(rng.normal(0.5, 0.1)) for trial in range(10)}
    assert race(dict(base), {"a": base})
    gain = {trial: score + 0.01 + rng.normal(0, 0.005) for trial, score in base.items()}
    assert race(gain, {"a": base}) is None


def test_the_incumbent_is_the_best_on_shared_trials():
    mine = {trial: 0.5 + trial / 1000 for trial in range(10)}
    low = dict.fromkeys(range(10), 0.3)
    high = dict.fromkeys(range(3, 10), 0.6)
    assert "not better than high on 7" in (race(mine, {"low": low, "high": high}) or "")


def test_the_best_arm_is_seldom_stopped():
    """A false stop: at most ALPHA a look and rival, here over four looks at one equal-but-for-WORTH rival."""
    rng = np.random.default_rng(2)
    stopped = 0
    for _ in range(400):
        rival = {t: float(s) for t, s in enumerate(rng.normal(0.5, 0.1, 25))}
        mine = {t: s + 0.002 + float(rng.normal(0, 0.02)) for t, s in rival.items()}
        stopped += any(
            race({t: s for t, s in mine.items() if t < n}, {"a": rival}) for n in (5, 10, 25)
        )
    assert stopped / 400 < 3 * 0.05


def test_halving_keeps_the_best_part():
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]

    def kept(part):
        return [s for i, s in enumerate(scores) if not halve(s, scores[:i] + scores[i + 1 :], part)]

    assert kept(2) == [0.5, 0.6] and kept(2.5) == kept(3) == [0.4, 0.5, 0.6] and kept(0) == [0.6]
    assert halve(0.1, [], 0) is None


# --- searches


def test_groups_take_turns_and_every_arm_comes_once():
    search = Search(study(), ["iris", "diabetes"], {})
    found = []
    while isinstance(turn := search.next(), Turn):
        found.append(turn)
    assert len(found) == len(set(found)) == 2 * (2 + len(GRID))
    assert {turn.dataset for turn in found[:6]} == {"iris", "diabetes"}
    assert len({(turn.dataset, turn.arm.penalty) for turn in found[:6]}) == 6
    for turn in found:
        search.done(turn)
    assert search.next() is None


def test_without_a_scheduler_there_is_one_block_and_no_stop():
    search = Search(study(), ["iris"], {})
    assert search.blocks == (20,)
    made, _ = run(search, best_at(0.01))
    assert len(made) == 6 * 20 and not search.stops and not search.decided()


@pytest.mark.parametrize("scheduler", ["race", "asha"])
def test_an_early_stop_spares_fits_and_keeps_the_best(scheduler):
    strengths = [float(f"{s:.3g}") for s in np.geomspace(0.001, 10, 12)]
    wide = study(scheduler=scheduler, penalties={"jacobian": strengths}, trials=50)
    assert blocks(wide) == (5, 10, 20, 50)
    search = Search(wide, ["iris"], {})
    made, _ = run(search, best_at(strengths[5]))
    arms = [key for key in made if key.arm.penalty == "jacobian"]
    assert len(arms) <= 0.31 * 12 * 50
    assert trials_of(made, Arm("jacobian", strengths[5])) == 50
    for baseline in ("none", "direct"):
        assert trials_of(made, Arm(baseline)) == 50
    stops = [d for d in search.decided() if d["what"] == "stopped"]
    assert len(stops) == search.stops >= 6
    assert all(d["reason"] for d in stops)


def test_one_group_never_looks_at_another():
    two = study(scheduler="race", penalties={"jacobian": [0.1], "lipschitz": [0.1]})
    search = Search(two, ["iris"], {})
    made, _ = run(search, lambda dataset, arm, trial: {"jacobian": 0.9}.get(arm.penalty, 0.1))
    assert all(trials_of(made, Arm(penalty, 0.1)) == 20 for penalty in ("jacobian", "lipschitz"))


def test_trials_that_one_student_failed_are_not_compared():
    both = study(scheduler="race", students=["operon", "gplearn"])
    search = Search(both, ["iris"], {})
    arms = [Arm("jacobian", 0.01), Arm("jacobian", 0.1)]
    for arm, level in zip(arms, (0.5, 0.9), strict=True):
        for key in search.wanted("iris", arm, 0):
            lost = key.student == "gplearn" and key.trial == 0 and level == 0.5
            search.add(record(key, None if lost else level, "failed" if lost else "ok"))
    given = []
    while isinstance(turn := search.next(), Turn):
        given.append(turn)
    for turn in given:
        search.done(turn)
    assert search.score(Turn("iris", arms[0], 0)) == 0.5
    while isinstance(search.next(), Turn):
        pass
    reasons = {d["strength"]: d["reason"] for d in search.decided()}
    assert "shared trials" not in reasons[0.01]  # four pairs are left: no test


def test_a_restart_revives_no_stopped_arm_and_repeats_no_trial():
    raced = study(scheduler="race", trials=50)
    value = best_at(0.1)
    first = Search(raced, ["iris"], {})
    made, order = run(first, value)
    decisions = first.decided()
    assert first.stops
    again = Search(raced, ["iris"], made, decisions)
    assert again.next() is None and again.stops == first.stops
    assert set(again.known_keys()) == set(made)
    part = dict(list(made.items())[: len(made) // 2])
    half = [d for d in decisions if all(k in part for k in made if k.arm.strength == d["strength"])]
    resumed = Search(raced, ["iris"], part, half)
    rest, _ = run(resumed, value)
    assert not set(rest) & {
        k for k in part if k.arm in [Arm("jacobian", d["strength"]) for d in half]
    }


def test_failed_trials_wanted_again_bring_their_arm_back():
    made, _ = run(Search(study(), ["iris"], {}), best_at(0.1))
    lost = Key("iris", Arm("none"), "operon", 3)
    search = Search(study(), ["iris"], made, (), [lost])
    assert search.next() == Turn("iris", Arm("none"), 0) and isinstance(search.next(), Wait)


def test_optuna_draws_near_what_was_good_and_waits_for_answers():
    drawn = study(penalties={"jacobian": {**DRAWN, "samples": 30}}, trials=3, baselines=[])
    search = Search(drawn, ["iris"], {})
    first = [search.next() for _ in range(4)]
    assert isinstance(first[3], Wait) and len(set(first[:3])) == 3
    for turn in first[:3]:
        search.done(turn)
    run(search, best_at(0.02, noise=0.001))
    strengths = [d["strength"] for d in search.decided()]
    assert len(strengths) == len(set(strengths)) == 30
    assert all(0.001 <= s <= 1 for s in strengths)
    early = np.abs(np.log10(np.array(strengths[:8]) / 0.02))
    late = np.abs(np.log10(np.array(strengths[-12:]) / 0.02))
    assert np.median(late) < np.median(early)


def test_augmentation_is_searched_along_with_the_strength():
    drawn = study(penalties={"jacobian": {**DRAWN, "samples": 12}}, augment=[0, 4], trials=2)
    search = Search(drawn, ["iris"], {})
    run(search, lambda dataset, arm, trial: 0.5 + 0.1 * (arm.augment == 4))
    arms = [d for d in search.decided() if d["what"] == "drawn"]
    assert len(arms) == 12 and {d["augment"] for d in arms} == {0, 4}


def test_a_restart_draws_no_strength_anew():
    drawn = study(penalties={"jacobian": DRAWN}, trials=4, baselines=[])
    value = best_at(0.1)
    first = Search(drawn, ["iris"], {})
    made, order = run(first, value, stop_after=4)
    before = first.decided()
    assert len(before) == 4
    resumed = Search(drawn, ["iris"], made, before)
    assert sum(resumed.to_draw().values()) == 4 * 4
    rest, later = run(resumed, value)
    new = [d["strength"] for d in resumed.decided()]
    assert len(new) == 4 and not set(new) & {d["strength"] for d in before}
    assert not set(rest) & set(made) and len(rest) == 16
    # Drawn, but killed before any of it was recorded: it is given again, not replaced.
    bare = Search(drawn, ["iris"], {}, before)
    again = [bare.next().arm.strength for _ in range(3)]
    assert again == [d["strength"] for d in before[:3]] and not bare.decided()


def test_what_a_study_file_may_say_of_the_search():
    with pytest.raises(StudyError, match="rising order"):
        study(blocks=[10, 5])
    with pytest.raises(StudyError, match="takes a distribution"):
        study(penalties={"jacobian": {"values": [0.1], "searcher": "optuna"}})
    with pytest.raises(StudyError, match="scheduler"):
        study(scheduler="median")
    assert "scheduler" not in study(scheduler="race").identity()


# --- what a review found


def test_arms_that_left_the_study_are_neither_given_nor_wanted_nor_rivals():
    made, _ = run(Search(study(trials=4), ["iris"], {}), best_at(0.1))
    smaller = Search(
        study(trials=6, penalties={"jacobian": [0.1]}, scheduler="race"), ["iris"], made
    )
    assert {key.arm.strength for key in smaller.known_keys()} == {None, 0.1}
    more, _ = run(smaller, best_at(0.1))
    assert len(more) == 3 * 2 and set(smaller.known_keys()) <= set(made) | set(more)
    assert smaller.settled("iris", Arm("jacobian", 0.3))
    assert smaller.settled("gone", Arm("none")) and smaller.settled("iris", Arm("lipschitz", 1.0))


def test_draws_outside_a_changed_space_are_left_out():
    before = study(penalties={"jacobian": [0.0, 0.01, 5.0]}, augment=[0, 1], trials=2)
    made, _ = run(Search(before, ["iris"], {}), best_at(0.1))
    drawn = study(penalties={"jacobian": {**DRAWN, "samples": 3}}, trials=2)
    search = Search(drawn, ["iris"], made)
    run(search, best_at(0.1))
    arms = {key.arm for key in search.known_keys() if key.arm.penalty == "jacobian"}
    assert len(arms) == 3 and Arm("jacobian", 0.01) in arms and not search.to_draw()


def test_what_was_let_through_is_not_judged_again():
    raced = study(scheduler="asha", trials=10, blocks=[5], penalties={"jacobian": GRID})
    score = {0.01: 0.5, 0.03: 0.6, 0.1: 0.7, 0.3: 0.8}
    made = {}
    for arm in (Arm("jacobian", s) for s in GRID):
        for trial in range(10):
            made[Key("iris", arm, "operon", trial)] = record(
                Key("iris", arm, "operon", trial), score[arm.strength]
            )
    lost = Key("iris", Arm("jacobian", 0.01), "operon", 7)
    search = Search(raced, ["iris"], made, (), [lost])
    given = []
    while isinstance(turn := search.next(), Turn):
        given.append(turn.arm)
    assert Arm("jacobian", 0.01) in given and not search.stops


def test_an_arm_that_was_stopped_for_its_failures_can_be_tried_again():
    raced = study(scheduler="race", trials=10, blocks=[5], baselines=[])
    made = {}
    for trial in range(5):
        key = Key("iris", Arm("jacobian", 0.01), "operon", trial)
        made[key] = record(key, None, "failed")
    stopped = {"what": "stopped", "dataset": "iris", "penalty": "jacobian", "strength": 0.01,
               "augment": 0, "ensemble": 1, "reason": "every trial failed", "trials": 5}  # fmt: skip
    assert Search(raced, ["iris"], made, [stopped]).stops == 1
    again = Search(raced, ["iris"], made, [stopped], list(made))
    assert not again.stops and again.next() == Turn("iris", Arm("jacobian", 0.01), 0)


def test_a_failed_trial_does_not_take_an_arm_out_of_its_block():
    raced = study(scheduler="asha", trials=10, blocks=[5], penalties={"jacobian": [0.1, 0.2]})
    search = Search(raced, ["iris"], {})
    turns = []
    while isinstance(turn := search.next(), Turn):
        turns.append(turn)
    for turn in turns:
        for key in search.wanted("iris", turn.arm, 0):
            lost = turn.arm.strength == 0.1 and key.trial == 0
            score = 0.9 if turn.arm.strength == 0.1 else 0.1
            search.add(record(key, None if lost else score, "failed" if lost else "ok"))
        search.done(turn)
    while isinstance(search.next(), Turn):
        pass
    assert [d["strength"] for d in search.decided()] == [0.2]
