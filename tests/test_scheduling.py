"""Trials of Tune and students that die or hang: they are tried again or recorded, and the study goes on."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
from conftest import at_work
from ray.exceptions import OutOfMemoryError

from smoothray.commands.run import load_datasets
from smoothray.errors import StudyError
from smoothray.records.journal import Journal
from smoothray.records.schema import Record, new_record
from smoothray.scheduling import pool as pools
from smoothray.scheduling.pool import Fit, StudentPool
from smoothray.scheduling.run import StudyRun, sizes
from smoothray.scheduling.students import environment_of, start_student
from smoothray.search import Board, Search
from smoothray.study import Study, parse_study
from smoothray.study.plan import Arm, Key

pytestmark = pytest.mark.ray

SLOW = {"population_size": 300, "generations": 150}
QUICK = {"options": {"population_size": 50, "generations": 2}}
SMALL = {"steps": 60, "hidden": [8]}


@pytest.fixture(scope="module", autouse=True)
def ray_here(tmp_path_factory, empty_database: Path) -> Iterator[None]:
    from smoothray.scheduling.session import ray_session

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.chdir(tmp_path_factory.mktemp("scheduling"))
        shutil.copy(empty_database, "mlflow.db")
        patch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
        with ray_session(2):
            yield


def study(name: str, **changes: object) -> Study:
    return parse_study(
        {
            "name": name,
            "datasets": ["sklearn:iris"],
            "trials": 1,
            "baselines": ["direct"],
            "restarts": 1,
            "students": {"options": SLOW},
            **changes,
        }
    )


class Done:
    """A study that was run: its records, and what Tune and the journal say of it."""

    def __init__(self, study: Study) -> None:
        datasets = load_datasets(study)
        search = Search(study, datasets, Board(study))
        run = StudyRun(study, search, datasets, study.identity(), (), Path("tune") / study.name)
        try:
            told = list(run.scores())
            self.records = list(run.rows(search.known_keys()).values())
            lacking = run.finish(60)
            assert lacking is not None
            self.lacking = lacking.records
        finally:
            run.close()
            ray.kill(run.pool)
            ray.kill(run.recorder)
        assert sorted(map(str, (score.key for score in told))) == sorted(
            str(Key.of(record)) for record in self.records
        )
        assert run.results is not None
        self.search, self.tune = search, run.results
        self.decisions = [
            entry["decision"]
            for entry in Journal(study.name).entries()
            if entry["kind"] == "decision"
        ]


def run(study: Study) -> list[Record]:
    return Done(study).records


class Killer(threading.Thread):
    """Kills the first new actors that are seen at a task, by default at a student's fit."""

    def __init__(self, times: int, doing: bytes = b"StudentActor.fit") -> None:
        super().__init__(daemon=True)
        self.times, self.doing, self.killed = times, doing, set[int]()
        self.before = set(at_work(doing))  # of an earlier test

    def run(self) -> None:
        deadline = time.monotonic() + 120
        while len(self.killed) < self.times and time.monotonic() < deadline:
            for pid in set(at_work(self.doing)) - self.killed - self.before:
                os.kill(pid, signal.SIGKILL)
                self.killed.add(pid)
            time.sleep(0.02)


def scores(records: list[Record]) -> list[dict]:
    kept = [name for name in records[0] if not name.endswith("seconds") and name != "study"]
    return [{name: record[name] for name in kept} for record in records]


def test_a_fit_whose_process_dies_is_tried_again():
    undisturbed = run(study("undisturbed"))
    assert undisturbed[0]["status"] == "ok"
    killer = Killer(1)
    killer.start()
    records = run(study("disturbed"))
    killer.join()
    assert len(killer.killed) == 1
    assert scores(records) == scores(undisturbed)


def test_tune_shows_the_teachers_with_their_scores_though_a_trial_died():
    killer = Killer(1, b"TeacherTrial")
    killer.start()
    done = Done(
        study("shown", students=QUICK, trials=2, baselines=["none"], augment=[0, 2],
              penalties={"jacobian": [0.1, 0.2]}, teacher=SMALL)
    )  # fmt: skip
    killer.join()
    assert killer.killed
    table = done.tune.get_dataframe()
    assert len(table) == 3 and set(table["trials"]) == {2} and not table["failed"].any()
    assert set(table["config/penalty"]) == {"none", "jacobian"}
    assert (table["teacher_r2_val"] > 0).all() and table["score"].notna().all()
    assert len(done.records) == 3 * 2 * 2 and {r["status"] for r in done.records} == {"ok"}
    assert (Path("tune") / "shown").is_dir()


@pytest.mark.parametrize("scheduler", ["race", pytest.param("asha", marks=pytest.mark.slow)])
def test_arms_that_are_no_better_stop_early_though_a_trial_died_and_one_has_all(scheduler):
    grid = [0.0001, 0.001, 0.01, 30.0, 100.0, 300.0]
    killer = Killer(1, b"TeacherTrial")
    killer.start()
    done = Done(
        study(f"early-{scheduler}", students=QUICK, trials=12, baselines=["none"], blocks=[3],
              scheduler=scheduler, penalties={"weight_decay": grid}, teacher=SMALL)
    )  # fmt: skip
    killer.join()
    assert killer.killed and {r["status"] for r in done.records} == {"ok"}
    assert len({Key.of(r) for r in done.records}) == len(done.records)
    trials = {s: sum(r["strength"] == s for r in done.records) for s in grid}
    stopped = {d["strength"] for d in done.decisions if d["what"] == "stopped"}
    assert max(trials.values()) == 12 and len(done.records) < 12 * 7
    assert stopped == {s for s, count in trials.items() if count < 12}
    assert sum(r["penalty"] == "none" for r in done.records) == 12
    # A restart keeps to it.
    again = Search(done.search.study, ["iris"], done.search.board, done.decisions)
    assert again.next() is None


def test_a_fit_past_its_time_limit_has_failed_and_its_neighbours_have_not():
    endless = {"name": "operon", "timeout": 2, "options": {**SLOW, "generations": 1_000_000}}
    records = {
        r["student"]: r
        for r in run(study("endless", students=[endless, {"name": "gplearn", **QUICK}]))
    }
    assert records["operon"]["status"] == "failed"
    assert records["operon"]["reason"] == "the fit passed its time limit of 2 s"
    assert records["gplearn"]["status"] == "ok"


def test_a_new_student_starts_while_the_others_go_on(dataset):
    """Of two students one is ended at a fit's time limit: a new one is begun, and the other does the rest."""
    started = []

    def start(*arguments: Any) -> Any:
        started.append(arguments)
        return start_student(*arguments)

    async def play() -> None:
        async with start_pool(size=2, start=start) as pool:
            await until(lambda: pool._ready == 2)
            await pool.expect(9)
            slow = fit_of(0, dataset, timeout=0.01)
            rest = [asyncio.create_task(pool.fit(fit_of(i, dataset))) for i in range(1, 9)]
            record = await pool.fit(slow)
            assert record["reason"] == "the fit passed its time limit of 0.01 s"
            assert {(await task)["status"] for task in rest} == {"ok"}
            assert len(started) == 3 and pool._expected == 0

    asyncio.run(play())


def test_a_bank_that_cannot_train_fails_its_trials_alone():
    """The reason is recorded, and the direct fit goes on."""
    sound = study("sound", baselines=["none", "direct"], students=QUICK, trials=2)
    teacher = sound.teacher.model_copy(update={"activation": "unheard of"})
    records = run(sound.model_copy(update={"teacher": teacher}))
    assert [r["status"] for r in records if r["penalty"] == "direct"] == ["ok"] * 2
    without = [r for r in records if r["penalty"] == "none"]
    assert [r["status"] for r in without] == ["failed"] * 2
    assert all("the teachers could not be trained" in r["reason"] for r in without)


def test_what_a_gpu_failed_with_again_and_again_is_recorded(monkeypatch):
    monkeypatch.setattr("smoothray.scheduling.run.MAX_FAILURES", 1)
    monkeypatch.setattr("smoothray.scheduling.searcher.GIVE_AGAIN", 0)
    sound = study("spoilt", baselines=["none"], students=QUICK, trials=2)
    teacher = sound.teacher.model_copy(update={"activation": "CUDA out of memory"})
    records = run(sound.model_copy(update={"teacher": teacher}))
    assert [r["status"] for r in records] == ["failed"] * 2
    assert all(
        re.search(r"could not be trained: \w+: .*CUDA out of memory", r["reason"]) for r in records
    )


def test_a_gpu_that_is_not_there_is_refused_before_any_work():
    if ray.cluster_resources().get("GPU"):
        pytest.skip("there is a GPU here")
    with pytest.raises(StudyError, match="Ray sees no GPU here"):
        run(study("gpu", teacher={"device": "cuda"}))


# --- the pool, in this process


def fit_of(trial: int, dataset: Any, timeout: float = 60) -> Fit:
    (table,) = load_datasets(study("pool")).values()
    key = Key("iris", Arm("direct"), "operon", trial)
    blank = new_record("pool", key, sizes(table, 0), table.fingerprint, (), "fidelity")
    return Fit(key, dataset, None, blank, timeout)


@pytest.fixture
def dataset() -> Any:
    (table,) = load_datasets(study("pool")).values()
    return ray.put(table)


async def until(condition: Any) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def start_pool(
    students: Any = None, size: int = 1, **more: Any
) -> AsyncIterator[StudentPool]:
    students = students or study("pool", students=QUICK).students
    pool = StudentPool(students, 0, False, environment_of(students), **more)
    await pool.expect(size)
    try:
        yield pool
    finally:
        await pool.close()  # or its students keep their cores for a while


def test_idle_students_that_died_cost_no_fit_a_try(dataset):
    async def play() -> None:
        async with start_pool(size=2) as pool:
            await until(lambda: pool._ready == 2)
            for pid in at_work(b"ray::StudentActor"):
                os.kill(pid, signal.SIGKILL)
            fits = [fit_of(trial, dataset) for trial in range(4)]
            records = await asyncio.gather(*map(pool.fit, fits))
            assert [record["status"] for record in records] == ["ok"] * 4
            assert not any(fit.deaths for fit in fits)

    asyncio.run(play())


def test_a_fit_that_kills_every_process_has_failed(dataset):
    async def play() -> None:
        async with start_pool(study("deadly").students) as pool:
            killer = Killer(3)
            killer.start()
            record = await pool.fit(fit_of(0, dataset))
            killer.join()
            assert record["status"] == "failed"
            assert "the student's process died 3 times" in record["reason"]

    asyncio.run(play())


def test_deaths_on_nodes_that_were_lost_are_no_sign_of_the_fit(dataset):
    async def play() -> None:
        async with start_pool() as pool:
            fit = fit_of(0, dataset)
            fit.deaths = ["a lost node"] * 5
            pool._answers[fit.key] = asyncio.get_running_loop().create_future()
            await pool._died(fit, "another")
            record = await pool._answers[fit.key]
            assert record["status"] == "ok"

    asyncio.run(play())


def test_a_fit_that_is_asked_for_twice_is_done_once(dataset):
    async def play() -> None:
        async with start_pool() as pool:
            records = await asyncio.gather(*(pool.fit(fit_of(0, dataset)) for _ in range(2)))
            assert records[0] is records[1]

    asyncio.run(play())


def test_outputs_that_were_lost_are_said_and_cost_no_student(dataset):
    @ray.remote
    class Owner:
        def put(self) -> Any:
            return [ray.put("what a teacher says")]

    async def play() -> None:
        owner = Owner.remote()
        (reference,) = await owner.put.remote()
        ray.kill(owner)
        await asyncio.sleep(1)
        async with start_pool() as pool:
            fit = fit_of(0, dataset)
            fit.outputs = reference
            with pytest.raises(pools.LostOutputs):
                await pool.fit(fit)
            assert not fit.deaths
            record = await pool.fit(fit_of(0, dataset))
            assert record["status"] == "ok"

    asyncio.run(play())


def test_a_student_that_the_memory_monitor_ended_is_replaced(dataset):
    """Ray reports it as an error that is no RayActorError; the student must not be used again."""
    raised = []
    of = pools._of

    async def once_out_of_memory(reference: Any) -> Any:
        value = await of(reference)
        if isinstance(value, tuple) and isinstance(value[0], dict) and not raised:
            raised.append(value)
            raise OutOfMemoryError("the memory monitor ended it")
        return value

    async def play() -> None:
        async with start_pool() as pool:
            fits = [fit_of(trial, dataset) for trial in range(3)]
            records = await asyncio.gather(*map(pool.fit, fits))
            assert [record["status"] for record in records] == ["ok"] * 3
            assert sum(len(fit.deaths) for fit in fits) == 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pools, "_of", once_out_of_memory)
        asyncio.run(play())
    assert len(raised) == 1
