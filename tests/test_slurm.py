"""cluster/slurm.sbatch under Slurm: a controller and nodes on machines made of namespaces."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from machines import Machines, missing

pytestmark = [pytest.mark.cluster, pytest.mark.ray, pytest.mark.slow]

STUDY = """
name: small
datasets: [sklearn:iris, sklearn:diabetes, sklearn:friedman3]
trials: 5
penalties: {jacobian: [0.1]}
teacher: {steps: 60, hidden: [8]}
student: {options: {population_size: 50, generations: 5}}
"""
FITS = 3 * 3 * 5
KEY = ["dataset", "penalty", "strength", "trial"]
RUN = ("cluster/slurm.sbatch", "run", "small.yaml")

CONFIGURATION = """
ClusterName=namespaces
SlurmctldHost=launcher(10.77.0.1)
SlurmUser=root
SlurmdUser=root
StateSaveLocation=FOLDER/state
SlurmdSpoolDir=/run/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
AuthType=auth/munge
AuthInfo=cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SlurmdTimeout=10
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=2
NodeName=node[2-3] NodeAddr=10.77.0.[2-3] CPUs=2 RealMemory=8192
PartitionName=all Nodes=ALL Default=YES State=UP
"""


class Slurm(Machines):
    """A controller on the launcher and a slurmd on each node, with what Debian's packages bring."""

    launcher = """
mount -t tmpfs none /run
mount --bind "$1/etc" /etc/slurm
mkdir /run/munge
munged --key-file="$1/munge.key" --log-file=/run/munge/log --seed-file=/run/munge/seed --force
slurmctld -D -L "$1/slurmctld.log" &
"""
    service = """
mkdir /run/munge
munged --key-file="$1/munge.key" --log-file=/run/munge/log --seed-file=/run/munge/seed --force
slurmd -D -N node$2 -L "$1/node$2/slurmd.log" &
wait
"""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, nodes=(2, 3))
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        for name in ("etc", "state"):
            (folder / name).mkdir()
        (folder / "etc" / "slurm.conf").write_text(CONFIGURATION.replace("FOLDER", str(folder)))
        (self.project / ".venv").symlink_to(sys.prefix)
        (self.project / "small.yaml").write_text(STUDY)
        self.start()

    def answer(self) -> bool:
        """Whether all nodes are there within a minute."""
        return waited(lambda: self.state().split() == ["idle", "idle"], 60)

    def state(self) -> str:
        return self.run("sinfo", "--noheader", "--Node", "--format=%t").stdout

    def sbatch(self, *arguments: str) -> str:
        """The number of a job of the shipped script on both nodes, started with a bare environment."""
        nodes = ("--nodes=2", "--cpus-per-task=2", "--mem-per-cpu=1G", "--export=NONE")
        ended = self.run("sbatch", "--parsable", *nodes, *arguments)
        assert re.fullmatch(r"\d+\n", ended.stdout), ended.stdout
        return ended.stdout.strip()

    def job(self, job: str) -> dict[str, str]:
        words = self.run("scontrol", "show", "job", job).stdout.split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, job: str, *states: str) -> dict[str, str]:
        """The job once it has come to one of these states."""
        assert waited(lambda: self.job(job)["JobState"] in states, 600), self.output(job)
        return self.job(job)

    def end(self, job: str) -> None:
        """What Slurm does some time before a job's time is over."""
        ended = self.run("scancel", "--signal=TERM", "--batch", job)
        assert ended.returncode == 0, ended.stdout

    def output(self, job: str) -> str:
        file = self.project / f"slurm-{job}.out"
        return file.read_text() if file.exists() else ""

    def recorded(self) -> list[tuple[object, ...]]:
        """Each fit in the journal, in the order in which they were written."""
        try:
            with gzip.open(self.project / "records" / "journal" / "small.jsonl.gz") as file:
                lines = [json.loads(line) for line in file]
        except (FileNotFoundError, EOFError):  # a line is being written
            return []
        rows = [line["record"] for line in lines if line["kind"] == "record"]
        return [tuple(row[name] for name in KEY) for row in rows]

    def wait_for_fits(self, number: int, job: str) -> None:
        assert waited(lambda: len(self.recorded()) >= number, 600, every=0.1), self.output(job)


def waited(happened: Callable[[], bool], seconds: float, every: float = 0.5) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[Slurm]:
    reason = missing(
        ["munged", "sbatch", "scancel", "scontrol", "sinfo", "slurmctld", "slurmd", "srun"],
        "munge slurm-wlm",
    )
    if reason:
        pytest.skip(reason)
    slurm = Slurm(tmp_path)
    try:
        assert slurm.answer(), slurm.log
        yield slurm
    finally:
        slurm.close()


@pytest.mark.timeout(1800)
def test_a_study_that_takes_several_jobs(slurm):
    """One is asked to end, one cancelled, one goes back to the queue: nothing is lost, nothing is twice."""
    first = slurm.sbatch(*RUN)
    slurm.wait_for_fits(20, first)
    slurm.end(first)
    ended = slurm.wait_for(first, "FAILED", "COMPLETED")
    assert (ended["ExitCode"], ended["Restarts"]) == ("130:0", "0"), slurm.output(first)
    kept = slurm.recorded()
    assert 20 <= len(kept) < FITS
    assert f"to do: {FITS} fits" in slurm.output(first)
    assert f"Stopped: {len(kept)} of {FITS} fits are recorded." in slurm.output(first)

    second = slurm.sbatch("--requeue", *RUN)
    slurm.wait_for_fits(len(kept) + 5, second)
    assert slurm.run("scancel", second).returncode == 0
    ended = slurm.wait_for(second, "CANCELLED", "FAILED", "COMPLETED")
    assert slurm.answer()
    assert f"{len(kept)} recorded already" in slurm.output(second)
    assert slurm.job(second)["JobState"] == "CANCELLED" and ended["Restarts"] == "0"
    before, kept = kept, slurm.recorded()
    assert len(before) + 5 <= len(kept) < FITS and kept[: len(before)] == before

    third = slurm.sbatch("--requeue", *RUN)
    slurm.wait_for_fits(len(kept) + 5, third)
    slurm.end(third)
    assert waited(lambda: slurm.job(third)["Restarts"] == "1", 120), slurm.output(third)
    before, kept = kept, slurm.recorded()
    ended = slurm.wait_for(third, "FAILED", "COMPLETED")
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), slurm.output(third)
    assert f"{len(before)} recorded already" in slurm.output(
        third
    )  # its output goes on in one file
    assert f"{len(kept)} recorded already" in slurm.output(third)
    assert len(kept) < FITS

    done = slurm.recorded()
    assert len(done) == len(set(done)) == FITS and done[: len(kept)] == kept
    environment = ("env", f"SMOOTHRAY_HOME={slurm.project}")
    environment += (f"SMOOTHRAY_RECORDS={slurm.project / 'records'}",)
    ended = slurm.run(*environment, "python", "cluster/submit.py", "export", "small", "all.parquet")
    assert ended.returncode == 0, ended.stdout
    table = pd.read_parquet(slurm.project / "all.parquet")
    assert (
        len(table) == FITS and not table.duplicated(KEY).any() and (table["status"] == "ok").all()
    )
    for node in slurm.nodes:
        assert not list((slurm.folder / f"node{node}" / "tmp").glob(f"ray-{third}-*"))


@pytest.mark.timeout(900)
def test_jobs_of_an_array_go_on_one_after_the_other(slurm):
    array = slurm.sbatch("--array=1-3%1", *RUN)
    first, second, third = (f"{array}_{place}" for place in (1, 2, 3))
    slurm.wait_for_fits(10, first)
    # A job of an array is asked again after five seconds, which ends a study that is still stopping at once.
    slurm.run("scancel", "--signal=TERM", "--batch", first)
    for job in (second, third):
        assert slurm.wait_for(job, "FAILED", "COMPLETED")["JobState"] == "COMPLETED"
    (kept,) = re.findall(r"(\d+) recorded already", slurm.output(second))
    assert 10 <= int(kept) < FITS
    assert f"all {FITS} fits are recorded already" in slurm.output(third)
    done = slurm.recorded()
    assert len(done) == len(set(done)) == FITS


@pytest.mark.timeout(900)
def test_a_job_goes_on_without_a_lost_node(slurm):
    job = slurm.sbatch(*RUN)
    slurm.wait_for_fits(5, job)
    slurm.lose(3)
    ended = slurm.wait_for(job, "NODE_FAIL", "FAILED", "COMPLETED")
    assert ended["JobState"] == "COMPLETED", slurm.output(job)
    assert "Node failure on node3" in slurm.output(job)
    done = slurm.recorded()
    assert len(done) == len(set(done)) == FITS
