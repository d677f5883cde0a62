"""`smoothray distill` on a file with awkward column names, and on files that it must refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Command

from smoothray import SymbolicDistiller
from smoothray.datasets import load_dataset, parse_spec
from smoothray.datasets.splits import holdout
from smoothray.distillation.distilled import Distilled

COLUMNS = ("a b", "x-1", "beta", "E", "lambda")
KEYS = {"formula", "latex", "complexity", "r2_test", "teacher_r2_test", "fidelity_test"}
KEYS |= {"direct_r2_test", "penalty", "strength", "student", "smoothness"}
FILES = {
    *("result.json", "formula.txt", "formula.tex", "formula.py"),
    *("front.csv", "predictions.csv", "model.json", "report.html"),
    *(
        f"{figure}.{kind}"
        for figure in ("predicted", "residuals", "response", "front")
        for kind in ("png", "svg")
    ),
}


def table(rows: int = 80, target: str = "y") -> pd.DataFrame:
    frame = pd.DataFrame(np.random.default_rng(0).normal(3, 1, (rows, 5)), columns=COLUMNS)
    frame[target] = 2 * frame["a b"] - frame["x-1"] * frame["beta"] + 5 * frame["E"]
    return frame - 0.1 * frame["lambda"].to_numpy()[:, None] * (frame.columns == target)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    table().to_csv(tmp_path / "mine.csv", index=False, quoting=csv.QUOTE_MINIMAL)
    return tmp_path / "mine.csv"


def test_json_and_files(file, smoothray: Command):
    ended = smoothray(
        "distill", "mine.csv", "--target", "y", "--penalty", "jacobian", "--strength", 0.01,
        "--augment", 1, "--budget", "quick", "--repeats", 1, "--json", "--out", "out/here", cwd=file.parent,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert ended.stdout.count("\n") == 1
    assert set(result) >= KEYS
    assert (result["penalty"], result["strength"], result["student"]) == (
        "jacobian",
        0.01,
        "operon",
    )
    assert set(result["smoothness"]) == {
        "teacher_jacobian", "teacher_gradient_max", "teacher_spectral",
        "student_jacobian", "student_gradient_max", "alignment",
    }  # fmt: skip
    assert result["direct_r2_test"] > 0.8
    assert result["complexity"] <= 30

    folder = file.parent / "out" / "here"
    assert {path.name for path in folder.iterdir()} == FILES
    assert json.loads((folder / "result.json").read_text()) == result
    assert (folder / "formula.txt").read_text().strip() == result["formula"]
    assert (folder / "formula.tex").read_text().strip() == result["latex"]
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report.html").read_text()
    assert all(f"{result[key]:.3f}" in page for key in ("r2_test", "teacher_r2_test"))
    assert "mine.csv" in page and "distill mine.csv --target y" in page
    front = pd.read_csv(folder / "front.csv")
    assert front[front["chosen"]]["complexity"].tolist() == [result["complexity"]]

    # The formula as Python, on the file itself, scores what was printed.
    module: dict = {}
    exec((folder / "formula.py").read_text(), module)
    dataset = load_dataset(parse_spec({"file": str(file), "target": "y"}))
    _, rows = holdout(len(dataset.y), 0)
    frame = pd.DataFrame(dataset.X[rows], columns=dataset.feature_names)[list(COLUMNS[::-1])]
    truth = dataset.y[rows]
    residual = truth - module["predict"](frame)
    r2 = 1 - np.sum(residual**2) / np.sum((truth - truth.mean()) ** 2)
    assert r2 == pytest.approx(result["r2_test"], abs=1e-6)

    # So do the predictions of the test rows, without knowing the split.
    predictions = pd.read_csv(folder / "predictions.csv")
    assert predictions["part"].value_counts()["test"] == result["n_test"]
    test = predictions[predictions["part"] == "test"]
    residual = test["y"] - test["formula"]
    r2 = 1 - np.sum(residual**2) / np.sum((test["y"] - test["y"].mean()) ** 2)
    assert r2 == pytest.approx(result["r2_test"], abs=1e-6)


def test_for_a_person(tmp_path, smoothray: Command):
    """A target that looks like markup, and no penalty."""
    table(target="[/y]").to_csv(tmp_path / "mine.csv", index=False)
    ended = smoothray(
        "distill", "mine.csv", "--target", "[/y]", "--penalty", "none", "--budget", "quick", "--repeats", 1,
        cwd=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "[/y] =" in ended.stdout
    for words in (
        "this formula",
        "its teacher (none)",
        "fidelity",
        "direct fit",
        "test rows of 80",
    ):
        assert words in ended.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"mine.csv"}


def refuse(main: Command, file: Path, *options: object, target: str = "y") -> str:
    ended = main("distill", file, "--target", target, *options)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    return ended.stderr


def save(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "bad.csv", index=False)
    return folder / "bad.csv"


BAD_TABLES = {
    "constant target": (table().assign(y=1.5), "the target 'y' is the same in every row (1.5)"),
    "few rows": (table(20), "20 usable rows, but at least 30 are needed"),
    "text target": (table().assign(y="much"), "the target 'y' does not hold numbers"),
    "infinite target": (table().assign(y=[np.inf] * 3 + [1.0] * 77), "inf"),
    "infinite input": (table().assign(beta=[np.inf] * 3 + [1.0] * 77), "'beta'"),
    "gaps": (table().assign(beta=[1.0, np.nan] * 40), "gaps"),
    "no inputs": (table()[["y"]], "no column is left to predict 'y' from"),
    "no rows": (table(0), "the table has no rows"),
}


@pytest.mark.parametrize(("frame", "told"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_tables_that_are_refused(main, tmp_path, frame, told):
    assert told in refuse(main, save(frame, tmp_path))


def test_files_and_columns_that_are_not_there(main, file):
    assert "there is no column 'lambada'" in refuse(main, file, target="lambada")
    assert "did you mean 'lambda'?" in refuse(main, file, target="lambada")
    assert "nowhere.csv" in refuse(main, file.parent / "nowhere.csv")
    assert str(file.parent) in refuse(main, file.parent)
    empty = file.parent / "empty.csv"
    empty.write_text("")
    assert "empty.csv" in refuse(main, empty)
    (file.parent / "bad.parquet").write_bytes(b"not parquet")
    assert "bad.parquet" in refuse(main, file.parent / "bad.parquet")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--penalty", "jacobi"), "unknown penalty 'jacobi'"),
        (("--penalty", "direct"), "the direct fit is always done"),
        (("--penalty", "none", "--strength", "0.1"), "'none' takes no strength"),
        (("--strength", "0.1"), "a strength belongs to one penalty"),
        (("--penalty", "jacobian", "--strength", "-1"), "the strength is -1"),
        (("--penalty", "jacobian", "--strength", "nan"), "the strength is nan"),
        (("--penalty", "jacobian", "--strength", "inf"), "the strength is inf"),
        (("--penalty", "jacobian", "--strength", "much"), "a number or auto, not 'much'"),
        (("--student", "operonn"), "did you mean 'operon'?"),
        (("--budget", "fast"), "fast"),
        (("--selection", "best"), "selection is 'best'"),
        (("--max-size", "1"), "max_size is 1"),
        (("--timeout", "0"), "timeout is 0"),
        (("--jobs", "0"), "--jobs takes a number of processes"),
    ],
)  # fmt: skip
def test_options_that_are_refused(main, file, options, told):
    assert told in refuse(main, file, *options)


def test_a_time_limit_reaches_the_fits(main, file):
    told = refuse(main, file, "--penalty", "none", "--budget", "thorough", "--timeout", "0.01")
    assert "none: the fit passed its time limit of 0.01 s" in told


def test_an_out_that_cannot_be_a_folder(main, file):
    assert "cannot write to the folder" in refuse(main, file, "--out", file)
    assert "cannot write to the folder" in refuse(main, file, "--out", file / "below")


def test_a_size_that_no_formula_has_is_said_and_loses_nothing(main, file, tmp_path, monkeypatch):
    whole = Distilled.of

    def without_short_ones(*arguments) -> Distilled:
        distilled = whole(*arguments)
        front = distilled.model.pareto_front_
        distilled.model.pareto_front_ = front[front["complexity"] > 2].reset_index(drop=True)
        return distilled

    monkeypatch.setattr(Distilled, "of", without_short_ones)
    out = tmp_path / "result"
    ended = main(
        "distill", file, "--target", "y", "--penalty", "none", "--budget", "quick", "--repeats", 1,
        "--pick", 2, "--out", out,
    )  # fmt: skip
    assert ended.returncode in (0, None), ended.stderr
    assert "No formula has 2 nodes or fewer; this is the shortest." in ended.stderr
    front = pd.read_csv(out / "front.csv")
    assert front[front["chosen"]]["complexity"].tolist() == [front["complexity"].min()]


def test_mlflow_is_asked_before_the_search(main, file, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    told = refuse(main, file, "--mlflow", "--budget", "thorough")
    assert told == "error: MLflow at http://127.0.0.1:9 does not answer: Connection refused\n"


def test_a_student_that_cannot_run_here(main, file, monkeypatch):
    for name in ("PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_JULIAPKG_EXE", "/no/such/julia")
    assert "the student 'pysr' cannot run here" in refuse(main, file, "--student", "pysr")


def test_the_command_and_the_class_give_the_same_formula(file, smoothray: Command):
    ended = smoothray(
        "distill", "mine.csv", "--target", "y", "--penalty", "jacobian", "--budget", "quick",
        "--seed", 3, "--repeats", 1,
        "--jobs", 2, "--json", cwd=file.parent,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    dataset = load_dataset(parse_spec({"file": str(file), "target": "y"}))
    _, test = holdout(len(dataset.y), 3)
    frame = pd.DataFrame(dataset.X, columns=list(dataset.feature_names)).drop(index=test)
    model = SymbolicDistiller("jacobian", budget="quick", random_state=3)
    model.fit(frame, np.delete(dataset.y, test))
    assert (model.formula_, model.strength_) == (told["formula"], told["strength"])
    assert told["n_train"] == len(frame) and told["n_test"] == len(test)


def test_the_command_and_the_class_have_the_same_defaults():
    import inspect

    from smoothray.cli.tables import distill

    command, model = inspect.signature(distill).parameters, SymbolicDistiller()
    for name in ("penalty", "strength", "student", "augment", "max_size"):
        assert command[name].default == getattr(model, name), name


def test_help_says_what_a_strength_s_scale_is(main):
    said = " ".join(main("distill", "--help").stdout.split())
    assert "standard scale" in said.replace("│ │ ", "")
