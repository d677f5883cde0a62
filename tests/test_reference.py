"""What 0.1 recorded: the same studies give the same records, and what it began is read and continued.

Numbers are compared bit for bit, which asks for the arithmetic of the machine that the references were made
on: where a probe of it differs, formulas found by a long random search differ too, and the tests skip.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import COMMAND, Command, clean_environment
from sympy import Symbol

from smoothray.formulas import evaluate, parse
from smoothray.records.journal import Journal
from smoothray.study.plan import Key
from smoothray.study.settings import EARLIER

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "reference"
PROBE = json.loads((HERE / "probe.json").read_text())
CLOCK = {"teacher_seconds", "student_seconds", "student_cpu_seconds"}
MADE_WITH = {"version", "versions"}


def probe() -> dict[str, str]:
    """What the bits of a record hang on besides this project: libraries, and the processor's arithmetic."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 200, 10, generator=generator)
    w = torch.randn(3, 10, 64, generator=generator)
    hidden = torch.tanh(torch.bmm(x, w))
    values = [hidden, torch.bmm(hidden, hidden.transpose(1, 2)).sum(2), torch.exp(x)]
    arrays = [value.numpy() for value in values]
    y = np.random.default_rng(0).normal(size=1000)
    arrays += [np.tanh(y), np.exp(y), np.log(np.abs(y)), np.sin(y), y @ np.cos(y)]
    torch.set_num_threads(threads)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))
    packages = ("torch", "numpy", "pyoperon", "gplearn", "sympy", "scikit-learn")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {**found, "arithmetic": digest.hexdigest()[:16]}


@pytest.fixture(scope="module", autouse=True)
def same_machine() -> None:
    here = probe()
    if differing := [name for name in PROBE if here[name] != PROBE[name]]:
        pytest.skip(f"the references were made with other {', '.join(differing)}")


def rows(file: Path) -> dict[Key, dict[str, Any]]:
    return {Key.of(row): row for row in pq.read_table(file).to_pylist()}


def of_dataset(name: str, file: Path) -> dict[Key, dict[str, Any]]:
    return {key: row for key, row in rows(file).items() if key.dataset == name}


def same(new: Any, old: Any) -> bool:
    if isinstance(new, float) and isinstance(old, float):
        return new == old or (math.isnan(new) and math.isnan(old))
    return bool(new == old)


def assert_same(new: dict[Key, dict[str, Any]], old: dict[Key, dict[str, Any]]) -> None:
    assert new.keys() == old.keys()
    for key, before in old.items():
        after = new[key]
        for name in before.keys() - CLOCK - MADE_WITH - {"front", "formula"}:
            assert same(after[name], before[name]), f"{key}: {name}"
        assert_same_function(after["formula"], before["formula"])
        assert len(after["front"]) == len(before["front"]), key
        for mine, its in zip(after["front"], before["front"], strict=True):
            for name in its.keys() - {"formula"}:
                assert same(mine[name], its[name]), f"{key}: front, {name}"
            assert_same_function(mine["formula"], its["formula"])


def assert_same_function(new: str, old: str) -> None:
    if new == old:
        return
    names = [f"x{i}" for i in range(10)] + [
        "bmi",
        "bp",
        "s1",
        "s5",
        "s6",
        "age",
        "sex",
        "s2",
        "s3",
        "s4",
    ]
    symbols = {name: Symbol(name) for name in names}
    X = np.random.default_rng(0).uniform(0.1, 2, (50, len(names)))
    here, there = (evaluate(parse(text, symbols), X, names) for text in (new, old))
    np.testing.assert_allclose(here, there, rtol=1e-12, err_msg=f"{new}\n{old}")


def export(smoothray: Command, study: str, folder: Path) -> dict[Key, dict[str, Any]]:
    ended = smoothray("export", study, "now.parquet", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return rows(folder / "now.parquet")


def test_quickstart_gives_the_same_records(tmp_path, smoothray):
    file = HERE.parent.parent / "search_spaces" / "quickstart.yaml"
    study = yaml.safe_load(file.read_text())
    student = study.get("student", "operon")
    student = {"name": student} if isinstance(student, str) else student
    study["student"] = {**student, **EARLIER}
    study["datasets"] = ["sklearn:diabetes"]
    study["restarts"] = {"none": 1, "direct": 1}  # 0.1 had no others
    (tmp_path / "quickstart.yaml").write_text(yaml.safe_dump(study))
    ended = smoothray("run", "quickstart.yaml", "--cores", 2, cwd=tmp_path, timeout=500)
    assert ended.returncode == 0, ended.stderr
    old = of_dataset("diabetes", HERE / "quickstart.parquet")
    assert_same(export(smoothray, "quickstart", tmp_path), old)


def test_augmentation_ensembles_and_two_students_interrupted_on_two_cores_and_resumed_on_one(
    tmp_path, smoothray
):
    shutil.copy(HERE / "reference.yaml", tmp_path)
    part = ("--datasets", "sklearn:friedman3")
    process = subprocess.Popen(
        [*COMMAND, "run", "reference.yaml", "--cores", "2", *part],
        cwd=tmp_path, env=clean_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    journal = Journal("reference")
    journal.path = tmp_path / ".smoothray" / "reference.jsonl.gz"
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if sum(entry["kind"] == "record" for entry in journal.entries()) >= 20:
            break
        time.sleep(0.5)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    ended = smoothray("run", "reference", "--cores", 1, *part, cwd=tmp_path, timeout=500)
    assert ended.returncode == 0, ended.stderr
    assert "recorded already" in ended.stderr
    old = of_dataset("friedman3", HERE / "reference.parquet")
    assert_same(export(smoothray, "reference", tmp_path), old)


def test_a_race_that_0_1_began_is_finished(tmp_path, smoothray):
    """Its records stay as they are, its draws are kept to, and no arm is drawn beyond their number."""
    shutil.copy(HERE / "begun.yaml", tmp_path)
    journal = Journal("begun")
    journal.path = tmp_path / ".smoothray" / "begun.jsonl.gz"
    journal.path.parent.mkdir()
    shutil.copy(HERE / "begun.jsonl.gz", journal.path)
    before = list(journal.entries())
    decisions = [entry["decision"] for entry in before if entry["kind"] == "decision"]
    drawn = {each["strength"] for each in decisions if each["dataset"] == "friedman3"}
    old = {Key.of(e["record"]): e["record"] for e in before if e["kind"] == "record"}
    assert old and drawn
    part = ("begun", "--datasets", "sklearn:friedman3")
    ended = smoothray("run", *part, cwd=tmp_path, timeout=500)
    assert ended.returncode == 0, ended.stderr
    here = sum(key.dataset == "friedman3" for key in old)
    assert f"{here} recorded already" in ended.stderr
    now = export(smoothray, "begun", tmp_path)
    assert old.keys() <= now.keys()
    assert all(now[key]["formula"] == record["formula"] for key, record in old.items())
    assert {record["version"] for key, record in now.items() if key in old} == {"0.1.0"}
    arms = {key.arm for key in now if key.dataset == "friedman3"}
    assert sum(arm.penalty == "lipschitz" for arm in arms) == 4
    for penalty in ("none", "jacobian", "lipschitz"):
        assert any(
            all(Key("friedman3", arm, "operon", trial) in now for trial in range(8))
            for arm in arms
            if arm.penalty == penalty
        )
    assert drawn <= {arm.strength for arm in arms if arm.penalty == "lipschitz"}
    again = smoothray("run", *part, cwd=tmp_path)
    assert again.returncode == 0 and "recorded already" in again.stderr
