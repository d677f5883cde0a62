"""Heads that cannot be reached or do not take us: one line, soon."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COMMAND, at_work, clean_environment

pytestmark = pytest.mark.ray

STUDY = "{name: s, datasets: [sklearn:iris], trials: 1, baselines: [direct]}"
RAY = str(Path(sys.executable).with_name("ray"))


def run(folder: Path, **environment: str) -> tuple[subprocess.CompletedProcess[str], float]:
    (folder / "s.yaml").write_text(STUDY)
    began = time.monotonic()
    ended = subprocess.run(
        [*COMMAND, "run", "s"], cwd=folder, env=clean_environment() | environment,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return ended, time.monotonic() - began


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def lines(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """What was said besides the data set's notice and the plan."""
    return [line for line in ended.stderr.splitlines() if not line.startswith(("iris:", "s:"))]


def test_a_port_where_nothing_listens_is_said_at_once(tmp_path):
    ended, seconds = run(tmp_path, RAY_ADDRESS=f"127.0.0.1:{free_port()}")
    assert ended.returncode == 2 and seconds < 30
    (line,) = lines(ended)
    assert "where no Ray answers" in line and "unset RAY_ADDRESS" in line


def test_a_ray_that_does_not_start_here_is_one_line(tmp_path):
    ended, _ = run(tmp_path, RAY_TMPDIR=str(tmp_path / ("long" * 30)))
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    (line,) = lines(ended)
    assert line.startswith("error: Ray does not start on this machine: ") and "AF_UNIX" in line


@pytest.fixture
def head_with_token() -> Iterator[str]:
    if not Path(RAY).exists() and not shutil.which("ray"):
        pytest.skip("the ray command is not beside this Python")
    folder = Path(tempfile.mkdtemp())  # short: pytest's own leaves no room for the sockets' names
    environment = clean_environment() | {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 32, "RAY_TMPDIR": str(folder),
    }  # fmt: skip
    said = folder / "said.txt"
    with said.open("w") as file:
        process = subprocess.Popen(
            [RAY, "start", "--head", "--block", "--port=0", "--num-cpus=1",
             "--include-dashboard=false", "--disable-usage-stats"],
            env=environment, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 200
        while not (address := re.search(r"--address='.*:(\d+)'", said.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{address[1]}"
    finally:
        for pid in at_work(b"", under=process.pid):  # Ray's own way to end it takes half a minute
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_head_that_refuses_the_token_says_so(tmp_path, head_with_token):
    for token in ({}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "b" * 32}):
        ended, seconds = run(tmp_path, RAY_ADDRESS=head_with_token, **token)
        assert ended.returncode == 2 and seconds < 40, ended.stderr
        (line,) = lines(ended)
        assert "refuses this token" in line and "RAY_AUTH_TOKEN" in line
