"""Every code block of README and docs is run, in order; studies with one trial on one data set, and not
quickstart, which `make demo` runs."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import OURS, Command

from smoothray.records.parquet import read_parquet
from smoothray.records.recorder import Recorder
from smoothray.students import OperonStudent
from smoothray.study import load_study, parse_study
from smoothray.study.settings import TeacherSettings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "cluster" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"# (\w+\.(?:py|yaml))\n")
"""How a block begins that a reader puts into a file."""
STUDIES = "SMOOTHRAY_DATA" in os.environ
SLOW = (
    "README.md",
    *(f"docs/{name}.md" for name in ("cluster", "extending", "own-data", "python")),
)
"""Pages with many fits or a study of their own."""
STEPS, SEARCH = 200, {"population_size": 100, "generations": 10}
HEAVY = ("run", "distill", "doctor")
"""Commands that start Ray or processes of their own, or look at what is loaded: each is a process."""

pytestmark = pytest.mark.docs


class Block(NamedTuple):
    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page.read_text())]


@pytest.fixture(scope="module")
def typed() -> set[tuple[str, ...]]:
    """Commands that were run as processes in the folder: what a second page shows too is not run again."""
    return set()


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, empty_database: Path, typed: set[tuple[str, ...]]
) -> Path:
    """Where a reader would be: the project's folders, a table of one's own, and records of quickstart."""
    place = tmp_path_factory.mktemp("reader")
    for name in ("cluster", "benchmarks", "examples", "docs", "Makefile"):
        (place / name).symlink_to(ROOT / name)
    shutil.copy(empty_database, place / "mlflow.db")
    (place / "search_spaces").mkdir()
    for study in (ROOT / "search_spaces").glob("*.yaml"):
        (place / "search_spaces" / study.name).write_text(lighter(study.read_text()))
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(1, 3, (90, 3)), columns=["heat", "flow rate", "age"])
    table["y"] = 3 * table["heat"] * table["flow rate"] - table["age"] + rng.normal(0, 0.1, 90)
    table.to_csv(place / "mine.csv", index=False)
    table.head(9).drop(columns="y").to_csv(place / "new.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        stand_in(place, patch)
        quickstart = load_study("search_spaces/quickstart.yaml")
        with Recorder(quickstart.name, quickstart.identity()) as recorder:
            for record in read_parquet(ROOT / "tests" / "reference" / "quickstart.parquet"):
                recorder.add(record)
    typed.add(tuple(sorted(shorter(["run", "search_spaces/quickstart.yaml"]) or ())))
    return place


def stand_in(place: Path, patch: pytest.MonkeyPatch) -> None:
    """Make it the current folder, and its records those that are found."""
    patch.chdir(place)
    for name in OURS:
        patch.delenv(name, raising=False)
    # The same place as processes find, as an absolute address: MLflow keeps connections open by address.
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")


@pytest.fixture
def reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    stand_in(folder, monkeypatch)
    return folder


def lighter(text: str) -> str:
    """A study file whose fits take a part of the time: that it runs is what a page promises."""
    study = yaml.safe_load(text)
    study["teacher"] = {**study.get("teacher", {}), "steps": STEPS}
    students = study.pop("students", None) or [study.pop("student", "operon")]
    full = [{"name": each} if isinstance(each, str) else each for each in students]
    study["students"] = [
        {**each, "options": SEARCH} if each["name"] == "operon" else each for each in full
    ]
    return yaml.safe_dump(study)


def parametrized(page: Path) -> object:
    name = page.relative_to(ROOT).as_posix()
    return pytest.param(page, id=name, marks=[pytest.mark.slow] if name in SLOW else [])


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch, figures_drawn: None) -> None:
    """The same for what is fitted in this process."""
    budgets = OperonStudent.budgets
    monkeypatch.setitem(budgets, "quick", {**budgets["quick"], **SEARCH})
    whole = TeacherSettings.training
    short = property(lambda self: replace(whole.fget(self), steps=STEPS))
    monkeypatch.setattr(TeacherSettings, "training", short)


@pytest.mark.parametrize("page", map(parametrized, PAGES))
def test_what_a_page_shows_works(page, reader, typed, smoothray, main, monkeypatch, light):
    monkeypatch.setattr(sys, "path", [*sys.path])  # a page's modules are looked for in the folder
    names: dict[str, object] = {"__name__": "page"}

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        if arguments[0] not in HEAVY:
            return main(*arguments)
        words = tuple(sorted(arguments))  # in whatever order
        if words in typed:
            return subprocess.CompletedProcess(arguments, 0)
        typed.add(words)
        return smoothray(*arguments, cwd=reader, timeout=300)

    for block in blocks(page):
        file = FILE.match(block.text)
        if file:
            (reader / file[1]).write_text(block.text)
            if block.kind == "yaml":
                load_study(file[1]).check(available=False)
                (reader / file[1]).write_text(lighter(block.text))
        elif block.kind == "python":
            exec(compile(block.text, str(page), "exec"), names)
        elif block.kind == "yaml":
            parse_study(yaml.safe_load(block.text), str(page)).check(available=False)
        elif block.kind == "":
            assert subprocess.run(["bash", "-n"], input=block.text, text=True).returncode == 0
            for line in block.text.splitlines():
                try_line(line, command)
        else:
            assert block.kind == "text", f"{page}: a block of {block.kind} is not run by this test"


def try_line(line: str, command: Command) -> None:
    """Run a line that a reader would type, or as much of it as can be run here."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["smoothray"]:
        arguments = shorter(words[1:])
        if arguments is None:
            return
        ended = command(*arguments)
        assert ended.returncode == 0, f"{line}\n{ended.stderr}"
        assert arguments[0] != "run" or " failed; " not in (ended.stderr or ""), ended.stderr
    elif words[:1] == ["make"]:
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M), line
    # Of what needs a cluster, Julia or an installation, at least the files that it names are there.
    for word in words:
        if word.startswith(("cluster/", "benchmarks/", "examples/", "search_spaces/")):
            assert (ROOT / word).exists(), line


def shorter(arguments: list[str]) -> list[str] | None:
    """The same command with less work; None where it cannot be run here."""
    command, *rest = arguments
    if command == "ui":
        return ["ui", "--help"]
    studies = [word for word in rest if word.endswith(".yaml")]
    if not STUDIES and any("pmlb" in word or "penalty_search" in word for word in rest):
        return None
    if command == "run":
        first = load_study(studies[0]).datasets[0]
        cores = [] if "--cores" in arguments else ["--cores", "1"]
        return [*arguments, "--trials", "1", "--datasets", one_of(first), *cores]
    if command == "distill":
        chosen = [] if "--penalty" in arguments else ["--penalty", "none"]
        once = [] if "--repeats" in arguments else ["--repeats", "1"]
        quick = [] if "--budget" in arguments else ["--budget", "quick"]
        return [*arguments, *quick, *chosen, *once]
    if command == "plan":
        return [*arguments, "--seconds", "0"]
    if command in ("report", "export") and "pmlb20" in rest:
        return None if command == "report" else arguments
    return arguments


def one_of(dataset: object) -> str:
    from smoothray.datasets import expand

    return next(iter(expand([dataset]))).name


def test_the_study_files_keys_are_those_of_the_models():
    found = runpy.run_path(str(ROOT / "docs" / "study_file.py"))["page"]()
    page = (ROOT / "docs" / "study-file.md").read_text()
    assert page == found, "docs/study-file.md is stale; run: python docs/study_file.py"


def anchors(page: Path) -> set[str]:
    """What headings of a page are linked by, as GitHub does it."""
    titles = re.findall(r"^#+ (.*)$", re.sub(BLOCK, "", page.read_text()), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text()):
            if not target.startswith("http"):
                there = (page.parent / target) if target else page
                assert there.exists(), f"{page}: {target}"
                assert not anchor or anchor in anchors(there), f"{page}: {target}#{anchor}"


def test_the_scientists_example(reader, capsys):
    main = runpy.run_path(str(ROOT / "examples" / "scientist.py"))["main"]
    main("mine.csv", "y")
    told = capsys.readouterr().out
    assert told.startswith("y = ") and "without a teacher" in told
    module = runpy.run_path("formula.py")
    table = pd.read_csv("mine.csv")
    found = module["predict"](table)
    assert np.corrcoef(found, table["y"])[0, 1] > 0.97


def test_the_researchers_example(folder):
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "researcher.py")],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = ended.stdout
    assert "few_inputs: " in told
    plain, few = re.findall(r"slopes of the teacher: \[(.*)\]", told)
    idle = [sum(map(float, line.split()[5:])) for line in (plain, few)]
    assert idle[1] < 0.7 * idle[0]
    jacobians = [float(value) for value in re.findall(r"Jacobian (\d+)", told)]
    assert jacobians[1] < jacobians[0]


@pytest.mark.ray
@pytest.mark.slow
def test_the_example_of_a_study(reader, figures_drawn, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["study.py", "mine.csv", "y"])
    runpy.run_path(str(ROOT / "examples" / "study.py"))
    told = capsys.readouterr().out
    assert "12 of 12 trials recorded" in told
    assert "own-table-report" in told
    assert (reader / "own-table-report" / "report.html").exists()
