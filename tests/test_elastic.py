"""Clusters of several nodes on this machine: they grow while a study runs, lose nodes, and have GPUs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import RayError

from smoothray.commands.run import load_datasets
from smoothray.scheduling.run import StudyRun
from smoothray.scheduling.session import ray_session
from smoothray.search import Board, Search
from smoothray.study import Study, parse_study

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ONE = ["sklearn:friedman3"]
WAITING = """
import time

from sympy import Integer

from smoothray import RawFormula, Student


class Waiting(Student):
    name, source, packages = "waiting", "these tests", ()
    budgets = {"quick": {"seconds": 20}, "standard": {"seconds": 20}, "thorough": {"seconds": 20}}
    operators, vocabulary = ("add",), {"add": "+"}

    def _search(self, X, y, seed):
        time.sleep(self.settings["seconds"])
        yield RawFormula(lambda: Integer(0), 0 * y)
"""
"""A student that holds its core and does nothing, since these machines' cores are all on one machine."""


@pytest.fixture
def cluster(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head of two cores, which this process is connected to."""
    # So that a lost node is noticed in seconds.
    monkeypatch.setenv("RAY_health_check_failure_threshold", "3")
    monkeypatch.setenv("RAY_health_check_period_ms", "1000")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    monkeypatch.setenv("RAY_ADDRESS", made.address)
    (place / "waiting.py").write_text(WAITING)
    monkeypatch.syspath_prepend(place)
    with ray_session(modules=[str(place / "waiting.py")]):
        yield made
    made.shutdown()


def study(**changes: object) -> Study:
    return parse_study(
        {
            "name": "elastic",
            "datasets": ["sklearn:iris", "sklearn:friedman3"],
            "trials": 10,
            "baselines": ["none"],
            "restarts": 1,
            "teacher": {"steps": 60, "hidden": [8]},
            **changes,
        }
    )


class Watched:
    """A study that runs in a thread of its own, and what was seen of it meanwhile."""

    def __init__(self, study: Study) -> None:
        datasets = load_datasets(study)
        self.search = Search(study, datasets, Board(study))
        self.run = StudyRun(study, self.search, datasets, study.identity(), (), Path("tune") / "t")
        self.scores: list[Any] = []
        self.thread = threading.Thread(target=self._collect, daemon=True)
        self.thread.start()

    def _collect(self) -> None:
        with contextlib.suppress(RayError):  # when the test ends the study
            for score in self.run.scores():
                self.scores.append(score)

    def until(self, condition: Any, seconds: float = 200) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.thread.is_alive(), "the study ended before"
            assert time.monotonic() < deadline, ray.get(self.run.pool.state.remote())
            time.sleep(0.1)

    def busy(self) -> int:
        return int(ray.get(self.run.pool.state.remote())["busy"])

    def end(self) -> None:
        """End the study, so that nothing of it reaches into the next Ray session."""
        self.run.close()
        self.thread.join(60)
        self.run.__exit__()
        assert not self.thread.is_alive()

    def records(self) -> list[dict[str, Any]]:
        """The records, when the study has come to its end."""
        self.thread.join(400)
        assert not self.thread.is_alive()
        records = list(self.run.rows(self.search.known_keys()).values())
        self.run.finish(60)
        self.end()
        return records


def test_nodes_that_join_while_a_study_runs_get_work_and_nodes_that_leave_cost_nothing(cluster):
    """From a head of two cores, with a trial of four fits at a time: all cores of all nodes are busy."""
    grid = {"jacobian": [0.1, 0.2], "lipschitz": [0.1]}
    watched = Watched(study(students="waiting:Waiting", trials=4, penalties=grid))
    watched.until(lambda: watched.busy() == 2)
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    watched.until(lambda: watched.busy() == 6)
    for node in nodes:
        cluster.remove_node(node, allow_graceful=False)
    time.sleep(
        8
    )  # until Ray has noticed: their students are missed, and replaced where there are cores
    watched.until(lambda: watched.busy() == 2)
    assert ray.get(watched.run.pool.state.remote())["problem"] is None
    watched.end()  # what is under way is given up
    assert not [score for score in watched.scores if score.value is None]


def trials_by_node() -> dict[str, int]:
    """How many of Tune's trials have a process on each node."""
    from ray._private.state import state

    ours = ("StudentPool", "StudentActor", "RecorderActor")
    counts: dict[str, int] = {}
    for actor in state.actor_table(None).values():
        if actor["ActorClassName"] not in ours and actor["State"] == "ALIVE":
            node = actor["Address"]["NodeID"]
            counts[node] = counts.get(node, 0) + 1
    return counts


def test_teachers_share_a_gpu_where_it_is_and_go_on_without_it_when_it_is_lost(cluster):
    """Ray is told of a GPU that is not there: teachers train on processors, but where it would be."""
    gpu_node = cluster.add_node(num_cpus=1, num_gpus=1)
    name = gpu_node.node_id
    quick = {"options": {"population_size": 100, "generations": 20}}
    grid = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2]
    watched = Watched(
        study(datasets=ONE, students=quick, trials=2, baselines=["none", "direct"],
              penalties={"jacobian": grid}, teacher={"steps": 300, "hidden": [8], "gpu_share": 0.5})
    )  # fmt: skip
    seen: list[dict[str, int]] = []
    used: list[float] = []

    def watch() -> bool:
        seen.append(trials_by_node())
        used.append(1 - ray.available_resources().get("GPU", 0.0))
        # Two of them may be direct ones': a third teacher has begun, so one has ended on the GPU.
        return len(watched.scores) >= 7

    watched.until(watch)
    cluster.remove_node(gpu_node, allow_graceful=False)
    records = watched.records()
    assert len(records) == 8 * 2 and {r["status"] for r in records} == {"ok"}
    assert max(count.get(name, 0) for count in seen) == 2
    assert 0 < max(used) <= 1
    results = watched.run.results.get_dataframe()
    shares = results.groupby("config/penalty")["config/gpu"].unique()
    assert list(shares["direct"]) == [0.0]
    assert set(shares["none"]) | set(shares["jacobian"]) == {0.5, 0.0}
