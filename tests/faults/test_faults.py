"""A study on a cluster of three nodes while things break at random moments: nothing is lost, nothing is
twice.

`SMOOTHRAY_FAULTS` is the least number of faults; `make faults` asks for 30. Each kind of fault has a test
of its own besides, in test_run, test_scheduling, test_elastic and test_records.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import COMMAND, at_work, clean_environment

LEAST = int(os.environ.get("SMOOTHRAY_FAULTS", "0"))
STUDY = """
name: faults
datasets: [sklearn:iris, sklearn:diabetes, sklearn:friedman3]
trials: 4
penalties: {jacobian: [0.01, 0.1], lipschitz: [0.1]}
restarts: 1
teacher: {steps: 300, hidden: [16]}
student: {timeout: 25, options: {population_size: 200, generations: 40}}
"""
FITS = 3 * 5 * 4
KEY = ["dataset", "penalty", "strength", "trial"]
SAME = [*KEY, "status", "formula", "student_r2_test", "fidelity_test", "teacher_r2_test"]
ROUND_SECONDS = 900
AWAY = "MLflow away for 20 s"


class Nodes:
    """A head and two workers, a core each, as processes of their own on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        self.workers = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.address = self.cluster.address

    def lose_one(self) -> None:
        """Kill a worker node with all that runs on it, and start another some seconds later."""
        node = self.workers.pop(random.randrange(len(self.workers)))
        self.cluster.remove_node(node, allow_graceful=False)
        time.sleep(3)
        self.workers.append(self.cluster.add_node(num_cpus=1))

    def close(self) -> None:
        self.cluster.shutdown()


class Server:
    """An MLflow server that can go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
             "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
             "--artifacts-destination", str(self.folder / "artifacts"), "--workers", "1"],
            cwd=self.folder, env=clean_environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.uri}/health") as answer,
            ):
                if answer.status == 200:
                    return
            time.sleep(0.5)
        raise TimeoutError("the MLflow server did not start")

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def away(self) -> None:
        self.stop()
        time.sleep(20)
        self.start()


class Driver:
    """`smoothray run` in a folder, started again whenever it was killed."""

    def __init__(self, folder: Path, environment: dict[str, str], *options: str) -> None:
        self.folder, self.environment, self.options = folder, environment, options
        self.start()

    def start(self) -> None:
        with open(self.folder / "stderr.txt", "a") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, "run", "faults.yaml", *self.options], cwd=self.folder, env=self.environment,
                stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()

    @property
    def running(self) -> bool:
        return self.process.poll() is None


class Faults:
    """What can happen, each at most once at a time."""

    def __init__(self, nodes: Nodes, server: Server) -> None:
        self.nodes, self.server = nodes, server
        self.counts: Counter[str] = Counter()

    def one(self, driver: Driver) -> None:
        kinds: dict[str, tuple[int, Callable[[Driver], bool]]] = {
            "a student's process killed": (6, self._student),
            "a student that sleeps": (3, self._sleeper),
            "a node lost": (3, self._node),
            "the driver killed": (3, self._driver),
            AWAY: (1, self._server),
        }
        names = list(kinds)
        (name,) = random.choices(names, weights=[kinds[n][0] for n in names])
        if kinds[name][1](driver):
            self.counts[name] += 1

    def _student(self, driver: Driver) -> bool:
        pids = at_work()
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(pids), signal.SIGKILL)
        return bool(pids)

    def _sleeper(self, driver: Driver) -> bool:
        pids = at_work()
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(pids), signal.SIGSTOP)
        return bool(pids)

    def _node(self, driver: Driver) -> bool:
        self.nodes.lose_one()
        return True

    def _driver(self, driver: Driver) -> bool:
        driver.kill()
        return True

    def _server(self, driver: Driver) -> bool:
        self.server.away()
        return True


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        # So that a lost node is noticed in seconds.
        patch.setenv("RAY_health_check_failure_threshold", "3")
        patch.setenv("RAY_health_check_period_ms", "1000")
        found = Nodes()
        yield found
        found.close()


def table(folder: Path, environment: dict[str, str]) -> pd.DataFrame:
    done = subprocess.run(
        [*COMMAND, "export", "faults", "table.parquet"], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(folder / "table.parquet")
    return frame.sort_values(KEY).reset_index(drop=True)


def finish(folder: Path, environment: dict[str, str], *options: str) -> None:
    done = subprocess.run(
        [*COMMAND, "run", "faults.yaml", *options], cwd=folder, env=environment, capture_output=True,
        text=True, timeout=ROUND_SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(not LEAST, reason="takes half an hour: make faults")
@pytest.mark.timeout(7200)
def test_nothing_is_lost_and_nothing_is_twice(nodes: Nodes, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    seed = int(os.environ.get("SMOOTHRAY_FAULTS_SEED", time.time()))
    random.seed(seed)
    print(f"seed {seed}")
    calm = tmp_path / "calm"
    calm.mkdir()
    (calm / "faults.yaml").write_text(STUDY)
    on_cluster = clean_environment() | {"RAY_ADDRESS": nodes.address}
    finish(calm, on_cluster)
    expected = table(calm, on_cluster)
    assert len(expected) == FITS and (expected["status"] == "ok").all()

    total: Counter[str] = Counter()
    rounds = 0
    while total.total() < LEAST:
        rounds += 1
        folder = tmp_path / f"round{rounds}"
        folder.mkdir()
        shutil.copy(calm / "faults.yaml", folder)
        server = Server(folder)
        try:
            environment = on_cluster | {"MLFLOW_TRACKING_URI": server.uri}
            driver = Driver(folder, environment)
            faults = Faults(nodes, server)
            deadline = time.monotonic() + ROUND_SECONDS
            while driver.running and time.monotonic() < deadline:
                time.sleep(random.uniform(1, 8))
                if driver.running and (total + faults.counts).total() < LEAST:
                    faults.one(driver)
            assert not driver.running, "the round did not come to its end"
            assert driver.process.returncode == 0, (folder / "stderr.txt").read_text()[-3000:]
            total += faults.counts
            # A fit that slept past its limit is a failed one, with its reason; it is tried once more.
            recorded = table(folder, environment)
            lost = recorded[recorded["status"] != "ok"]
            assert len(recorded) == FITS and not recorded.duplicated(KEY).any()
            assert all("time limit" in reason or "died" in reason for reason in lost["reason"])
            if (
                len(lost) or faults.counts[AWAY]
            ):  # what came meanwhile is delivered by the next start
                finish(folder, environment, "--retry-failed")
            found = table(folder, environment)
            pd.testing.assert_frame_equal(found[SAME], expected[SAME])
            client = MlflowClient(server.uri)
            experiment = client.get_experiment_by_name("faults").experiment_id
            runs = client.search_runs(
                [experiment], "tags.`smoothray.kind` = 'trial'", max_results=5000
            )
            keys = Counter(run.data.tags["smoothray.key"] for run in runs)
            assert len(keys) == FITS and set(keys.values()) == {1}
            print(f"round {rounds}: {dict(faults.counts)}; {len(lost)} fits tried once more")
        finally:
            server.stop()
    print(f"{total.total()} faults in {rounds} rounds of {FITS} fits: {dict(total)}")
    print("no record missing, none twice, all equal to the undisturbed run's")
