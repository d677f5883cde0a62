"""Plans: a study's arms, its trials, and the banks of teachers that are still to train."""

from __future__ import annotations

import pytest
from conftest import all_keys as keys

from smoothray.errors import StudyError
from smoothray.records.schema import new_record
from smoothray.study import Study, parse_study
from smoothray.study.plan import Arm, Job, Key, arms, jobs

SIZES = {"train": 3, "val": 1, "test": 1}


def study(**changes: object) -> Study:
    return parse_study(
        {
            "name": "small",
            "datasets": "offline",
            "trials": 3,
            "penalties": {"jacobian": [0.1, 0.01]},
            "restarts": 1,
            **changes,
        }
    )


def done(found: list[Job]) -> dict[Key, tuple[int, ...]]:
    """What is recorded once these jobs are through."""
    return {key: job.trials for job in found for key in job.fits}


# ---- arms


def test_baselines_come_first():
    assert arms(study(), "iris") == [
        Arm("none"),
        Arm("direct"),
        Arm("jacobian", 0.1),
        Arm("jacobian", 0.01),
    ]


def test_augment_and_ensemble_are_axes_of_all_but_direct():
    found = arms(study(augment=[0, 2], teacher={"ensemble": [1, 3]}), "iris")
    assert [arm for arm in found if arm.penalty == "direct"] == [Arm("direct")]
    assert len([arm for arm in found if arm.penalty == "none"]) == 4
    assert len(found) == 1 + 4 + 8
    assert len(set(found)) == len(found)


def test_a_strength_listed_twice_is_one_arm():
    assert len(arms(study(penalties={"jacobian": [0.1, 0.1]}), "iris")) == 3


def test_baselines_have_as_many_attempts_as_a_penalty_has_strengths():
    found = arms(study(restarts=None), "iris")
    assert found[:4] == [
        Arm("none"), Arm("none", restart=1), Arm("direct"), Arm("direct", restart=1),
    ]  # fmt: skip
    assert [arm.restart for arm in found if arm.penalty == "jacobian"] == [0, 0]
    drawn = {"jacobian": {"loguniform": [0.1, 1], "samples": 3, "searcher": "optuna"}}
    assert len(arms(study(restarts=None, penalties=drawn), "iris")) == 2 * 3
    given = arms(study(restarts={"none": 3, "jacobian": 2}), "iris")
    assert [arm.penalty for arm in given].count("none") == 3 and len(given) == 3 + 1 + 4


def test_regimes_are_an_axis_of_all_but_direct():
    found = arms(study(teacher={"stopping": ["early", "none"]}), "iris")
    assert found[:3] == [Arm("none"), Arm("none", stopping="none"), Arm("direct")]
    assert len(found) == 3 + 4


def test_a_strength_that_is_fixed_is_one_of_the_list():
    assert study(fixed={"jacobian": 0.1}).identity()["fixed"] == {"jacobian": 0.1}
    for wrong in ({"jacobian": 0.2}, {"lipschitz": 0.1}):
        with pytest.raises(StudyError, match="fixed: .* is no arm; name a penalty and a strength"):
            study(fixed=wrong)


def test_restarts_are_of_arms_that_there_are():
    with pytest.raises(StudyError, match="restarts: there is no arm 'lipshitz'"):
        study(restarts={"lipshitz": 2})
    with pytest.raises(StudyError, match="restarts"):
        study(restarts=0)


def test_a_placebo_is_an_arm():
    assert Arm("placebo", 1e-9) in arms(study(placebo=True), "iris")


def test_arms_as_text():
    assert str(Arm("none")) == "none"
    assert str(Arm("none", stopping="none", restart=2)) == "none to the end restart 2"
    assert str(Arm("jacobian", 0.1, 2, 3)) == "jacobian λ=0.1 +2×points 3 networks"


# ---- keys


def test_a_key_for_every_trial():
    wanted = keys(study(students=["operon", "gplearn"]), ["iris", "wine"], 3)
    assert len(wanted) == len(set(wanted)) == 2 * 4 * 2 * 3


def test_a_record_s_key_is_read_back():
    many = study(augment=2, restarts=2, teacher={"stopping": ["early", "none"]})
    for key in keys(many, ["iris"], 2):
        assert Key.of(new_record("small", key, SIZES, "print", [0], "fidelity")) == key


def test_the_texts_of_keys_differ():
    wanted = keys(study(augment=[0, 1], students=["operon", "gplearn"]), ["iris", "wine"], 12)
    assert len({str(key) for key in wanted}) == len(wanted)
    many = study(restarts=3, teacher={"stopping": ["early", "none"]}, placebo=True)
    wanted = keys(many, ["iris"], 2)
    assert len({str(key) for key in wanted}) == len(wanted)
    near = [Key("iris", Arm("jacobian", value), "operon", 0) for value in (0.1, 0.1 + 1e-16, 0.2)]
    assert len({str(key) for key in near}) == len(set(near))


# ---- jobs


def test_one_bank_for_all_trials_students_and_augmentations():
    wanted = keys(study(students=["operon", "gplearn"], augment=[0, 2]), ["iris"], 3)
    found = jobs(wanted, {})
    assert [(job.penalty, job.strength) for job in found] == [
        ("none", None), ("direct", None), ("jacobian", 0.1), ("jacobian", 0.01),
    ]  # fmt: skip
    assert all(job.trials == (0, 1, 2) for job in found)
    assert [len(job.fits) for job in found] == [12, 6, 12, 12]
    assert found[0].bank == (0, 1, 2) and found[1].bank == ()
    assert sorted(map(str, done(found))) == sorted(map(str, wanted))


def test_ensembles_are_banks_of_their_own():
    wanted = keys(
        study(baselines=["none"], penalties={}, teacher={"ensemble": [1, 3]}), ["iris"], 3
    )
    assert sorted(job.ensemble for job in jobs(wanted, {})) == [1, 3]


def test_nothing_is_done_twice():
    wanted = keys(study(), ["iris"], 3)
    assert jobs(wanted, done(jobs(wanted, {}))) == []


def test_what_is_missing_is_trained_in_its_original_bank():
    wanted = keys(study(), ["iris"], 3)
    recorded = done(jobs(wanted, {}))
    lost = Key("iris", Arm("jacobian", 0.1), "operon", 1)
    del recorded[lost]
    (again,) = jobs(wanted, recorded)
    assert again == Job("iris", "jacobian", 0.1, 1, (0, 1, 2), (lost,))


def test_more_trials_are_a_bank_of_their_own():
    recorded = done(jobs(keys(study(), ["iris"], 3), {}))
    more = jobs(keys(study(), ["iris"], 5), recorded)
    assert {job.trials for job in more} == {(3, 4)}
    recorded |= done(more)
    assert jobs(keys(study(), ["iris"], 5), recorded) == []
    # A student that is added later learns from both banks as they were.
    late = jobs(keys(study(student="gplearn", baselines=["none"]), ["iris"], 5), recorded)
    assert [(job.penalty, job.trials) for job in late][:2] == [
        ("none", (0, 1, 2)),
        ("none", (3, 4)),
    ]
    assert {key for job in late for key in job.fits} == set(
        keys(study(student="gplearn", baselines=["none"]), ["iris"], 5)
    )


def test_a_part_that_grows_inside_out():
    """Trials 0 and 1 recorded of a bank of three, then five wanted: the third in its bank, two new."""
    wanted = keys(study(baselines=["none"], penalties={}), ["iris"], 5)
    found = jobs(wanted, dict.fromkeys(wanted[:2], (0, 1, 2)))
    assert [(job.trials, [key.trial for key in job.fits]) for job in found] == [
        ((0, 1, 2), [2]),
        ((3, 4), [3, 4]),
    ]


def test_direct_fits_have_no_bank():
    wanted = keys(study(baselines=["direct"], penalties={}), ["iris"], 3)
    (found,) = jobs(wanted, dict.fromkeys(wanted[:2], ()))
    assert found.fits == (wanted[2],)


def test_what_is_tried_again_is_trained_in_its_original_bank():
    wanted = keys(study(trials=3, penalties={}, baselines=["none"]), ["iris"], 3)
    recorded = dict.fromkeys(wanted, (0, 1, 2))
    assert jobs(wanted, recorded) == []
    (job,) = jobs(wanted, recorded, again={wanted[1]})
    assert job.trials == (0, 1, 2) and job.fits == (wanted[1],)
