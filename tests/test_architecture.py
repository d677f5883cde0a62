"""Who may import what: read from the sources, and seen in fresh processes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import smoothray

ROOT = Path(smoothray.__file__).parent
HEAVY = ("torch", "ray", "mlflow", "pysr", "juliacall")


def imports(file: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands, but not for types alone."""
    found: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped |= {inner for part in node.body for inner in ast.walk(part)}
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def importers(package: Path, module: str) -> set[str]:
    """The files below a folder that import a module or a part of it."""
    return {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if any(name == module or name.startswith(module + ".") for name in imports(file))
    }


def test_only_scheduling_imports_ray():
    found = importers(ROOT, "ray")
    assert found
    assert all(file.startswith("scheduling/") for file in found)


def test_only_tracking_imports_mlflow():
    files = {f"records/{name}.py" for name in ("connection", "tracker", "models", "served")}
    assert importers(ROOT, "mlflow") == files


def test_only_its_student_imports_pysr():
    assert importers(ROOT, "pysr") == {"students/pysr.py"}
    assert importers(ROOT, "pyoperon") == {"students/operon.py"}
    assert importers(ROOT, "gplearn") == {"students/gplearn.py"}


@pytest.mark.parametrize(
    "folder", ["students", "datasets", "formulas", "search", "study", "records"]
)
def test_these_never_import_torch(folder):
    found = importers(ROOT / folder, "torch")
    assert found == ({"module.py"} if folder == "formulas" else set())
    teachers = importers(ROOT / folder, "smoothray.teachers")
    assert teachers == importers(ROOT / folder, "smoothray.teachers.defaults")


FOLDERS = (
    "datasets", "penalties", "formulas", "metrics", "students", "teachers", "study", "distillation",
    "records", "search", "scheduling", "commands", "cli",
)  # fmt: skip
"""Each may import those before it; errors.py, seeds.py and plugins.py stand below all."""


def test_every_folder_has_its_place():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(FOLDERS)
    assert {path.name for path in ROOT.glob("*.py")} == {
        "__init__.py",
        "errors.py",
        "plugins.py",
        "seeds.py",
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_those_before_it(folder):
    for above in FOLDERS[FOLDERS.index(folder) + 1 :]:
        assert importers(ROOT / folder, f"smoothray.{above}") == set(), f"{folder} imports {above}"


def test_what_stands_below_all_imports_nothing_of_ours():
    for name in ("errors.py", "seeds.py"):
        assert not [module for module in imports(ROOT / name) if module.startswith("smoothray")]
    ours = {module for module in imports(ROOT / "plugins.py") if module.startswith("smoothray")}
    assert all(module.startswith("smoothray.errors") for module in ours)


@pytest.mark.parametrize("folder", ["search", "scheduling", "records", "distillation"])
def test_what_runs_a_study_needs_no_analysis(folder):
    assert importers(ROOT / folder, "smoothray_analysis") == set()


def test_the_analysis_reads_records_and_nothing_else():
    import smoothray_analysis

    package = Path(smoothray_analysis.__file__).parent
    for module in ("ray", "torch", "smoothray"):
        assert importers(package, module) == set()
    assert importers(package, "mlflow") == set()


def loaded(program: str) -> list[str]:
    """Which of HEAVY a fresh process has loaded after a program."""
    ending = f"import json, sys; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{ending}"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


HELP = """
import sys
from smoothray.cli import app
app({arguments!r}, standalone_mode=False)
"""
CHECK = """
from smoothray.study import parse_study
parse_study({'name': 's', 'datasets': 'offline', 'penalties': ['jacobian']}).check()
"""


@pytest.mark.parametrize(
    "program",
    [
        "import smoothray",
        HELP.format(arguments=["--help"]),
        HELP.format(arguments=["run", "--help"]),
        HELP.format(arguments=["datasets"]),
        CHECK,
        "import smoothray_analysis",
        "import smoothray.students, smoothray.commands.run, smoothray.distillation.attempts",
        "from smoothray import SymbolicDistiller, measure_smoothness, PENALTIES",
        "from smoothray import Dataset, Study, StudyResult, load_records, load_study, run_study",
    ],
    ids=[
        "package",
        "help",
        "run --help",
        "datasets",
        "study check",
        "analysis",
        "pipeline",
        "library",
        "studies",
    ],
)
def test_light_commands_load_nothing_heavy(program):
    assert loaded(program) == []


def test_scheduling_loads_ray_but_not_torch():
    assert loaded("import smoothray.scheduling.run") == ["ray"]


@pytest.mark.parametrize("module", ["pool", "students", "recording", "trial"])
def test_each_process_loads_what_it_needs(module):
    heavy = ("sympy", "torch", "mlflow", "optuna", "sklearn")
    program = f"import sys, smoothray.scheduling.{module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_what_trains_teachers_loads_no_sympy():
    done = subprocess.run(
        [sys.executable, "-c", "import sys, smoothray.distillation.teaching; print('sympy' in sys.modules)"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False", done.stderr
