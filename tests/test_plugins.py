"""Penalties, students and data sets that are not ours: found, refused in a line, shipped, and at work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import clean_environment
from test_penalties import _seen_by, _weights

import smoothray
from smoothray import Penalty, SymbolicDistiller, smooth_finetune
from smoothray.commands.doctor import findings
from smoothray.datasets import check_spec, expand, load_dataset, parse_spec
from smoothray.errors import DataError, PluginError, SmoothrayError, StudyError
from smoothray.penalties import PENALTIES, find_penalty, try_penalty
from smoothray.plugins import modules_to_ship
from smoothray.students import Student, find_student
from smoothray.study import load_study, parse_study

PLUGINS = """
import numpy as np
import pandas as pd
from sympy import Float, Symbol

from helpers_of_{module} import squares
from smoothray import Penalty, RawFormula, Student
from smoothray.datasets import from_frame


class Slopes(Penalty):
    name = "slopes"
    default_range = (1e-3, 1.0)
    uses_gradients = True

    def __call__(self, network):
        return squares(network.gradients).sum(2).mean(1)


class NoRange(Slopes):
    default_range = None


class Line(Student):
    name = "line"
    packages = ("numpy",)
    budgets = {{"quick": {{}}, "standard": {{}}}}
    operators = ("add", "mul")
    vocabulary = {{"add": "+", "mul": "*"}}

    def _search(self, X, y, seed):
        for i in range(X.shape[1]):
            slope, offset = map(float, np.polyfit(X[:, i], y, 1))
            expr = Float(offset) + Float(slope) * Symbol(f"x{{i}}")
            yield RawFormula(lambda expr=expr: expr, offset + slope * X[:, i])


class NotASubclass:
    pass


class Unfinished(Penalty):
    name = "unfinished"


class Nameless(Penalty):
    def __call__(self, network):
        return network.outputs.mean(1)


class NoBudgets(Student):
    name = "no budgets"
    packages = ()

    def _search(self, X, y, seed):
        return []


class Scalar(Slopes):
    def __call__(self, network):
        return super().__call__(network).sum()


class Raises(Slopes):
    def __call__(self, network):
        raise RuntimeError("two\\nlines")


class WithoutGradients(Slopes):
    uses_gradients = False


class Detached(Slopes):
    def __call__(self, network):
        return super().__call__(network).detach()


class Mixes(Slopes):
    def __call__(self, network):
        return super().__call__(network) + network.outputs.square().mean()


class Number(Slopes):
    def __call__(self, network):
        return 1.0


class Endless(Slopes):
    def __call__(self, network):
        return super().__call__(network) / 0


def table():
    x = np.linspace(0, 1, 40)
    return pd.DataFrame({{"x": x, "z": np.cos(9 * x), "y": x**2}})


def with_target():
    return table(), "y"


def dataset():
    return from_frame(table(), "y")


def broken():
    return 1 / 0


def nothing():
    return None
"""


@pytest.fixture
def module(place: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module in the current folder, of which nothing is left afterwards."""
    name = f"plugin_{abs(hash(request.node.nodeid))}"
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each not in ("", str(place))])
    write(place, name)
    yield name
    for each in [each for each in sys.modules if name in each]:
        del sys.modules[each]


def write(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text(PLUGINS.format(module=name))
    (folder / f"helpers_of_{name}.py").write_text("def squares(x):\n    return x.square()\n")


def install(folder: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installed package leaves: its module and its entry points, on the path."""
    write(folder, module)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        f"[smoothray.penalties]\nshort_slopes = {module}:Slopes\nlost = {module}_gone:Slopes\n"
        f"[smoothray.students]\nshort_line = {module}:Line\n"
    )
    monkeypatch.syspath_prepend(folder)


def small(**changes):
    return parse_study({"name": "small", "datasets": "sklearn:iris", **changes})


# ---- found


def test_by_short_name_import_path_and_registration(module, monkeypatch):
    assert find_penalty("jacobian") is PENALTIES["jacobian"]
    found = find_penalty(f"{module}:Slopes")
    assert issubclass(found, Penalty) and found is sys.modules[module].Slopes
    assert issubclass(find_student(f"{module}:Line"), Student)
    monkeypatch.setitem(PENALTIES, "mine", found)
    assert find_penalty("mine") is found


def test_the_current_folder_comes_last_and_once(module, place):
    for _ in range(2):
        find_penalty(f"{module}:Slopes")
    assert sys.path.count(str(place)) == 1 and sys.path[-1] == str(place)


def test_by_entry_point(module, tmp_path_factory, monkeypatch):
    install(tmp_path_factory.mktemp("site"), f"{module}_installed", monkeypatch)
    assert find_penalty("short_slopes").name == "slopes"
    assert find_student("short_line").name == "line"
    assert list(small(penalties=["short_slopes"]).penalties) == ["short_slopes"]
    with pytest.raises(PluginError, match="did you mean 'short_slopes'"):
        find_penalty("short_slope")
    listed = {(f.kind, f.name): f for f in findings() if "plug-in" in f.kind}
    assert listed["penalty plug-in", "short_slopes"].works
    assert listed["student plug-in", "short_line"].works
    lost = listed["penalty plug-in", "lost"]
    assert not lost.works and f"no module {module}_installed_gone" in lost.detail


@pytest.mark.parametrize("quote", ["", "'", '"'])
@pytest.mark.parametrize(
    "form", ["penalties: {{{}: [0.01, 0.1]}}", "penalties:\n  {}: [0.01, 0.1]", "penalties: [{}]"]
)
def test_in_a_study_file_quoted_or_not(module, place, quote, form):
    name = f"{module}:Slopes"
    text = f"datasets: sklearn:iris\n{form.format(quote + name + quote)}\nstudents: [{{name: {module}:Line}}]"
    (place / "mine.yaml").write_text(text)
    study = load_study("mine.yaml")
    study.check()
    assert list(study.penalties) == [name]
    assert len(study.penalties[name].values) == (5 if form.endswith("[{}]") else 2)
    assert study.students[0].name == f"{module}:Line"


@pytest.mark.parametrize("name", sorted(PENALTIES) + ["own"])
def test_the_contract_takes_plug_ins(name, module):
    penalty = find_penalty(f"{module}:Slopes" if name == "own" else name)()
    matrices = _weights()
    values = penalty(_seen_by(penalty, matrices))
    assert values.shape == (4,) and torch.isfinite(values).all()


# ---- refused

WRONG = {
    "nowhere_at_all:Mine": "no module nowhere_at_all in the current folder",
    "{module}s:Slopes": "did you mean '{module}'?",
    "{module}:Slope": "there is no Slope in {module}",
    "{module}:NotASubclass": "must be a subclass of smoothray.Penalty",
    "{module}:Line": "must be a subclass of smoothray.Penalty",
    "{module}:table": "must be a subclass of smoothray.Penalty",
    "{module}:Unfinished": "it lacks the method __call__",
    "{module}:Nameless": "it lacks the attribute name",
    "{module}:NoRange": "has no default_range; give its strengths",
    "{module}:Scalar": "gave shape () for 2 networks; it must give one number for each",
    "{module}:Raises": "RuntimeError: two lines",
    "{module}:WithoutGradients": "uses_gradients = True",
    "{module}:Detached": "it must stay differentiable",
    "{module}:Mixes": "mixes networks",
    "{module}:Number": "gave a float; it must give a tensor",
    "{module}:Endless": "gave [inf, inf]",
    "{module}:": "is no import path",
    "a-b:C": "is no import path",
    "..a:C": "is no import path",
    "fails_{module}:Slopes": "cannot be imported, for the penalty 'fails_{module}:Slopes': ZeroDivisionError",
    "lacks_{module}:Slopes": "No module named 'not_there_either'",
    "exits_{module}:Slopes": "SystemExit",
    "slopes": "unknown penalty 'slopes'",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_penalty_is_refused_in_a_line_before_any_work(name, module, place):
    (place / f"fails_{module}.py").write_text("1 / 0")
    (place / f"lacks_{module}.py").write_text("import not_there_either")
    (place / f"exits_{module}.py").write_text("import sys; sys.exit(3)")
    given, told = name.format(module=module), WRONG[name].format(module=module)
    with pytest.raises(StudyError) as refused:
        small(penalties=[given]).check()
    assert told in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(ValueError) as unfit:
        SymbolicDistiller(given).fit(np.ones((40, 2)), np.arange(40))
    assert told in str(unfit.value) and "\n" not in str(unfit.value)


def test_strengths_stand_in_for_a_default_range(module):
    name = f"{module}:NoRange"
    study = small(penalties={name: [0.1]})
    study.check()
    assert study.penalties[name].values == (0.1,)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere_at_all:Mine", "no module nowhere_at_all"),
        ("{module}:Lin", "did you mean 'Line'?"),
        ("{module}:Slopes", "must be a subclass of smoothray.Student"),
        ("{module}:NoBudgets", "it lacks the attribute budgets and the attribute vocabulary"),
        ("lime", "unknown student 'lime'"),
    ],
)
def test_a_wrong_student_is_refused_in_a_line_before_any_work(name, told, module):
    given = name.format(module=module)
    with pytest.raises(StudyError) as refused:
        small(student=given).check()
    assert told in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(ValueError) as unfit:
        SymbolicDistiller("none", student=given).fit(np.ones((40, 2)), np.arange(40))
    assert told in str(unfit.value)


def test_the_command_line_says_it_in_a_line(main, module, place):
    (place / "mine.csv").write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(40)))
    (place / "mine.yaml").write_text("datasets: sklearn:iris\npenalties: [nowhere_at_all:Mine]")
    for arguments in (
        ("run", "mine.yaml"),
        ("distill", "mine.csv", "--target", "y", "--penalty", "nowhere_at_all:Mine"),
        ("distill", "mine.csv", "--target", "y", "--student", "nowhere_at_all:Mine"),
    ):
        ended = main(*arguments)
        assert ended.returncode == 2 and ended.stderr.count("\n") == 1
        assert "no module nowhere_at_all in the current folder" in ended.stderr
    assert not (place / ".smoothray").exists()


# ---- data


@pytest.mark.parametrize(
    "spec", ["{module}:with_target", "{module}:dataset", {"load": "{module}:table", "target": "y"}]
)
def test_a_function_makes_a_data_set(spec, module):
    if isinstance(spec, dict):
        spec = {key: text.format(module=module) for key, text in spec.items()}
    else:
        spec = spec.format(module=module)
    (found,) = expand([spec])
    check_spec(found)
    data = load_dataset(found)
    assert (data.name, data.target, data.feature_names) == (found.name, "y", ("x", "z"))
    assert parse_spec(found) is found and parse_spec({"load": found.path, "target": "y"}).path
    same = load_dataset(parse_spec({"load": f"{module}:table", "target": "y", "name": "other"}))
    assert same.name == "other" and same.fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("{module}:tables", "did you mean 'table'?"),
        ("{module}:table", "which column is the target?"),
        ("{module}:broken", "fails: ZeroDivisionError: division by zero"),
        ("{module}:nothing", "gave a NoneType; return a pandas frame"),
        ("{module}s:table", "unknown source"),
        ({"load": "nowhere_at_all:f", "target": "y"}, "no module nowhere_at_all"),
        ({"load": "{module}:table", "taget": "y"}, "did you mean 'target'?"),
        ({"load": "{module}:np", "target": "y"}, "is no function"),
        ({"load": "{module}:table", "target": "w"}, "there is no column 'w'"),
    ],
)
def test_a_wrong_function_is_refused_in_a_line(spec, told, module):
    if isinstance(spec, dict):
        spec = {key: text.format(module=module) for key, text in spec.items()}
    else:
        spec = spec.format(module=module)
    with pytest.raises(DataError) as refused:
        load_dataset(parse_spec(spec))
    assert told in str(refused.value) and "\n" not in str(refused.value)


# ---- shipped


def test_what_is_not_installed_is_shipped_with_what_stands_beside_it(module, place):
    package = place / f"package_{module}"
    package.mkdir()
    (package / "inner.py").write_text(f"from {module} import Slopes, Line")
    names = ["jacobian", "operon", "sklearn.linear_model:Ridge"]
    assert modules_to_ship(names) == []
    files = {str(place / f"{name}.py") for name in (module, f"helpers_of_{module}")}
    assert set(modules_to_ship([*names, f"{module}:Slopes", f"{module}:Line"])) == files
    study = small(penalties=[f"package_{module}.inner:Slopes"], student=f"{module}:Line")
    assert set(study.modules()) == {*files, str(package)}


SHIP = """
import os, sys
from pathlib import Path
import ray
from ray.cluster_utils import Cluster

home, away = Path("home").resolve(), Path("away").resolve()
os.chdir(home)
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
os.chdir(away)
cluster.add_node(num_cpus=1, resources={"away": 1})
os.chdir(home)
os.environ["RAY_ADDRESS"] = cluster.address

from smoothray.scheduling.session import ray_session
from smoothray.study import parse_study

study = parse_study({"name": "s", "datasets": "sklearn:iris", "penalties": ["MODULE:Slopes"]})
with ray_session(None, study.modules()):
    home.rename("gone")  # no process finds the files where they were

    @ray.remote(num_cpus=1, resources={"away": 1})
    class Away:
        def look(self):
            from smoothray.penalties import find_penalty

            place = sys.modules[find_penalty("MODULE:Slopes").__module__].__file__
            return os.getpid(), os.getcwd(), os.environ.get("MARK"), place

    actor = Away.options(runtime_env={"env_vars": {"MARK": "set"}}).remote()
    pid, where, mark, place = ray.get(actor.look.remote(), timeout=120)
assert pid != os.getpid() and where == str(away) and mark == "set"
assert "runtime_resources/py_modules_files" in place and not place.startswith(str(home)), place
print("shipped")
cluster.shutdown()
"""


@pytest.mark.ray
def test_another_machine_gets_the_files(module, place):
    for name in ("home", "away"):
        (place / name).mkdir()
    write(place / "home", f"far_{module}")
    script = SHIP.replace("MODULE", f"far_{module}")
    (place / "ship.py").write_text(script.replace('home.rename("gone")', 'home.rename("../gone")'))
    ended = subprocess.run(
        [sys.executable, "ship.py"],
        cwd=place, env=clean_environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "shipped" in ended.stdout, ended.stderr


# ---- at work


def table(rows=60):
    X = pd.DataFrame(np.random.default_rng(0).uniform(-1, 1, (rows, 2)), columns=["a", "b"])
    return X, 2 * X["a"] + 0.1 * X["b"] ** 2


QUICK = {"budget": "quick", "teacher_options": {"steps": 50}, "random_state": 0}


def test_a_distiller_takes_both_in_two_processes(module):
    X, y = table()
    names = f"{module}:Slopes", f"{module}:Line"
    alone, two = (
        SymbolicDistiller(names[0], [0.01, 0.1], names[1], n_jobs=jobs, **QUICK).fit(X, y)
        for jobs in (1, 2)
    )
    assert two.penalty_ == names[0] and two.formula_ == alone.formula_
    assert "a" in two.formula_ and two.score(X, y) > 0.9


def test_the_processes_of_a_grid_search_know_them(module):
    from sklearn.model_selection import GridSearchCV

    grid = {"penalty": [f"{module}:Slopes", "none"]}
    model = SymbolicDistiller(student=f"{module}:Line", **QUICK)
    search = GridSearchCV(model, grid, cv=2, n_jobs=2, error_score="raise").fit(*table())
    assert search.best_score_ > 0.8


def test_fine_tuning_takes_them(module):
    X, y = table()
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    assert smooth_finetune(network, X, y, f"{module}:Slopes", 0.1, steps=10)
    with pytest.raises(SmoothrayError, match="gave shape"):
        smooth_finetune(network, X, y, f"{module}:Scalar", 0.1, steps=10)


SCRIPT = """
import smoothray
from test_plugins import QUICK, table
from MODULE import Line, Slopes


class Mine(Slopes):
    name = "mine"


class MyLine(Line):
    name = "my line"


smoothray.PENALTIES["mine"] = Mine
smoothray.students.STUDENTS["my line"] = MyLine
model = smoothray.SymbolicDistiller("mine", [0.01, 0.1], "my line", n_jobs=2, **QUICK).fit(*table())
print(model.penalty_, model.student, model.formula_)
"""


def test_what_a_script_registers_works_in_two_processes(module, place):
    (place / "script.py").write_text(
        "import smoothray.students\n" + SCRIPT.replace("MODULE", module)
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    ended = subprocess.run(
        [sys.executable, "script.py"], cwd=place, env=clean_environment() | {"PYTHONPATH": path},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert ended.stdout.startswith("mine my line "), ended.stderr


def test_a_study_file_names_them(module, place, main):
    (place / "mine.yaml").write_text(
        f"{{datasets: ['{module}:with_target'], trials: 2, baselines: [none], restarts: 1, "
        f"penalties: {{'{module}:Slopes': [0.01, 0.1]}}, teacher: {{steps: 50}}, student: '{module}:Line'}}"
    )
    ended = main("plan", "mine.yaml", "--seconds", 1, "--cores", 2)
    assert "6 fits, 0 recorded; to do: 6 fits and 3 banks" in " ".join(ended.stdout.split())
    assert f"students' processes ({module}:Line)" in " ".join(ended.stdout.split())


def test_a_penalty_registered_at_run_time_is_tried_too(monkeypatch, module):
    find_penalty(f"{module}:Scalar")
    monkeypatch.setitem(PENALTIES, "scalar", sys.modules[module].Scalar)
    with pytest.raises(PluginError, match="gave shape"):
        try_penalty("scalar")
    assert smoothray.PENALTIES["scalar"] is find_penalty("scalar")


def test_a_study_refuses_what_only_this_process_knows(monkeypatch, module):
    monkeypatch.setitem(PENALTIES, "mine", find_penalty(f"{module}:Slopes"))
    mine = parse_study({"name": "s", "datasets": "offline", "penalties": {"mine": [0.1]}})
    with pytest.raises(StudyError, match="in this process alone.*such as my_module:Slopes"):
        mine.check()
