"""Studies: read from YAML, refused in plain words, and what may change while they keep their name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smoothray.datasets import expand, load_dataset
from smoothray.errors import SmoothrayError, StudentError, StudyError
from smoothray.penalties import PENALTIES
from smoothray.records.identity import continued
from smoothray.study import Study, load_study, parse_study
from smoothray.study.plan import arms
from smoothray.study.settings import default_strengths

SEARCH_SPACES = sorted((Path(__file__).parent.parent / "search_spaces").glob("*.yaml"))
SMALL = {"name": "small", "datasets": ["sklearn:iris"]}


def small(**changes: object) -> Study:
    return parse_study({**SMALL, **changes})


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


# ---- reading


def test_everything_but_datasets_has_a_default(tmp_path):
    study = load_study(write(tmp_path, "datasets: offline\n"))
    assert study.name == "mine"
    assert len(expand(study.datasets)) == 6
    assert study.baselines == ("none", "direct")
    assert [student.name for student in study.students] == ["operon"]
    assert study.students[0].selection == "fidelity"


def test_a_full_study_is_read(tmp_path):
    study = load_study(
        write(
            tmp_path,
            """
            name: full
            datasets:
              - sklearn:iris
              - {file: some.csv, target: y}
            trials: 3
            penalties:
              jacobian: [1e-3, 0.1]
              lipschitz: {loguniform: [1e-3, 1], samples: 4}
              weight_decay:
            augment: [0, 2]
            teacher: {hidden: [8, 8], activation: relu, ensemble: [1, 3], learning_rate: 1e-2}
            students:
              - gplearn
              - {name: operon, budget: standard, max_size: 20, options: {generations: 9}}
            seed: 7
            """,
        )
    )
    # YAML reads 1e-3 as text; people mean the number.
    assert study.penalties["jacobian"].values == (0.001, 0.1)
    assert study.teacher.learning_rate == 0.01
    assert len(study.penalties["lipschitz"].of("any")) == 4
    assert study.penalties["weight_decay"].values == default_strengths("weight_decay")
    assert [student.name for student in study.students] == ["gplearn", "operon"]
    assert study.students[1].build().settings["generations"] == 9
    # (none 5 times + 2 + 4 + 5 strengths) × 2 augmentations × 2 ensembles, and direct 5 times.
    assert len(arms(study, "iris")) == 16 * 2 * 2 + 5


def test_shorthands():
    assert small(datasets="offline").datasets == ("offline",)
    assert small(datasets={"file": "a.csv", "target": "y"}).datasets[0]["target"] == "y"
    assert small(student="gplearn") == small(students=[{"name": "gplearn"}])
    assert small(augment=2).augment == (2,)
    assert small(teacher={"ensemble": 3}).teacher.ensemble == (3,)
    assert small(penalties=["jacobian"]) == small(penalties={"jacobian": None})
    assert small(penalties={"jacobian": 0.1}) == small(penalties={"jacobian": [0.1]})


def test_options_override_the_file(tmp_path):
    file = write(tmp_path, "datasets: offline\ntrials: 5\n")
    study = load_study(file, {"trials": 2, "name": "other"})
    assert (study.trials, study.name) == (2, "other")


@pytest.mark.parametrize("file", SEARCH_SPACES, ids=lambda file: file.stem)
def test_search_spaces_can_run(file):
    study = load_study(file)
    assert study.name == file.stem
    if any(spec.source == "pmlb" for spec in expand(study.datasets)) and not os.environ.get(
        "SMOOTHRAY_DATA"
    ):
        pytest.skip("SMOOTHRAY_DATA names no folder with PMLB's data")
    files = [Path(spec.path) for spec in expand(study.datasets) if spec.source == "file"]
    if not all(map(Path.exists, files)):
        pytest.skip("the files that it names are not here")
    study.check(available=False)
    for spec in expand(study.datasets):
        assert len(arms(study, spec.name)) >= 2
    load_dataset(expand(study.datasets)[0])


def test_search_spaces_are_there():
    assert "quickstart" in {file.stem for file in SEARCH_SPACES}


# ---- refusals: a line each, that says what to do

REFUSED = {
    "unknown key": (
        "datasets: offline\ntrails: 5",
        "unknown key 'trails'; did you mean 'trials'?",
    ),
    "unknown key within": (
        "datasets: offline\nteacher: {hiden: [8]}",
        "unknown key 'hiden' in 'teacher'; did you mean 'hidden'?",
    ),
    "unknown key of a student": (
        "datasets: offline\nstudent: {nam: operon}",
        "unknown key 'nam' in 'student'; did you mean 'name'?",
    ),
    "unknown key of strengths": (
        "datasets: offline\npenalties: {jacobian: {logunifrm: [1, 2]}}",
        "unknown key 'logunifrm' in 'penalties: jacobian'; did you mean 'loguniform'?",
    ),
    "unknown key unlike any": ("datasets: offline\nqqq: 5", "unknown key 'qqq'; it takes name, "),
    "negative strength": (
        "datasets: offline\npenalties: {jacobian: [0.1, -0.1]}",
        "penalties: jacobian: a strength must be a number of at least 0, not -0.1",
    ),
    "infinite strength": (
        "datasets: offline\npenalties: {jacobian: [.inf]}",
        "a strength must be a number of at least 0, not inf",
    ),
    "no strength": (
        "datasets: offline\npenalties: {jacobian: []}",
        "give a list of strengths, or one of loguniform and uniform",
    ),
    "two kinds of strengths": (
        "datasets: offline\npenalties: {jacobian: {values: [1], uniform: [1, 2]}}",
        "give a list of strengths, or one of loguniform and uniform",
    ),
    "bounds": (
        "datasets: offline\npenalties: {jacobian: {loguniform: [0, 1]}}",
        "loguniform takes [low, high] with 0 < low < high, not [0.0, 1.0]",
    ),
    "no number": ("datasets: offline\npenalties: {jacobian: [a]}", "penalties: jacobian: number 1 is 'a'"),
    "yes is no strength": ("datasets: offline\npenalties: {jacobian: yes}", "penalties: jacobian is"),
    "unknown penalty": (
        "datasets: offline\npenalties: {jacobi: [0.1]}",
        "unknown penalty 'jacobi'; did you mean 'jacobian'?",
    ),
    "baseline as penalty": (
        "datasets: offline\npenalties: {none: [0.1]}",
        "'none' takes no strength; list it under 'baselines'",
    ),
    "penalties as a list of mappings": (
        "datasets: offline\npenalties:\n  - jacobian: [0.1]",
        "write each penalty with its strengths, as in 'jacobian: [0.01, 0.1]'",
    ),
    "unknown baseline": ("datasets: offline\nbaselines: [plain]", "baselines: number 1 is 'plain'"),
    "nothing to run": ("datasets: offline\nbaselines: []", "there is nothing to run"),
    "student and students": (
        "datasets: offline\nstudent: operon\nstudents: [operon]",
        "give either 'student' or 'students', not both",
    ),
    "a student twice": ("datasets: offline\nstudents: [operon, operon]", "may stand once"),
    "no student": ("datasets: offline\nstudents: []", "students is []"),
    "a number as student": ("datasets: offline\nstudents: [5]", "students: number 1 is 5: write a mapping"),
    "unknown selection": (
        "datasets: offline\nstudent: {selection: best}",
        "student: selection is 'best': input should be 'fidelity', 'accuracy' or 'native'",
    ),
    "option beside options": (
        "datasets: offline\nstudent: {options: {budget: quick}}",
        "'budget' stands beside 'options', not in it",
    ),
    "option without a number": (
        "datasets: offline\nstudent: {options: {generations: many}}",
        "'generations' is 'many'; give a number",
    ),
    "no trials": ("datasets: offline\ntrials: 0", "trials is 0: input should be greater than"),
    "no datasets": ("trials: 5", "the key 'datasets' is missing"),
    "datasets of no kind": ("datasets: 5", "datasets is 5: write a list"),
    "axis": ("datasets: offline\naugment: [1, 1]", "augment takes whole numbers of at least 0"),
    "ensemble": ("datasets: offline\nteacher: {ensemble: 0}", "whole numbers of at least 1"),
    "activation": ("datasets: offline\nteacher: {activation: sin}", "teacher: activation is 'sin'"),
    "name": ("name: a/b\ndatasets: offline", "name is 'a/b'"),
    "a name with a space": (
        "name: my study\ndatasets: offline",
        "a study's name is of letters, digits, '_', '.' and '-', and begins with a letter or digit; "
        "'my-study' would do",
    ),
    "not YAML": ("datasets: [a", "is not YAML: "),
    "empty": ("", "holds no study; it must be a mapping with 'name' and 'datasets'"),
    "a list": ("- a\n- b", "holds no study"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), REFUSED.values(), ids=REFUSED)
def test_wrong_files_are_refused_in_one_line(tmp_path, text, told):
    file = write(tmp_path, text)
    with pytest.raises(StudyError) as refused:
        load_study(file)
    message = str(refused.value)
    assert message.startswith(str(file))
    assert told in message
    assert "\n" not in message


def test_each_mistake_has_its_line():
    with pytest.raises(StudyError) as refused:
        small(trials=0, trails=5, penalties={"jacobian": [-1]})
    assert len(str(refused.value).splitlines()) == 3


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(StudyError, match="cannot read the study file .*No such file"):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(StudyError, match="Is a directory"):
        load_study(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(StudyError, match="is not YAML"):
        load_study(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"datasets": ["sklearn:iriss"]}, "did you mean 'iris'"),
        ({"datasets": ["pmlb:machine_cpu"]}, "did you mean '230_machine_cpu'"),
        ({"datasets": ["openml:iris"]}, "unknown source 'openml'"),
        ({"datasets": "ofline"}, "did you mean 'offline'"),
        ({"datasets": []}, "no data set is named"),
        ({"datasets": ["sklearn:iris", "sklearn:iris"]}, "two data sets are named 'iris'"),
        ({"datasets": {"file": "nowhere.csv", "target": "y"}}, "nowhere.csv"),
        ({"student": "operonn"}, "unknown student 'operonn'; did you mean 'operon'?"),
        ({"student": {"budget": "fast"}}, "fast"),
        ({"student": {"operators": ["plus"]}}, "plus"),
        ({"student": {"options": {"generation": 5}}}, "generation"),
        ({"student": {"max_size": 1}}, "max_size is 1"),
    ],
)  # fmt: skip
def test_data_sets_and_students_are_checked_before_any_work(changes, told):
    with pytest.raises(SmoothrayError) as refused:
        small(**changes).check()
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_student_that_cannot_run_here_is_refused(monkeypatch):
    for name in ("PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_JULIAPKG_EXE", "/no/such/julia")
    study = small(student="pysr")
    with pytest.raises(StudyError, match="'pysr' cannot run here: .*julia.*doctor"):
        study.check()
    study.check(available=False)
    with pytest.raises(StudentError, match="max_size"):
        small(student={"name": "pysr", "max_size": 5}).check(available=False)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"populations": 0}, "pysr: populations is 0; give a whole number of at least 1"),
        ({"niterations": 2.5}, "pysr: niterations is 2.5; give a whole number of at least 1"),
        (
            {"population_size": 15},
            "pysr: population_size is 15; give a whole number of at least 16",
        ),
    ],
)
def test_options_that_the_search_would_refuse_are_refused_before(options, told):
    with pytest.raises(StudentError) as refused:
        small(student={"name": "pysr", "options": options}).check(available=False)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("datasets: offline\ntrails: 5", (), "did you mean 'trials'?"),
        ("datasets: [sklearn:iriss]", (), "did you mean 'iris'?"),
        ("datasets: offline", ("--student", "operonn"), "did you mean 'operon'?"),
        ("datasets: offline", ("--budget", "fast"), "fast"),
        ("datasets: offline", ("--device", "tpu"), "teacher: device is 'tpu'"),
        ("datasets: offline", ("--datasets", "iriss"), "did you mean 'iris'? (it has diabetes, "),
        ("datasets: offline\nstudents: [operon, gplearn]", ("--budget", "quick"), "several students"),
        ("", (), "holds no study"),
    ],
)  # fmt: skip
def test_the_command_line_tells_it_in_a_line(main, place, text, options, told):
    ended = main("run", write(place, text), *options)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ") and told in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not (place / ".smoothray").exists()


# ---- strengths


def test_drawn_strengths_stay_when_samples_grow():
    few, many = (
        small(penalties={"jacobian": {"loguniform": [1e-3, 1], "samples": n}}) for n in (3, 8)
    )
    drawn = few.penalties["jacobian"].of(0, "iris", "jacobian")
    assert many.penalties["jacobian"].of(0, "iris", "jacobian")[:3] == drawn
    assert set(arms(few, "iris")) < set(arms(many, "iris"))
    assert len(set(drawn)) == 3
    assert all(1e-3 <= strength <= 1 for strength in drawn)


def test_drawn_strengths_depend_on_seed_and_data_set():
    drawn = small(penalties={"jacobian": {"uniform": [0, 1]}}).penalties["jacobian"]
    assert drawn.of(0, "iris", "jacobian") != drawn.of(1, "iris", "jacobian")
    assert drawn.of(0, "iris", "jacobian") != drawn.of(0, "wine", "jacobian")


def test_default_strengths_span_the_penalty_s_range():
    for name, penalty in PENALTIES.items():
        if penalty.has_strength():
            grid = default_strengths(name)
            assert len(grid) >= 5
            assert (grid[0], grid[-1]) == pytest.approx(penalty.default_range)


# ---- identity

MAY_GROW = {
    "datasets": "offline",
    "trials": 50,
    "penalties": {"lipschitz": None},
    "baselines": ["direct"],
    "augment": [0, 1],
    "teacher": {"ensemble": [1, 2], "device": "cpu", "gpu_share": 1},
    "students": [{"name": "operon", "timeout": 5}, {"name": "gplearn"}],
}
MAY_NOT = {
    "seed": (1, "seed was 0, now is 1"),
    "teacher": ({"steps": 50}, "teacher.steps was 2000, now is 50"),
    "student": ({"budget": "thorough"}, "students.operon.budget was quick, now is thorough"),
    "students": (
        [{"name": "gplearn"}, {"name": "operon", "selection": "accuracy"}],
        "students.operon.selection was fidelity, now is accuracy",
    ),
}


@pytest.mark.parametrize("key", MAY_GROW)
def test_a_study_may_grow(key):
    before, now = small().identity(), small(**{key: MAY_GROW[key]}).identity()
    grown = continued("small", before, now)
    assert grown["students"] == {**before["students"], **now["students"]}
    assert (grown["seed"], grown["teacher"]) == (before["seed"], before["teacher"])


@pytest.mark.parametrize("key", MAY_NOT)
def test_any_other_difference_is_refused_and_shown(key):
    value, told = MAY_NOT[key]
    with pytest.raises(StudyError) as refused:
        continued("small", small().identity(), small(**{key: value}).identity())
    assert told in str(refused.value)
    assert "--name" in str(refused.value)


def test_a_strength_is_fixed_before_its_penalty_has_records():
    before = small(penalties={"jacobian": [0.1, 1.0]}).identity()
    after = small(penalties={"jacobian": [0.1, 1.0]}, fixed={"jacobian": 0.1}).identity()
    assert continued("small", before, after, {"lipschitz"})["fixed"] == {"jacobian": 0.1}
    for first, then, told in (
        (before, after, "was None, now is 0.1"),
        (after, before, "was 0.1, now is None"),
    ):
        with pytest.raises(StudyError, match=f"fixed.jacobian {told}"):
            continued("small", first, then, {"jacobian"})


def test_a_student_that_came_later_is_held_to_its_settings_too():
    grown = continued("small", small().identity(), small(student="gplearn").identity())
    assert set(grown["students"]) == {"operon", "gplearn"}
    changed = small(student={"name": "gplearn", "budget": "standard"})
    with pytest.raises(StudyError, match=r"students.gplearn.budget was quick, now is standard"):
        continued("small", grown, changed.identity())


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    file = tmp_path / "many.yaml"
    file.write_text(
        "name: many\ntrials: 0\nseed: -1\nstudent: {selection: best, budgt: quick}\n"
        "penalties: {jacobi: [1], none: [1]}\nscheduler: fast\n"
    )
    with pytest.raises(StudyError) as refused:
        load_study(file)
    lines = str(refused.value).splitlines()
    assert len(lines) == 8 and all(line.startswith(f"{file}: ") for line in lines)
    wrong = [f"k{number}: 1" for number in range(14)]
    file.write_text("\n".join(["datasets: offline", *wrong]))
    with pytest.raises(StudyError) as refused:
        load_study(file)
    lines = str(refused.value).splitlines()
    assert len(lines) == 11 and lines[-1].endswith("and 4 more")
