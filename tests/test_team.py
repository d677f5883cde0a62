"""A team's MLflow: compose file and script as far as that is cheap, and the whole where PostgreSQL is."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import clean_environment

PROJECT = Path(__file__).parents[1]
TEAM = PROJECT / "cluster" / "mlflow"


def test_the_compose_file():
    compose = yaml.safe_load((TEAM / "compose.yaml").read_text())
    database, server = compose["services"]["database"], compose["services"]["mlflow"]
    # Only this machine reaches the server, and only the server the database.
    assert server["ports"] == ["127.0.0.1:5000:5000"] and "ports" not in database
    assert re.fullmatch(r"postgres:\d+", database["image"]) and server["build"] == "."
    # Passwords are files that git does not see, never values in the file.
    assert set(server["secrets"]) == set(compose["secrets"]) and database["secrets"]
    folders = {Path(secret["file"]).parent for secret in compose["secrets"].values()}
    assert folders == {Path("secrets")}
    assert "/cluster/mlflow/secrets/" in (PROJECT / ".gitignore").read_text().splitlines()
    left_out = (PROJECT / ".dockerignore").read_text().splitlines()
    assert {"cluster/mlflow/secrets", "**/*.credentials"} <= set(left_out)
    for service in (database, server):
        for name, value in service["environment"].items():
            assert "PASSWORD" not in name or value.startswith("/run/secrets/"), name
    named = {volume.split(":")[0] for each in (database, server) for volume in each["volumes"]}
    assert named == set(compose["volumes"])


def test_the_image_has_the_versions_that_studies_have():
    text = (TEAM / "Dockerfile").read_text()
    (version,) = re.findall(r"mlflow\[auth\]==([\d.]+)", text)
    assert f"mlflow=={version}" in (PROJECT / "constraints.txt").read_text().splitlines()
    for file in re.search(r"^COPY --chown=\S+ (.*) \S+$", text, re.M)[1].split():
        assert (TEAM / file).is_file()


def test_secrets_go_to_the_servers_environment():
    for script, shell in (("start.sh", "sh"), ("serve.sh", "bash")):
        subprocess.run([shell, "-n", TEAM / script], check=True)
        text = (TEAM / script).read_text().replace("\\\n", " ")
        (command,) = re.findall(r"mlflow server .*", text)
        assert "--app-name basic-auth" in command
        assert not re.search(r"password|secret|:[^/\s]*@", command, re.I)


def test_the_script_says_what_is_missing(tmp_path):
    text = (TEAM / "serve.sh").read_text()
    (tmp_path / "15" / "bin").mkdir(parents=True)
    for program in ("initdb", "python"):
        (tmp_path / "15" / "bin" / program).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "15" / "bin" / program).chmod(0o755)
    for place, word in (("none", "PostgreSQL is missing"), (".", "lacks MLflow's users")):
        script = text.replace("/usr/lib/postgresql", str(tmp_path / place))
        ended = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=60,
            env={"PATH": "/usr/bin:/bin", "MLFLOW_HOME": str(tmp_path / "home")},
        )  # fmt: skip
        assert ended.returncode == 2, ended.stderr
        (line,) = ended.stderr.splitlines()
        assert line.startswith("error: ") and word in line
    assert not (tmp_path / "home").exists()


def test_a_user_cannot_be_added_where_there_is_no_server(tmp_path):
    ended = subprocess.run(
        [sys.executable, TEAM / "add_user.py", "ada", "--home", tmp_path / "none"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 1 and list(tmp_path.iterdir()) == []
    assert ended.stderr.startswith("error: cannot use ") and ended.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.ray
def test_studies_through_a_teams_server(tmp_path):
    """Killed and gone on with, two at once, and no password where it should not be."""
    lacking = [name for name in ("flask_wtf", "psycopg2") if importlib.util.find_spec(name) is None]
    if lacking or not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        pytest.skip("needs Debian's postgresql, and: pip install 'mlflow[auth]' psycopg2-binary")
    path = os.pathsep.join([str(PROJECT), str(PROJECT / "analysis")])
    ended = subprocess.run(
        [sys.executable, PROJECT / "benchmarks" / "team.py", "--trials", "5"],
        env=clean_environment() | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=550,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "without a user: 401" in ended.stdout
    assert "of 20 fits, gone on, all there once" in ended.stdout
    assert "two at once: 20 and 20 fits, all there once" in ended.stdout
    assert "no password in a log, a record or a command line" in ended.stdout
