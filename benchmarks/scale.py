"""What one head can feed: students that only sleep, on a Ray that is told of many cores.

    python benchmarks/scale.py [--cores 64] [--seconds 1] [--trials 500] [--only sqlite|postgresql]

A study of 4 data sets × 1 arm without teachers; its student is a plug-in that sleeps and gives one formula.
They wait for one another before the first fit, since so many processes take minutes to start on few cores.
Between 20 % and 80 % of the fits it takes the fits recorded a second and the CPU time of each process that
there is one of, in percent of a core; after the last fit, how long MLflow is behind. Once with MLflow on
SQLite, once on a PostgreSQL of its own, whose programs must be installed (Debian's `postgresql`), with
psycopg2-binary.

64 students take about 11 GB. On few real cores the students' own work takes its
share: then MLflow is delivered to more slowly than where the head has cores to itself.
"""

from __future__ import annotations

import argparse
import getpass
import glob
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

STUDENT = """
import os, pathlib, time
from sympy import Float, Symbol
from smoothray import RawFormula, Student

class Sleeper(Student):
    name, source, packages = "sleeper", "none", ()
    budgets = {{"quick": {{"seconds": {seconds}}}}}
    operators = ("add", "mul")
    vocabulary = {{"add": "+", "mul": "*"}}

    def warm_up(self):
        up = pathlib.Path({folder!r}, "up")
        (up / str(os.getpid())).touch()
        until = time.monotonic() + 800
        while len(os.listdir(up)) < {cores} and time.monotonic() < until:
            time.sleep(0.5)

    def _search(self, X, y, seed):
        time.sleep(self.settings["seconds"])
        yield RawFormula(lambda: Float(0.5) * Symbol("x0"), 0.5 * X[:, 0])
"""
STUDY = """
name: scale
datasets: [sklearn:diabetes, sklearn:friedman1, sklearn:friedman3, sklearn:iris]
trials: {trials}
baselines: [direct]
student: sleeping:Sleeper
"""
TITLES = {
    "pool": "ray::StudentPool",
    "recorder": "ray::RecorderActor",
    "raylet": "/raylet",
    "gcs": "/gcs_server",
}
"""What tells each process, of which there is one, by its command line."""
TICK = 0.5


@dataclass
class Look:
    """What there was at a time: records in the journal and in MLflow, CPU seconds of each process so far."""

    at: float
    records: int
    delivered: int
    cpu: dict[str, float]


@dataclass
class Measured:
    """A run's looks, and the time at which its command ended."""

    looks: list[Look] = field(default_factory=list)
    end: float = 0.0

    def between(self, low: float, high: float) -> tuple[Look, Look]:
        """The first looks at which these shares of the fits were recorded."""
        fits = self.looks[-1].records
        first, last = (
            next(look for look in self.looks if look.records >= share * fits)
            for share in (low, high)
        )
        return first, last

    def rates(self) -> tuple[float, float, dict[str, float]]:
        """In the steady part: records a second, deliveries a second, percent of a core by process."""
        first, last = self.between(0.2, 0.8)
        seconds = last.at - first.at
        shares = {
            name: 100 * (last.cpu[name] - first.cpu[name]) / seconds
            for name in last.cpu
            if name in first.cpu
        }
        return (
            (last.records - first.records) / seconds,
            (last.delivered - first.delivered) / seconds,
            shares,
        )

    def last_fit(self) -> Look:
        return next(look for look in self.looks if look.records == self.looks[-1].records)

    def delivered(self) -> Look:
        """The first look at which MLflow had all that it would get."""
        return next(look for look in self.looks if look.delivered == self.looks[-1].delivered)

    def lag(self) -> tuple[float, float, float]:
        """From the last fit to its delivery: seconds, records delivered a second, the recorder's CPU seconds
        for each."""
        first, last = self.last_fit(), self.delivered()
        seconds, records = last.at - first.at, last.delivered - first.delivered
        cpu = last.cpu["recorder"] - first.cpu["recorder"]
        return seconds, records / seconds if seconds else 0.0, cpu / max(1, records)


class Tail:
    """Counts what is appended to a journal."""

    def __init__(self, path: Path) -> None:
        self.path, self.records, self.delivered = path, 0, 0
        self._place, self._rest = 0, b""

    def look(self) -> None:
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self._place)
            self._rest += file.read()
            self._place = file.tell()
        while self._rest:
            member = zlib.decompressobj(31)
            line = member.decompress(self._rest)
            if not member.eof:
                return
            self._rest = member.unused_data
            entry = json.loads(line)
            self.records += entry["kind"] == "record"
            self.delivered += len(entry["keys"]) if entry["kind"] == "delivered" else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a fit sleeps")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    options = parser.parse_args()
    trackers = [options.only] if options.only else ["sqlite", "postgresql"]
    programs = postgres_programs() if "postgresql" in trackers else Path()
    measured = {}
    for tracker in trackers:
        with tempfile.TemporaryDirectory(prefix="smoothray-scale-") as name:
            database = postgres(programs) if tracker == "postgresql" else nullcontext(None)
            with database as uri:
                uri = uri or f"sqlite:///{name}/mlflow.db"
                measured[tracker] = run(Path(name), uri, options)
    say(measured, options.cores, options.seconds)


def run(folder: Path, uri: str, options: argparse.Namespace) -> Measured:
    """One study as `smoothray run`, looked at until its end."""
    (folder / "up").mkdir()
    (folder / "study.yaml").write_text(STUDY.format(trials=options.trials))
    (folder / "sleeping.py").write_text(
        STUDENT.format(folder=str(folder), cores=options.cores, seconds=options.seconds)
    )
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    more = {
        "SMOOTHRAY_JOURNAL": str(folder),
        "MLFLOW_TRACKING_URI": uri,
        "RAY_worker_register_timeout_seconds": "900",  # more processes than cores start at once
    }
    command = [sys.executable, "-c", "from smoothray.cli import main; main()", "run", "study.yaml"]
    process = subprocess.Popen(
        [*command, "--cores", str(options.cores)], cwd=folder, env=kept | more,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    measured, tail = Measured(), Tail(folder / "scale.jsonl.gz")
    processes: dict[str, int] = {}
    while process.poll() is None:
        tail.look()
        if tail.records:
            # All are up by the first record.
            processes = processes or {"driver": process.pid, **processes_of(process.pid)}
            cpu = {name: cpu_seconds(pid) for name, pid in processes.items()}
            measured.looks.append(Look(time.monotonic(), tail.records, tail.delivered, cpu))
        time.sleep(TICK)
    measured.end = time.monotonic()
    if process.returncode or not measured.looks:
        assert process.stdout is not None
        sys.exit(f"the study failed:\n{process.stdout.read().decode(errors='replace')[-2000:]}")
    return measured


def processes_of(driver: int) -> dict[str, int]:
    """The processes of `TITLES` among those that the driver started, and that these started."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(stat(int(entry.name))[1])
                lines[int(entry.name)] = (entry / "cmdline").read_text(errors="replace")
            except (OSError, IndexError):
                continue

    def started(pid: int) -> bool:
        while pid > 1 and pid != driver:
            pid = parents.get(pid, 0)
        return pid == driver

    return {
        name: pid
        for name, title in TITLES.items()
        for pid, line in lines.items()
        if title in line.partition("\0")[0] and started(pid)
    }


def stat(pid: int) -> list[str]:
    """A process's fields in /proc from its state on; its name before them may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process so far; not a number once it has ended."""
    try:
        fields = stat(pid)
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def say(measured: dict[str, Measured], cores: int, seconds: float) -> None:
    names = ["driver", *TITLES]
    print(f"{cores} students, fits of {seconds:g} s; CPU in percent of one core")
    print("MLflow on   fits/s" + "".join(f"{n:>10}" for n in names) + "   to MLflow/s   lag, end")
    for tracker, run in measured.items():
        fits, delivered, shares = run.rates()
        row = "".join(f"{shares.get(name, float('nan')):>10.0f}" for name in names)
        end = run.end - run.last_fit().at
        lag, speed, _ = run.lag()
        speeds = f"{delivered:.0f}, then {speed:.0f}"
        print(f"{tracker:<12}{fits:>6.1f}{row}   {speeds:<12}  {lag:.0f} s, {end:.0f} s")
    for tracker, run in measured.items():
        print(f"\n{tracker}: where each would fill a core, by linear extrapolation, not measured:")
        for name, full in sorted(limits(run).items(), key=lambda each: each[1]):
            cores_of = f"{full:.0f} cores with fits of 1 s, {5 * full:.0f} with fits of 5 s"
            print(f"  the {name}: {full:.0f} fits/s, {cores_of}")


def limits(run: Measured) -> dict[str, float]:
    """Fits a second at which each process would take a whole core.

    The recorder's is split: what it did for MLflow while it lagged behind is less than all fits need.
    """
    fits, delivered, shares = run.rates()
    work = {name: share / 100 / fits for name, share in shares.items() if share > 0}
    _, _, to_mlflow = run.lag()
    journal = max(1e-4, work.pop("recorder") - to_mlflow * delivered / fits)
    work["recorder, MLflow lagging behind at will"] = journal
    work["recorder, MLflow keeping up"] = journal + to_mlflow
    return {name: 1 / seconds for name, seconds in work.items()}


def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs; ends the script where something is missing."""
    if importlib.util.find_spec("psycopg2") is None:
        sys.exit("psycopg2 is missing; run: pip install psycopg2-binary (or use --only sqlite)")
    folders = [
        *map(Path, sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)),
        *(Path(path).parent for path in [shutil.which("initdb")] if path),
    ]
    if not folders:
        sys.exit("PostgreSQL is missing; run: apt-get install postgresql (or use --only sqlite)")
    return folders[0]


@contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A PostgreSQL in a temporary folder, on a free port of this machine alone; its address for MLflow."""
    as_root = getpass.getuser() == "root"
    before = ["runuser", "-u", "postgres", "--"] if as_root else []  # it refuses root
    with tempfile.TemporaryDirectory(prefix="smoothray-postgres-") as folder:
        if as_root:
            shutil.chown(folder, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def call(program: str, *options: str) -> None:
            command = [*before, str(programs / program), "-D", f"{folder}/data", *options]
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

        call("initdb", "-U", "smoothray", "-A", "trust")
        where = f"-h 127.0.0.1 -p {port} -k {folder}"
        call("pg_ctl", "-w", "-l", f"{folder}/log", "-o", where, "start")
        try:
            yield f"postgresql+psycopg2://smoothray@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "-w", "-m", "fast", "stop")


if __name__ == "__main__":
    main()
