"""A student's real program through every path: PySR's, where Julia is.

pytest tests/test_live.py
SMOOTHRAY_LIVE=operon pytest tests/test_live.py    # the same of another student
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import COMMAND, Command, clean_environment, interrupted

from smoothray.students import STUDENTS

STUDENT = os.environ.get("SMOOTHRAY_LIVE", "pysr")
LONG = {"pysr": {"niterations": 10**6}}.get(STUDENT, {"generations": 10**6})
NOISE = re.compile(r"backtrace|stacktrace|signal \(\d+\)|Traceback", re.IGNORECASE)
"""What Julia writes where it is interrupted, and Python."""

pytestmark = [
    pytest.mark.pysr,
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(STUDENTS[STUDENT].unavailable()),
        reason=f"{STUDENT}: {STUDENTS[STUDENT].unavailable()}",
    ),
]

FITS = """
import json, sys
import numpy as np
from smoothray import SymbolicDistiller
from smoothray.distillation import processes

student, long = sys.argv[1], json.loads(sys.argv[2])
X = np.random.default_rng(0).uniform(1, 2, (150, 2))
y = X[:, 0] * X[:, 1] + 0.01 * np.random.default_rng(1).normal(size=150)
settings = {"student": student, "random_state": 0}

def formula(**more):
    model = SymbolicDistiller("direct", budget="quick", timeout=600, **settings, **more).fit(X, y)
    return model.formula_, model.score(X, y)

formulas = [formula()]
worker = [process for idle in processes._idle.values() for process in idle]
formulas.append(formula())
again = [process for idle in processes._idle.values() for process in idle]
try:
    SymbolicDistiller("direct", student_options=long, timeout=4, **settings).fit(X, y)
    told = ""
except ValueError as error:
    told = str(error)
formulas.append(formula())
one = len(worker) == len(again) == 1 and worker[0] is again[0]
print(json.dumps({"formulas": formulas, "one": one, "told": told}))
"""
SLOPES = """
import sys
import numpy as np
from smoothray import SymbolicDistiller
X = np.random.default_rng(0).uniform(1, 2, (150, 2))
model = SymbolicDistiller(
    "none", student=sys.argv[1], selection="sobolev", budget="quick", random_state=0, timeout=600,
    teacher_options={"steps": 300},
)
print(model.fit(X, X[:, 0] * X[:, 1]).score(X, X[:, 0] * X[:, 1]))
"""


def python(code: str, *arguments: str, folder: Path) -> str:
    """What a program prints that says nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, env=clean_environment(),
        capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not NOISE.search(done.stdout + done.stderr), done.stderr
    return done.stdout


def test_one_process_makes_all_fits_and_a_late_one_costs_only_itself(tmp_path):
    said = json.loads(python(FITS, STUDENT, json.dumps(LONG), folder=tmp_path))
    assert len({tuple(each) for each in said["formulas"]}) == 1
    assert said["formulas"][0][1] > 0.99 and said["one"]
    assert "the fit passed its time limit of 4 s" in said["told"]


def test_values_and_slopes_are_matched(tmp_path):
    assert float(python(SLOPES, STUDENT, folder=tmp_path)) > 0.9


@pytest.fixture
def study(tmp_path: Path) -> Path:
    file = tmp_path / "live.yaml"
    settings = {
        "datasets": ["sklearn:friedman3"], "trials": 2, "baselines": ["none", "direct"],
        "teacher": {"hidden": [8], "steps": 100}, "student": {"name": STUDENT, "rows": 200},
    }  # fmt: skip
    file.write_text(yaml.safe_dump(settings))
    return file


def test_a_plan_times_it_and_says_what_memory_it_needs(study, smoothray: Command):
    done = smoothray("plan", study.name, "--seconds", 0, cwd=study.parent, timeout=900)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"students?' process(es)? \({STUDENT}\) needs? [\d.]+ GB", done.stdout), (
        done.stdout
    )
    assert not NOISE.search(done.stdout + done.stderr)


def test_a_study_is_recorded_with_its_versions(study, smoothray: Command):
    done = smoothray("run", study.name, "--cores", 2, cwd=study.parent, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert not NOISE.search(done.stdout + done.stderr)
    done = smoothray("export", "live", "live.parquet", cwd=study.parent)
    assert done.returncode == 0, done.stderr
    records = pd.read_parquet(study.parent / "live.parquet")
    assert len(records) == 4 and set(records["status"]) == {"ok"}, list(records["reason"])
    assert (records["student_cpu_seconds"] > 0).all()
    if STUDENT == "pysr":
        assert records["versions"].str.contains(r"julia \d.*SymbolicRegression.jl \d").all()


def test_ctrl_c_ends_a_search_with_what_it_has_and_nothing_of_the_program_is_read(tmp_path):
    X = np.random.default_rng(0).uniform(1, 2, (150, 2))
    pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": X[:, 0] * X[:, 1] + X[:, 0] ** 3}).to_csv(
        tmp_path / "mine.csv", index=False
    )
    command = [
        *COMMAND, "distill", "mine.csv", "--target", "y", "--penalty", "none", "--student", STUDENT,
        "--minutes", "30", "--out", "out",
    ]  # fmt: skip
    code, printed, said = interrupted(command, tmp_path, "best R² on validation rows", 900)
    assert code == 130, said
    assert (tmp_path / "out" / "result.json").exists() and "nodes" in printed
    assert not NOISE.search(printed + said), said
