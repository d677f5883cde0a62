"""Models as JSON: what was saved is what is loaded, in another process and with numpy alone, too."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from smoothray import Dataset, SymbolicDistiller
from smoothray.distillation.saved import FILE, KIND, as_json, file_of, sources
from smoothray.errors import StudyError

NAMES = ("a b", 'x"`y', "lambda", "ü\n", "np")


def table(seed: int = 0, rows: int = 90) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(2, 1, (rows, 5)), columns=NAMES)


@pytest.fixture(scope="module")
def fitted() -> SymbolicDistiller:
    """Two outputs, one of them constant: a formula without columns."""
    X = table()
    y = np.column_stack([X["a b"] * X['x"`y'] + X["ü\n"], np.full(len(X), 3.0)])
    model = SymbolicDistiller(
        "none", budget="quick", random_state=0, teacher_options={"hidden": (16,), "steps": 100}
    )
    with pytest.warns(UserWarning):
        return model.fit(X, y)


@pytest.fixture(scope="module")
def loaded(fitted, tmp_path_factory) -> SymbolicDistiller:
    folder = tmp_path_factory.mktemp("saved") / "model"
    assert fitted.save(folder) == folder / FILE
    return SymbolicDistiller.load(folder)


def test_a_loaded_model_does_what_the_saved_one_did(fitted, loaded):
    X = table(1)
    assert fitted.formula_[1].replace(".", "").isdigit()
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    for name in ("sympy", "latex", "to_python"):
        assert getattr(loaded, name)() == getattr(fitted, name)()
    for name in ("formula_", "penalty_", "strength_", "complexity_", "versions_"):
        assert getattr(loaded, name) == getattr(fitted, name)
    for name in ("pareto_front_", "strengths_"):
        for one, other in zip(getattr(loaded, name), getattr(fitted, name), strict=True):
            pd.testing.assert_frame_equal(one, other)
    values = loaded.to_torch()[0](__import__("torch").tensor(X.to_numpy())).detach().numpy()
    np.testing.assert_allclose(values, fitted.predict(X)[:, 0])
    assert loaded.teacher_ == [None, None]


def test_a_loaded_model_is_an_estimator_of_scikit_learn(fitted, loaded):
    check_is_fitted(loaded)
    assert list(loaded.feature_names_in_) == list(NAMES) and loaded.n_features_in_ == 5
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(table()[list(NAMES[::-1])])
    twin = clone(loaded)
    assert not hasattr(twin, "formula_") and twin.budget == "quick"


def test_saving_what_was_loaded_gives_the_same_file(loaded, fitted, tmp_path):
    again = loaded.save(tmp_path / "deep" / "again.json")
    assert again.name == "again.json"
    assert json.loads(again.read_text(encoding="utf-8")) == as_json(fitted)
    twice = SymbolicDistiller.load(again).save(tmp_path / "twice.json")
    assert twice.read_bytes() == again.read_bytes()


@settings(max_examples=25, deadline=None)
@given(
    number=st.floats(allow_nan=False, allow_infinity=False),
    name=st.text(st.characters(codec="utf-8"), min_size=1).filter(
        lambda text: text.strip() == text
    ),
)
def test_any_name_and_any_number_survive(tmp_path_factory, loaded, number, name):
    fields = {**as_json(loaded), "several": False, "columns": [name, f"{name}x"]}
    quoted = name.replace("`", "``")
    fields |= {"formula": [f"`{quoted}`*({number!r}) + `{quoted}x`"], "target_mean": [number]}
    file = tmp_path_factory.mktemp("any") / "m.json"
    file.write_text(json.dumps(fields), encoding="utf-8")
    model = SymbolicDistiller.load(file)
    one = model.save(file.with_name("one.json")).read_bytes()
    assert SymbolicDistiller.load(file.with_name("one.json")).save(file).read_bytes() == one
    assert model._means[0] == number
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(3, 2)), columns=[name, f"{name}x"])
    space: dict = {}
    exec(model.to_python(), space)
    with np.errstate(all="ignore"):
        expected = model.predict(X)
    np.testing.assert_allclose(space["predict"](X), expected, rtol=1e-12)


def test_the_source_runs_with_numpy_alone(fitted, tmp_path):
    X = table(2, 4)
    for place, source in enumerate(fitted.to_python()):
        (tmp_path / f"formula{place}.py").write_text(source, encoding="utf-8")
    program = f"""
import sys, json
import formula0, formula1
columns = json.loads(sys.stdin.read())
needed = {{name: values for name, values in columns.items() if name in {list(used(fitted))!r}}}
print([list(map(float, f.predict(needed))) for f in (formula0, formula1)])
print(sorted(m for m in ("pandas", "sympy", "torch", "smoothray") if m in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(X.to_dict("list")), capture_output=True,
        text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    values, modules = done.stdout.splitlines()
    np.testing.assert_allclose(np.transpose(json.loads(values)), fitted.predict(X), rtol=1e-12)
    assert modules == "[]"


def used(model: SymbolicDistiller) -> set[str]:
    names = {symbol.name for expr in model.sympy() for symbol in expr.free_symbols}
    assert 0 < len(names) < len(NAMES)
    return names


@pytest.fixture(scope="module")
def saved_fields(loaded) -> dict:
    """As of a table with categories, by hand."""
    frame = pd.DataFrame(
        {"t": np.arange(40.0), "colour": ["red", "blue", "green", "blue"] * 10,
         "grade": pd.Categorical([1, 2] * 20), "wet": [True, False, False, True] * 10,
         "y": np.arange(40.0) ** 2}
    )  # fmt: skip
    dataset = Dataset.from_frame(frame, "y")
    columns = list(dataset.feature_names)
    return {
        **as_json(loaded), "several": False, "columns": columns,
        "formula": ["2*t + 3*`colour=red` - `grade=2` + 0.5*wet"], "target_mean": [1.0],
        "encoding": dataset.encoding.to_json(),
    }  # fmt: skip


def test_the_source_takes_categories_as_they_are(saved_fields):
    space: dict = {}
    exec(sources(saved_fields)[0], space)
    raw = pd.DataFrame(
        {"t": [1.0, 1, 1, 1], "colour": ["red", "blue", "pink", None], "grade": [2.0, 1, 1, 1],
         "wet": [True, False, False, False]}
    )  # fmt: skip
    np.testing.assert_array_equal(space["predict"](raw), [4.5, 2, np.nan, np.nan])
    encoded = pd.DataFrame({"t": [1.0], "colour=red": [1], "grade=2": [1], "wet": [1]})
    np.testing.assert_array_equal(space["predict"](encoded), [4.5])
    np.testing.assert_array_equal(space["predict"](np.array([[1.0, 0, 0, 1, 1, 1]])), [4.5])
    for frame, told in (
        (raw.drop(columns="colour"), "there is no column 'colour', which the formula needs"),
        (raw.assign(t="warm"), "column 't' does not hold numbers"),
        (np.ones((2, 3)), r"the shape \(2, 3\); give rows of 6 columns"),
    ):
        with pytest.raises(ValueError, match=told):
            space["predict"](frame)


def test_files_that_cannot_be_loaded(saved_fields, tmp_path):
    def refused(fields: object) -> str:
        file = tmp_path / "bad.json"
        file.write_text(fields if isinstance(fields, str) else json.dumps(fields))
        with pytest.raises(StudyError) as error:
            SymbolicDistiller.load(file)
        assert "\n" not in str(error.value)
        return str(error.value)

    newer = {**saved_fields, "format": 7, "versions": {"smoothray": "9.1"}}
    assert "was saved by smoothray 9.1 in the format 7" in refused(newer)
    assert "is no saved formula" in refused({"formula": "x"})
    assert "is no saved formula" in refused("{")
    assert "is no saved formula" in refused([1])
    assert "is damaged: 'columns' is missing" in refused(
        {name: value for name, value in saved_fields.items() if name != "columns"}
    )
    assert "there is no" in str(pytest.raises(StudyError, SymbolicDistiller.load, tmp_path).value)
    assert saved_fields["kind"] == KIND and file_of(tmp_path) == tmp_path / FILE


def test_what_json_does_not_hold_is_told(loaded, tmp_path):
    model = SymbolicDistiller.load(loaded.save(tmp_path))
    model.set_params(student_options={"generations": object()})
    with pytest.raises(StudyError, match="student_options: generations is <object"):
        model.save(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_formula_as_a_model_of_mlflow(saved_fields, tmp_path):
    """Served by MLflow's own code: nothing of smoothray, no pickle, the raw columns as signature."""
    from smoothray.records.models import save_formula_model

    save_formula_model(saved_fields, tmp_path / "model")
    assert not [p.name for p in (tmp_path / "model").rglob("*") if p.suffix in (".pkl", ".pickle")]
    program = """
import sys, mlflow, pandas as pd
model = mlflow.pyfunc.load_model("model")
print(model.metadata.get_input_schema().input_names())
example = model.input_example
new = pd.DataFrame({"t": [1.0, 1.0], "colour": ["red", "pink"], "grade": ["2", "1"], "wet": [True, False]})
print(model.predict(new)["y"].tolist(), len(model.predict(example)))
print("smoothray" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-3:] == [
        "['t', 'colour', 'grade', 'wet']", "[4.5, nan] 1", "False"
    ]  # fmt: skip


def test_a_run_of_mlflow_has_scores_files_and_the_model(saved_fields, place):
    import mlflow
    from mlflow import MlflowClient

    from smoothray.records.models import EXPERIMENT, log_run

    (place / "formula.txt").write_text("t")
    for _ in range(2):  # the second one goes into the same experiment
        run_id, uri = log_run(
            "mine", saved_fields, {"r2_test": 0.5}, {"seed": 0}, [place / "formula.txt"]
        )
    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    run = client.get_run(run_id)
    assert (run.info.status, run.data.metrics, run.data.params) == (
        "FINISHED", {"r2_test": 0.5}, {"seed": "0"},
    )  # fmt: skip
    assert [item.path for item in client.list_artifacts(run_id)] == ["formula.txt"]
    assert client.get_experiment_by_name(EXPERIMENT).experiment_id == run.info.experiment_id
    assert [f"models:/{each.model_id}" for each in run.outputs.model_outputs] == [uri]
    model = mlflow.pyfunc.load_model(f"runs:/{run_id}/formula")
    row = pd.DataFrame({"t": [1.0], "colour": ["red"], "grade": ["2"], "wet": [True]})
    assert model.predict(row)["y"].tolist() == [4.5]


def test_an_mlflow_that_cannot_be_used_is_told_before_a_fit(main, place, monkeypatch):
    table().assign(y=1.0).to_csv(place / "mine.csv", index=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:./runs")
    ended = main("distill", "mine.csv", "--target", "y", "--mlflow")
    assert ended.returncode == 2 and "a folder, which MLflow no longer takes" in ended.stderr
