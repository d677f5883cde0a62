"""The wheel: all that is used travels in it, and the studies that come along are found by name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import COMMAND, Command, clean_environment

from smoothray.errors import StudyError
from smoothray.study import load_study
from smoothray.study.files import studies, study_file

ROOT = Path(__file__).parent.parent
STUDIES = sorted(file.name for file in (ROOT / "search_spaces").glob("*.yaml"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="of the extra 'test': it builds the wheel")
    place = tmp_path_factory.mktemp("wheel")
    ended = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (file,) = place.glob("*.whl")
    return file


FIND = """
from smoothray.study.files import load_study, study_file
study = load_study("quickstart")
study.check(available=False)
print(study_file("quickstart"))
print(study.name)
"""


def files(package: Path) -> set[str]:
    return {
        file.relative_to(package.parent).as_posix()
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_a_wheel_holds_both_packages_and_the_studies_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = files(ROOT / "smoothray") | files(ROOT / "analysis" / "smoothray_analysis")
    assert any(name.endswith(".jinja") for name in sources)
    assert names == sources | {f"smoothray/search_spaces/{name}" for name in STUDIES}


def test_outside_the_project_an_unpacked_wheel_finds_its_studies(wheel, tmp_path):
    installed, here = tmp_path / "installed", tmp_path / "here"
    zipfile.ZipFile(wheel).extractall(installed)
    here.mkdir()

    def outside(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=here, capture_output=True, text=True, timeout=240,
            env={**clean_environment(), "PYTHONPATH": str(installed)},
        )  # fmt: skip

    found = outside(sys.executable, "-c", FIND)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [
        str(installed / "smoothray" / "search_spaces" / "quickstart.yaml"),
        "quickstart",
    ]
    refused = outside(*COMMAND, "run", "quickstrat")
    assert refused.returncode == 2
    assert "did you mean 'quickstart'? Known by name are little_noise, " in refused.stderr


def test_a_study_is_looked_for_here_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert study_file("quickstart") == ROOT / "search_spaces" / "quickstart.yaml"
    assert studies() == [Path(name).stem for name in STUDIES]
    for folder in ("search_spaces", "."):
        Path(folder).mkdir(exist_ok=True)
        own = Path(folder, "quickstart.yaml")
        own.write_text("datasets: [sklearn:iris]\n")
        assert study_file("quickstart") == own
    Path("quickstart").write_text("name: path\ndatasets: [sklearn:iris]\n")
    assert load_study("quickstart").name == "path"
    Path("mine.yaml").write_text("")
    assert studies()[:2] == ["mine", "quickstart"]


def test_an_unknown_study_is_told_what_there_is(tmp_path, monkeypatch, main: Command):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        StudyError, match=r"No such file or directory\. Known by name are little_noise"
    ):
        load_study("???")
    for command in ("run", "plan", "status"):
        ended = main(command, "pmlb2O")
        assert ended.returncode == 2
        assert "did you mean 'pmlb20'? Known by name are " in ended.stderr, command


def test_a_study_that_comes_along_is_named_as_its_file():
    for name in STUDIES:
        assert load_study(ROOT / "search_spaces" / name).name == Path(name).stem
