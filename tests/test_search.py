"""The search as plain Python: who comes next, who need not go on, and what a restart keeps to."""

from __future__ import annotations

import numpy as np
import pytest

from smoothray.errors import StudyError
from smoothray.scheduling.searcher import OptunaSuggests
from smoothray.search import Board, Score, Search, Wait
from smoothray.search.board import blocks
from smoothray.search.racing import halve, race
from smoothray.study import parse_study
from smoothray.study.plan import Arm, Key, Setting

GRID = [0.01, 0.03, 0.1, 0.3]
DRAWN = {"loguniform": [0.001, 1.0], "samples": 8, "searcher": "optuna"}


def study(**changes):
    return parse_study(
        {
            "name": "s",
            "datasets": ["sklearn:iris", "sklearn:diabetes"],
            "trials": 20,
            "penalties": {"jacobian": GRID},
            "restarts": 1,
            **changes,
        }
    )


def searched(study, datasets, made=(), decisions=(), again=()):
    """A search, and the list of what it decides from now on."""
    scores = [Score(*item) for item in dict(made).items()]
    search = Search(study, datasets, Board(study, scores, again), decisions)
    decided = []
    search.use(OptunaSuggests(study), decided.append)
    return search, decided


def run(search, value, stop_after=None, at_once=4):
    """Play Tune and the students, some settings at once; value(dataset, arm, trial) is the score."""
    made, order, running = {}, [], []
    board = search.board
    while True:
        enough = stop_after and len(order) >= stop_after
        room = len(running) < at_once and not enough
        setting = search.next() if room else Wait()
        if isinstance(setting, Setting):
            order.append(setting)
        elif room:
            released = (search.released(group, given=True) for group in search.groups)
            setting = next(filter(None, released), setting)
        if isinstance(setting, Setting):
            running.append(setting)
            continue
        if not running:
            if setting is None or enough:
                return made, order
            continue
        setting = running.pop(0)
        raced, last = search.group(setting).raced, len(board.blocks) - 1
        block = board.first_open_block(setting) if raced else last
        for key in board.keys(setting, block):
            if not board.has(key):
                made[key] = value(key.dataset, key.arm, key.trial)
                board.add(Score(key, made[key]))
        if raced and block < last:
            search.waits(setting)
        else:
            search.ended(setting)


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


@pytest.mark.parametrize("seed", range(12))
def test_one_arm_of_each_group_has_all_trials(seed):
    """Arms that differ by next to nothing rule each other out, in turn."""
    luck = np.random.default_rng(seed)
    shared, tilt = luck.normal(0, 0.1, 50), luck.normal(0, 0.001, (8, 50))
    grid = [0.001, 0.002, 0.004, 0.01, 0.02, 0.04, 0.1, 0.2]
    plan = study(
        datasets=["sklearn:iris"], trials=50, penalties={"jacobian": grid}, scheduler="race"
    )
    search, _ = searched(plan, ["iris"])
    made, _ = run(
        search,
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
    assert stopped / 400 <= 0.03


def test_halving_keeps_the_best_part():
    scores = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]

    def kept(part):
        return [s for i, s in enumerate(scores) if not halve(s, scores[:i] + scores[i + 1 :], part)]

    assert kept(2) == [0.5, 0.6] and kept(2.5) == kept(3) == [0.4, 0.5, 0.6] and kept(0) == [0.6]
    assert halve(0.1, [], 0) is None


# --- searches


def all_given(search):
    given = []
    while isinstance(setting := search.next(), Setting):
        given.append(setting)
    return given


def alone(dataset, penalty, strength=None, augments=(0,)):
    return Setting(dataset, penalty, strength, 1, augments)


def test_groups_take_turns_and_every_setting_comes_once():
    search, _ = searched(study(), ["iris", "diabetes"])
    given = all_given(search)
    assert len(given) == len(set(given)) == 2 * (2 + len(GRID))
    assert {setting.dataset for setting in given[:6]} == {"iris", "diabetes"}
    assert [setting.penalty for setting in given[:2]] == ["direct", "direct"]  # needs no teacher
    assert len({(setting.dataset, setting.penalty) for setting in given[:6]}) == 6
    for setting in given:
        search.ended(setting)
    assert search.next() is None


def test_a_setting_has_all_its_augmentations():
    search, _ = searched(study(augment=[0, 4]), ["iris"])
    given = all_given(search)
    assert len(given) == 2 + len(GRID)
    assert {s.augments for s in given if s.penalty != "direct"} == {(0, 4)}
    keys = search.board.keys(alone("iris", "jacobian", 0.1, (0, 4)))
    assert {key.arm.augment for key in keys} == {0, 4} and len(keys) == 40


def test_without_a_scheduler_there_is_one_block_and_no_stop():
    search, decided = searched(study(), ["iris"])
    assert search.board.blocks == (20,)
    made, _ = run(search, best_at(0.01))
    assert len(made) == 6 * 20 and not search.stops and not decided


def test_an_early_stop_spares_fits_and_keeps_the_best():
    strengths = [float(f"{s:.3g}") for s in np.geomspace(0.001, 10, 12)]
    wide = study(scheduler="race", penalties={"jacobian": strengths}, trials=50)
    assert blocks(wide) == (5, 10, 20, 50)
    assert blocks(study(scheduler="asha", trials=50)) == (5, 15, 45, 50)
    search, decided = searched(wide, ["iris"])
    made, _ = run(search, best_at(strengths[5]))
    arms = [key for key in made if key.arm.penalty == "jacobian"]
    assert len(arms) <= 0.31 * 12 * 50
    assert trials_of(made, Arm("jacobian", strengths[5])) == 50
    for baseline in ("none", "direct"):
        assert trials_of(made, Arm(baseline)) == 50
    stops = [d for d in decided if d["what"] == "stopped"]
    assert len(stops) == search.stops >= 6
    assert all(d["reason"] for d in stops)


def test_a_setting_waits_until_all_others_have_had_the_same_block():
    raced = study(scheduler="race", baselines=[], penalties={"jacobian": [0.1, 0.2]})
    search, _ = searched(raced, ["iris"])
    first, second = all_given(search)
    (group,) = search.groups
    scores = {first: 0.9, second: 0.5}

    def do(setting):
        block = search.board.first_open_block(setting)
        for key in search.board.keys(setting, block):
            search.board.add(Score(key, scores[setting] + key.trial / 1000))
        search.waits(setting)

    do(first)
    assert search.released(group, given=True) is None  # the other has not had its first block
    do(second)
    assert search.released(group, given=True) == first
    assert search.released(group, given=True) is None
    assert search.stopped(second) and not search.stopped(first)
    assert isinstance(search.next(), Wait)
    search.ended(first)
    assert search.next() is None


def test_one_group_never_looks_at_another():
    two = study(scheduler="race", penalties={"jacobian": [0.1], "lipschitz": [0.1]})
    search, _ = searched(two, ["iris"])
    made, _ = run(search, lambda dataset, arm, trial: {"jacobian": 0.9}.get(arm.penalty, 0.1))
    assert all(trials_of(made, Arm(penalty, 0.1)) == 20 for penalty in ("jacobian", "lipschitz"))


def test_trials_that_one_student_failed_are_not_compared():
    both = study(scheduler="race", students=["operon", "gplearn"], baselines=[])
    search, decided = searched(both, ["iris"])
    settings = all_given(search)
    level = {0.01: 0.5, 0.03: 0.6, 0.1: 0.9, 0.3: 0.6}
    for setting in settings:
        for key in search.board.keys(setting, 0):
            lost = key.student == "gplearn" and key.trial == 0 and setting.strength == 0.01
            search.board.add(Score(key, None if lost else level[setting.strength]))
        search.waits(setting)
    weak = alone("iris", "jacobian", 0.01)
    assert search.board.median(weak, 0) == 0.5 and len(search.board.by_trial(weak)) == 4
    while search.released(search.groups[0], given=True):
        pass
    reasons = {d["strength"]: d["reason"] for d in decided}
    assert "shared trials" not in reasons[0.01]  # four pairs are left: no test


def test_a_restart_revives_no_stopped_arm_and_repeats_no_trial():
    raced = study(scheduler="race", trials=50)
    value = best_at(0.1)
    first, decisions = searched(raced, ["iris"])
    made, _ = run(first, value)
    assert first.stops
    again, _ = searched(raced, ["iris"], made, decisions)
    assert again.next() is None and again.stops == first.stops
    assert set(again.known_keys()) == set(made)
    part = dict(list(made.items())[: len(made) // 2])
    half = [d for d in decisions if all(k in part for k in made if k.arm.strength == d["strength"])]
    resumed, _ = searched(raced, ["iris"], part, half)
    rest, _ = run(resumed, value)
    stopped = [Arm("jacobian", d["strength"]) for d in half]
    assert not {key for key in rest if key.arm in stopped}
    assert not rest.keys() & part.keys()


def test_failed_trials_wanted_again_bring_their_setting_back():
    made, _ = run(searched(study(), ["iris"])[0], best_at(0.1))
    lost = Key("iris", Arm("none"), "operon", 3)
    search, _ = searched(study(), ["iris"], made, (), [lost])
    assert search.next() == alone("iris", "none") and isinstance(search.next(), Wait)
    assert search.open_keys() == [lost]


def test_optuna_draws_near_what_was_good_and_waits_for_answers():
    drawn = study(penalties={"jacobian": {**DRAWN, "samples": 30}}, trials=3, baselines=[])
    search, decided = searched(drawn, ["iris"])
    first = [search.next() for _ in range(4)]
    assert isinstance(first[3], Wait) and len(set(first[:3])) == 3
    for setting in first[:3]:
        for key in search.board.keys(setting):
            search.board.add(
                Score(key, best_at(0.02, noise=0.001)(key.dataset, key.arm, key.trial))
            )
        search.ended(setting)
    run(search, best_at(0.02, noise=0.001))
    strengths = [d["strength"] for d in decided]
    assert len(strengths) == len(set(strengths)) == 30
    assert all(0.001 <= s <= 1 for s in strengths)
    early = np.abs(np.log10(np.array(strengths[:8]) / 0.02))
    late = np.abs(np.log10(np.array(strengths[-12:]) / 0.02))
    assert np.median(late) < np.median(early)


def test_optuna_learns_the_score_of_all_trials_that_there_are():
    """Not only that after the first block: what looked good after three trials may be bad after eight."""
    drawn = study(
        penalties={"jacobian": DRAWN}, trials=8, baselines=[], scheduler="race", blocks=[3]
    )
    search, _ = searched(drawn, ["iris"])
    setting = search.next()
    told = []

    def suggest(dataset, penalty, stopping, scores, attempt):
        told.append(scores)
        return Arm("jacobian", 0.5)

    search.use(suggest, lambda decision: None)
    for trial, key in enumerate(search.board.keys(setting)):
        search.board.add(Score(key, 0.9 if trial < 3 else 0.1))
    search.next()
    assert told[0] == {setting.arms[0]: 0.1}


def test_augmentation_is_searched_along_with_the_strength():
    drawn = study(penalties={"jacobian": {**DRAWN, "samples": 12}}, augment=[0, 4], trials=2)
    search, decided = searched(drawn, ["iris"])
    run(search, lambda dataset, arm, trial: 0.5 + 0.1 * (arm.augment == 4))
    arms = [d for d in decided if d["what"] == "drawn"]
    assert len(arms) == 12 and {d["augment"] for d in arms} == {0, 4}


def test_a_restart_draws_no_strength_anew():
    drawn = study(penalties={"jacobian": DRAWN}, trials=4, baselines=[])
    value = best_at(0.1)
    first, before = searched(drawn, ["iris"])
    made, _ = run(first, value, stop_after=4)
    assert len(before) == 4
    resumed, decided = searched(drawn, ["iris"], made, before)
    assert sum(resumed.to_draw().values()) == 4 * 4
    rest, _ = run(resumed, value)
    new = [d["strength"] for d in decided]
    assert len(new) == 4 and not set(new) & {d["strength"] for d in before}
    assert not set(rest) & set(made) and len(rest) == 16
    # Drawn, but killed before any of it was recorded: it is given again, not replaced.
    bare, decided = searched(drawn, ["iris"], {}, before)
    again = [bare.next().strength for _ in range(3)]
    assert again == [d["strength"] for d in before[:3]] and not decided


def test_what_a_study_file_may_say_of_the_search():
    with pytest.raises(StudyError, match="rising order"):
        study(blocks=[10, 5])
    with pytest.raises(StudyError, match="takes a distribution"):
        study(penalties={"jacobian": {"values": [0.1], "searcher": "optuna"}})
    with pytest.raises(StudyError, match="scheduler"):
        study(scheduler="median")
    assert "scheduler" not in study(scheduler="race").identity()


# --- studies that changed, and trials that failed


def test_arms_that_left_the_study_are_neither_given_nor_wanted_nor_rivals():
    made, _ = run(searched(study(trials=4), ["iris"])[0], best_at(0.1))
    smaller, _ = searched(
        study(trials=6, penalties={"jacobian": [0.1]}, scheduler="race"), ["iris"], made
    )
    assert {key.arm.strength for key in smaller.known_keys()} == {None, 0.1}
    more, _ = run(smaller, best_at(0.1))
    assert len(more) == 3 * 2 and set(smaller.known_keys()) <= set(made) | set(more)
    recorded = ("iris", Arm("jacobian", 0.3))
    assert recorded in smaller.settled()
    assert {dataset for dataset, _ in smaller.settled()} == {"iris"}


def test_draws_outside_a_changed_space_are_left_out():
    before = study(penalties={"jacobian": [0.0, 0.01, 5.0]}, augment=[0, 1], trials=2)
    made, _ = run(searched(before, ["iris"])[0], lambda dataset, arm, trial: 0.5)
    drawn = study(penalties={"jacobian": {**DRAWN, "samples": 3}}, trials=2)
    search, _ = searched(drawn, ["iris"], made)
    run(search, best_at(0.1))
    arms = {key.arm for key in search.known_keys() if key.arm.penalty == "jacobian"}
    assert len(arms) == 3 and Arm("jacobian", 0.01) in arms and not search.to_draw()


def test_what_was_let_through_is_not_judged_again():
    raced = study(scheduler="race", trials=10, blocks=[5], penalties={"jacobian": GRID})
    level = {0.01: 0.5, 0.03: 0.6, 0.1: 0.7, 0.3: 0.8}
    made = {
        Key("iris", Arm("jacobian", strength), "operon", trial): score
        for strength, score in level.items()
        for trial in range(10)
    }
    lost = Key("iris", Arm("jacobian", 0.01), "operon", 7)
    search, _ = searched(raced, ["iris"], made, (), [lost])
    assert alone("iris", "jacobian", 0.01) in all_given(search) and not search.stops


def test_a_setting_that_an_earlier_start_began_is_judged_before_it_goes_on():
    raced = study(
        scheduler="race", trials=10, blocks=[5], baselines=[], penalties={"jacobian": GRID}
    )
    made = {
        Key("iris", Arm("jacobian", strength), "operon", trial): strength
        for strength in GRID
        for trial in range(5)
    }
    search, decided = searched(raced, ["iris"], made)
    given = all_given(search)
    assert {s.strength for s in given} == {0.1, 0.3}  # the better half
    assert {d["strength"] for d in decided} == {0.01, 0.03}


def test_an_arm_that_was_stopped_for_its_failures_can_be_tried_again():
    raced = study(scheduler="race", trials=10, blocks=[5], baselines=[])
    made = {Key("iris", Arm("jacobian", 0.01), "operon", trial): None for trial in range(5)}
    stopped = {"what": "stopped", "dataset": "iris", "penalty": "jacobian", "strength": 0.01,
               "augment": 0, "ensemble": 1, "reason": "every trial failed", "trials": 5}  # fmt: skip
    assert searched(raced, ["iris"], made, [stopped])[0].stops == 1
    again, _ = searched(raced, ["iris"], made, [stopped], list(made))
    assert not again.stops and again.next() == alone("iris", "jacobian", 0.01)


def test_one_augmentation_that_was_stopped_alone_stays_so():
    """As records of an earlier version may say."""
    raced = study(scheduler="race", augment=[0, 4], baselines=[], penalties={"jacobian": [0.1]})
    stopped = {"what": "stopped", "dataset": "iris", "penalty": "jacobian", "strength": 0.1,
               "augment": 4, "ensemble": 1, "reason": "slow", "trials": 5}  # fmt: skip
    search, _ = searched(raced, ["iris"], {}, [stopped])
    assert all_given(search) == [alone("iris", "jacobian", 0.1)]


def test_a_failed_trial_does_not_take_a_setting_out_of_its_block():
    raced = study(scheduler="race", trials=10, blocks=[5], baselines=[],
                  penalties={"jacobian": [0.1, 0.2]})  # fmt: skip
    search, decided = searched(raced, ["iris"])
    for setting in all_given(search):
        good = setting.strength == 0.1
        for key in search.board.keys(setting, 0):
            lost = good and key.trial == 0
            search.board.add(Score(key, None if lost else 0.9 if good else 0.1))
        search.waits(setting)
    assert search.released(search.groups[0], given=True) == alone("iris", "jacobian", 0.1)
    assert search.released(search.groups[0], given=True) is None
    assert [d["strength"] for d in decided] == [0.2]


def test_what_cannot_be_done_is_given_once_more():
    search, _ = searched(study(baselines=["direct"], penalties={}), ["iris"])
    setting = search.next()
    search.given_up(setting)
    assert search.next() == setting and isinstance(search.next(), Wait)
