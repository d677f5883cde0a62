"""Student actors that die or hang: the fit is tried again or recorded as failed, and the study goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import ray
from conftest import at_work
from ray.exceptions import OutOfMemoryError

from smoothray.commands.run import load_datasets
from smoothray.distillation.trial import TeacherOutputs
from smoothray.errors import StudyError
from smoothray.records.schema import Record
from smoothray.scheduling.teaching import Teachers
from smoothray.search import Search
from smoothray.study import Study, parse_study
from smoothray.study.plan import Arm, Job, Key

SLOW = {"population_size": 300, "generations": 150}


@pytest.fixture(scope="module", autouse=True)
def ray_here() -> Iterator[None]:
    from smoothray.scheduling.session import ray_session

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with ray_session(2):
            yield


def study(**changes: object) -> Study:
    return parse_study(
        {
            "name": "small",
            "datasets": ["sklearn:iris"],
            "trials": 1,
            "baselines": ["direct"],
            "students": {"options": SLOW},
            **changes,
        }
    )


def run(study: Study) -> list[Record]:
    from smoothray.scheduling.runner import run_search

    datasets = load_datasets(study)
    return list(run_search(study, Search(study, datasets, {}), datasets, {}))


class Killer(threading.Thread):
    """Kills the first actors that are seen at a task, by default at a student's fit."""

    def __init__(self, times: int, doing: bytes = b"StudentActor.fit") -> None:
        super().__init__(daemon=True)
        self.times, self.doing, self.killed = times, doing, set[int]()

    def run(self) -> None:
        deadline = time.monotonic() + 120
        while len(self.killed) < self.times and time.monotonic() < deadline:
            for pid in set(at_work(self.doing)) - self.killed:
                os.kill(pid, signal.SIGKILL)
                self.killed.add(pid)
            time.sleep(0.02)


def scores(records: list[Record]) -> list[dict]:
    return [{k: v for k, v in r.items() if not k.endswith("seconds")} for r in records]


def test_a_fit_whose_process_dies_is_tried_again():
    undisturbed = run(study())
    assert undisturbed[0]["status"] == "ok"
    killer = Killer(1)
    killer.start()
    records = run(study())
    killer.join()
    assert len(killer.killed) == 1
    assert scores(records) == scores(undisturbed)


def test_a_fit_that_kills_every_process_has_failed():
    killer = Killer(3)
    killer.start()
    (record,) = run(study())
    killer.join()
    assert record["status"] == "failed"
    assert "the student's process died 3 times" in record["reason"]


@pytest.mark.parametrize("scheduler", ["none", "race"])
def test_a_tune_trial_that_dies_is_done_again_and_costs_no_fit(scheduler):
    quick = {"options": {"population_size": 200, "generations": 60}}
    raced = study(students=quick, trials=8, scheduler=scheduler, penalties={"jacobian": [0.1]},
                  teacher={"steps": 60, "hidden": [8]}, blocks=[5])  # fmt: skip
    killer = Killer(1, b"ArmTrial")
    killer.start()
    records = run(raced)
    killer.join()
    assert len(killer.killed) == 1
    assert sorted((r["penalty"], r["trial"]) for r in records) == [
        (penalty, trial) for penalty in ("direct", "jacobian") for trial in range(8)
    ]


def test_a_fit_past_its_time_limit_has_failed_and_its_neighbours_have_not():
    endless = {"name": "operon", "timeout": 2, "options": {**SLOW, "generations": 1_000_000}}
    quick = {"name": "gplearn", "options": {"population_size": 50, "generations": 2}}
    records = {r["student"]: r for r in run(study(students=[endless, quick]))}
    assert records["operon"]["status"] == "failed"
    assert records["operon"]["reason"] == "the fit passed its time limit of 2 s"
    assert records["gplearn"]["status"] == "ok"


def test_an_actor_that_the_memory_monitor_ended_is_replaced(monkeypatch):
    """Ray reports it as an error that is no RayActorError; the actor must not be used again."""
    from smoothray.scheduling import pool

    get, raised = pool.ray.get, []

    def get_once_out_of_memory(reference):
        value = get(reference)
        if isinstance(value, tuple) and not raised:
            raised.append(value)
            raise OutOfMemoryError("the memory monitor ended it")
        return value

    monkeypatch.setattr(pool.ray, "get", get_once_out_of_memory)
    quick = {"options": {"population_size": 50, "generations": 2}}
    records = run(study(students=quick, trials=3))
    assert len(raised) == 1
    assert [r["status"] for r in records] == ["ok"] * 3
    assert sorted(r["trial"] for r in records) == [0, 1, 2]


def test_a_bank_that_cannot_train_fails_its_trials_alone():
    """The reason is recorded, and the direct fit goes on."""
    quick = {"options": {"population_size": 50, "generations": 2}}
    sound = study(baselines=["none", "direct"], students=quick, trials=2)
    teacher = sound.teacher.model_copy(update={"activation": "unheard of"})
    records = run(sound.model_copy(update={"teacher": teacher}))
    assert [r["status"] for r in records if r["penalty"] == "direct"] == ["ok"] * 2
    without = [r for r in records if r["penalty"] == "none"]
    assert [r["status"] for r in without] == ["failed"] * 2
    assert all("the teachers could not be trained" in r["reason"] for r in without)


def test_a_gpu_that_is_not_there_is_refused_before_any_work():
    if ray.cluster_resources().get("GPU"):
        pytest.skip("there is a GPU here")
    with pytest.raises(StudyError, match="Ray sees no GPU here"):
        run(study(teacher={"device": "cuda"}))


@pytest.fixture
def teachers() -> Iterator[Teachers]:
    found = Teachers(study(baselines=["none"]))
    yield found
    found.close()


def bank() -> tuple[object, Job]:
    """A reference to a data set, and a bank of one plain teacher on it."""
    (dataset,) = load_datasets(study()).values()
    key = Key("iris", Arm("none", None, 0), "operon", 0)
    return ray.put(dataset), Job("iris", "none", None, 1, (0,), (key,))


def test_a_teacher_that_broke_is_not_used_again(teachers):
    dataset, job = bank()
    (reason,) = teachers.collect(teachers.teach(ray.put("no data set"), job, use_gpu=False), 1)
    assert reason.startswith("the teachers could not be trained: ")
    assert not teachers.idle
    (outputs,) = teachers.collect(teachers.teach(dataset, job, use_gpu=False), 1)
    assert isinstance(outputs, TeacherOutputs) and outputs.gradients is None
    assert len(teachers.idle) == 1


def test_actors_that_hold_a_gpu_are_given_up_with_it(teachers):
    dataset, job = bank()
    # There is no GPU here, as when the last node with one was lost: the actor waits for ever.
    reference = teachers.teach(dataset, job, use_gpu=True)
    teachers.prepare(use_gpu=True)
    assert teachers.give_up_gpus() == [reference]
    assert not teachers.working and not teachers.idle
    (outputs,) = teachers.collect(teachers.teach(dataset, job, use_gpu=False), 1)
    assert isinstance(outputs, TeacherOutputs)
