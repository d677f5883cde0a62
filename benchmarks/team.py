"""A team's MLflow by cluster/mlflow/serve.sh: a study that is killed and goes on, two at once, and how fast.

    python benchmarks/team.py [--trials 125] [--cores 2]

Needs Debian's `postgresql`, and `pip install "mlflow[auth]" psycopg2-binary`. Fits take no time (they are
benchmarks/scale.py's), so that MLflow is what is measured; 125 trials are 500 fits. In order: a study on
SQLite; the same on the server, whose driver is killed once a fifth is recorded, and which is then started
again; and two studies at once, by two users. It ends with an error where a fit is lacking, or recorded twice,
or where a password is found in a file that is not its own, or on a command line. Artifacts go to a folder,
or with ARTIFACTS=s3://BUCKET/FOLDER and boto3's variables in the environment to S3.
"""

from __future__ import annotations

import argparse
import configparser
import gzip
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from scale import STUDENT, STUDY, Tail

TEAM = Path(__file__).resolve().parents[1] / "cluster" / "mlflow"
DATA_SETS = 4
SECONDS = 900
"""The most that anything here may take."""


class Study:
    """A study of fits that take no time, in a folder of its own."""

    def __init__(
        self, folder: Path, name: str, trials: int, cores: int, mlflow: Mapping[str, str]
    ) -> None:
        self.folder, self.name, self.fits = folder / name, name, trials * DATA_SETS
        (self.folder / "up").mkdir(parents=True)
        text = STUDY.format(trials=trials).replace("name: scale", f"name: {name}")
        (self.folder / "study.yaml").write_text(text)
        student = STUDENT.format(folder=str(self.folder), cores=1, seconds=0.0)
        (self.folder / "sleeping.py").write_text(student)
        kept = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        self.environment = kept | {"SMOOTHRAY_JOURNAL": str(self.folder)} | mlflow
        self.command = [sys.executable, "-c", "from smoothray.cli import main; main()"]
        self.command += ["run", "study.yaml", "--cores", str(cores)]
        self.journal = Tail(self.folder / f"{name}.jsonl.gz")
        self.secrets: set[str] = set()

    def start(self) -> subprocess.Popen[bytes]:
        with open(self.folder / "said.txt", "ab") as said:
            return subprocess.Popen(
                self.command, cwd=self.folder, env=self.environment,
                stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip

    def follow(self, process: subprocess.Popen[bytes], until: int | None = None) -> float:
        """Deliveries to MLflow a second, from the first to the last seen; ends at so many records."""
        seen: list[tuple[float, int]] = []
        while process.poll() is None and (until is None or self.journal.records < until):
            self.journal.look()
            if self.secrets:
                check_command_lines(self.secrets)
            if self.journal.delivered and (not seen or seen[-1][1] != self.journal.delivered):
                seen.append((time.monotonic(), self.journal.delivered))
            time.sleep(0.2)
        if until is None and process.returncode:
            sys.exit(f"{self.name} failed:\n{(self.folder / 'said.txt').read_text()[-2000:]}")
        if len(seen) < 2:
            return float("nan")
        (began, first), (ended, last) = seen[0], seen[-1]
        return (last - first) / (ended - began)


@contextmanager
def server(home: Path) -> Iterator[str]:
    """serve.sh at work; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"MLFLOW_HOME": str(home), "MLFLOW_PORT": str(port), "PATH": path}
    process = subprocess.Popen([TEAM / "serve.sh"], env=environment, stderr=subprocess.PIPE)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
    try:
        while status(f"{address}/health") != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                assert process.stderr is not None
                sys.exit(f"serve.sh: {process.stderr.read().decode()}")
            time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def status(url: str) -> int:
    """The answer's HTTP status; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def add_user(folder: Path, home: Path, address: str, name: str) -> dict[str, str]:
    """What a study of this user has in its environment."""
    command = [sys.executable, TEAM / "add_user.py", name, "--home", home, "--address", address]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    file = folder / f"{name}.credentials"
    assert file.stat().st_mode & 0o777 == 0o600
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(file)
    given = {key.upper(): value for key, value in settings["mlflow"].items()}
    return {"MLFLOW_TRACKING_URI": address} | given


def check_runs(study: Study, user: Mapping[str, str]) -> None:
    """Every fit is a run on the server, once."""
    os.environ |= user
    from mlflow import MlflowClient

    client = MlflowClient(user["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name(study.name)
    assert experiment is not None
    keys: list[str] = []
    token = ""
    while token is not None:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        keys += [run.data.tags["smoothray.key"] for run in page if "smoothray.key" in run.data.tags]
        token = page.token
    if not (len(keys) == len(set(keys)) == study.fits):
        sys.exit(
            f"{study.name}: {len(keys)} runs, {len(set(keys))} of them different, not {study.fits}"
        )


def check_files(folder: Path, home: Path, secrets: set[str]) -> None:
    """No password is in a file but its own, nor in what MLflow's database holds of studies."""
    own = {"admin-password", "server-key"}
    for file in folder.rglob("*"):
        if not file.is_file() or "database" in file.parts:
            continue
        if file.name not in own and file.suffix != ".credentials" and holds(read(file), secrets):
            sys.exit(f"a password stands in {file}")
    dump = ["pg_dump", "-h", str(home / "socket"), "mlflow"]
    dumped = subprocess.run(dump, check=True, capture_output=True).stdout
    if b"smoothray.key" not in dumped or holds(dumped, secrets):
        sys.exit("MLflow's database lacks the runs, or a password stands in it")


def read(file: Path) -> bytes:
    """What a file says, unpacked."""
    if file.suffix == ".gz":
        return gzip.decompress(file.read_bytes())
    if file.suffix == ".parquet":
        return pd.read_parquet(file).to_json().encode()
    return file.read_bytes()


def holds(text: bytes, secrets: set[str]) -> bool:
    return any(secret.encode() in text for secret in secrets)


def check_command_lines(secrets: set[str]) -> None:
    """No password is on a command line now."""
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = line.read_bytes()
        except OSError:
            continue
        if holds(text, secrets):
            sys.exit(f"a password stands on the command line of process {line.parent.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=125)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    size = (options.trials, options.cores)
    with tempfile.TemporaryDirectory(prefix="team-") as name:
        folder = Path(name)
        home = folder / "mlflow"
        folder.chmod(0o711)
        os.environ["RAY_TMPDIR"] = str(folder / "ray")
        alone = Study(
            folder, "on-sqlite", *size, {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        )
        rate = alone.follow(alone.start())
        print(f"SQLite: {alone.fits} fits, {rate:.1f} delivered a second", flush=True)
        with server(home) as address:
            refused = status(f"{address}/api/2.0/mlflow/experiments/search?max_results=1")
            print(f"without a user: {refused}", flush=True)
            if refused != 401:
                sys.exit("the server lets in whoever comes")
            ada, bob = (add_user(folder, home, address, user) for user in ("ada", "bob"))
            secrets = {user["MLFLOW_TRACKING_PASSWORD"] for user in (ada, bob)}
            secrets |= {
                (home / file).read_text().strip() for file in ("admin-password", "server-key")
            }
            killed = Study(folder, "killed", *size, ada)
            process = killed.start()
            killed.follow(process, until=killed.fits // 5)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed.journal.look()
            kept = killed.journal.records
            rate = killed.follow(killed.start())
            check_runs(killed, ada)
            print(
                f"PostgreSQL, with users: killed at {kept} of {killed.fits} fits, gone on, all there once"
            )
            print(f"  {rate:.1f} delivered a second", flush=True)
            both = [
                Study(folder, f"of-{who}", *size, user)
                for who, user in (("ada", ada), ("bob", bob))
            ]
            for study in both:
                study.secrets = secrets
            processes = [study.start() for study in both]
            rates = [study.follow(process) for study, process in zip(both, processes, strict=True)]
            for study, user in zip(both, (ada, bob), strict=True):
                check_runs(study, user)
            print(f"two at once: {both[0].fits} and {both[1].fits} fits, all there once")
            print(f"  {rates[0]:.1f} of the first delivered a second", flush=True)
            check_files(folder, home, secrets)
            print("no password in a log, a record or a command line")


if __name__ == "__main__":
    main()
