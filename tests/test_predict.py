"""New rows of a raw table: turned into numbers as in training, predicted, and what is odd said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Command

from smoothray import Dataset, SymbolicDistiller
from smoothray.commands.predict import predict, summary
from smoothray.datasets import Encoding
from smoothray.errors import DataError


def table(rows: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "t": rng.uniform(0, 3, rows),
            "colour": rng.choice(["red", "blue", "green"], rows),
            "side": rng.choice(["left", "right"], rows),
            "wet": rng.choice([True, False], rows),
            "code": pd.Categorical(rng.choice([1, 2, 3], rows)),
            "same": 4,
            "empty": np.nan,
        }
    )
    frame["y"] = frame["t"] * 2 + (frame["colour"] == "red") + frame["wet"]
    frame.loc[5, "t"] = np.nan
    return frame


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset.from_frame(table(), "y")


def test_the_encoding_gives_the_data_set_again(dataset):
    """On the rows that it was made of, bit for bit; also from its JSON."""
    encoding = Encoding.from_json(json.loads(json.dumps(dataset.encoding.to_json())))
    assert encoding == dataset.encoding and encoding.features == dataset.feature_names
    applied = encoding.apply(table())
    assert dataset.rows.tolist() == [i for i in range(80) if i != 5]
    np.testing.assert_array_equal(applied.X.to_numpy()[dataset.rows], dataset.X)
    assert applied.gaps[5] == ["t"] and sum(map(len, applied.gaps)) == 1
    assert not any(applied.outside) and not any(applied.unknown)
    assert (applied.missing, applied.extra) == ((), ())
    kinds = {column.name: (column.kind, column.dropped) for column in encoding.columns}
    assert kinds == {
        "t": ("number", ""), "colour": ("category", ""), "side": ("category", ""),
        "wet": ("true/false", ""), "code": ("category", ""), "same": ("number", "constant"),
        "empty": ("number", "empty"),
    }  # fmt: skip
    assert encoding.categories["side=right"] == ("side", "right", ("left", "right"))


def test_ranges_are_those_of_the_rows_learned_from(dataset):
    narrow = dataset.encoding.on(dataset.X[dataset.X[:, 0] < 1])
    new = table().head(4).assign(t=[0.5, 2, -1, 0.5])
    assert narrow.apply(new).outside == [[], ["t"], ["t"], []]
    assert dataset.encoding.apply(new).outside == [[], [], ["t"], []]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("wet", ["true", "FALSE", "1", "perhaps"], [1, 0, 1, np.nan]),
        ("wet", [1, 0, 1, 0], [1, 0, 1, 0]),
        ("t", ["1.5", "x", "", "inf"], [1.5, np.nan, np.nan, np.nan]),
        ("t", pd.date_range("2024-01-01", periods=4), [np.nan] * 4),
        ("side", ["right", "left", "up", None], [1, 0, np.nan, np.nan]),
        ("code", [1.0, 2.0, np.nan, 7.0], [1, 0, np.nan, np.nan]),
        ("code", ["1", "3", "1.0", 2], [1, 0, 1, 0]),
    ],
)
def test_cells_of_new_rows(dataset, column, values, expected):
    frame = table().head(4)
    frame[column] = values
    name = next(iter(next(c for c in dataset.encoding.columns if c.name == column).features))
    np.testing.assert_array_equal(dataset.encoding.apply(frame, [name]).X[name], expected)


def test_only_what_the_formula_needs_must_be_there(dataset):
    frame = pd.DataFrame({" t ": [1.0], "y": [2], "weight": [3]})
    applied = dataset.encoding.apply(frame, ["t"])
    assert applied.missing == ("colour", "side", "wet", "code") and applied.extra == ("weight",)
    told = "the formula needs the column 'colour', which the table has not; did you mean 'color'"
    with pytest.raises(DataError, match=told):
        dataset.encoding.apply(frame.assign(color="red"), ["t", "colour=red"])


def test_levels_that_differ_in_spaces_are_refused():
    frame = table().assign(colour=["red", "red ", "blue", "green"] * 20)
    with pytest.raises(DataError, match="'red' and 'red ', which differ in spaces alone"):
        Dataset.from_frame(frame, "y")


@pytest.fixture(scope="module")
def result(tmp_path_factory, smoothray: Command) -> Path:
    """The folder of a distillation of the table, beside the table itself."""
    folder = tmp_path_factory.mktemp("result")
    table().to_csv(folder / "mine.csv", index=False)
    ended = smoothray(
        "distill", "mine.csv", "--target", "y", "--penalty", "none", "--budget", "quick", "--out", "out",
        cwd=folder,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "predict out new.csv" in ended.stderr
    return folder


def test_predictions_csv_has_all_rows_and_all_values(result):
    told = pd.read_csv(result / "out" / "predictions.csv")
    assert list(told) == ["row", "part", "y", "formula", "teacher", "direct"]
    assert told["row"].tolist() == [i + 2 for i in range(80) if i != 5]
    assert told["part"].value_counts().to_dict() == {"train": 47, "val": 12, "test": 20}
    np.testing.assert_array_equal(told["y"], table()["y"].iloc[told["row"] - 2])
    assert told[["formula", "teacher", "direct"]].notna().all(axis=None)
    scores = SymbolicDistiller.load(result / "out").scores_
    test = told[told["part"] == "test"]
    for column, name in (
        ("formula", "r2_test"),
        ("teacher", "teacher_r2_test"),
        ("direct", "direct_r2_test"),
    ):
        residual, spread = test["y"] - test[column], test["y"] - test["y"].mean()
        assert 1 - (residual**2).sum() / (spread**2).sum() == pytest.approx(scores[name])


def test_predict_gives_the_same_values_again(result, main: Command):
    ended = main("predict", result / "out", result / "mine.csv", "--out", result / "p" / "p.csv")
    assert ended.returncode == 0, ended.stderr
    again = pd.read_csv(result / "p" / "p.csv")
    told = pd.read_csv(result / "out" / "predictions.csv").set_index("row")
    assert list(again) == ["row", "prediction", "outside", "note"] and len(again) == 80
    np.testing.assert_array_equal(
        again.set_index("row")["prediction"].loc[told.index], told["formula"]
    )
    assert again.loc[5, "note"] == "t is empty" and np.isnan(again.loc[5, "prediction"])
    assert "80 rows; 1 without a value" in ended.stderr
    # Test rows may lie outside the range of the rows that were learned from; those may not.
    learned = told.index[told["part"] != "test"]
    assert again.set_index("row").loc[learned, "outside"].isna().all()


def test_predict_says_what_is_odd(result, main: Command):
    new = table().head(4).drop(columns=["y", "same", "empty"])
    new["t"] = [1.0, 99.0, 1.0, 1.0]
    new["colour"] = ["red", "red", "pink", None]
    new["weight"] = 1
    new.to_csv(result / "new.csv", index=False)
    ended = main("predict", result / "out", result / "new.csv")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "not used, since the formula was made without: weight\n"
    for words in ("outside", "(t: 1)", "'pink', a category that", "colour is empty"):
        assert words in ended.stdout
    assert "4 rows; 2 without a value" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere", "mine.csv"), "there is no nowhere/model.json"),
        (("mine.csv", "mine.csv"), "there is no mine.csv/model.json"),
        (("out/result.json", "mine.csv"), "is no saved formula"),
        (("out", "nowhere.csv"), "nowhere.csv"),
        (("out", "other.csv"), "the formula needs the columns"),
        (("out", "no_rows.csv"), "the table has no rows"),
        (("out", "mine.csv", "--out", "out"), "cannot write out"),
    ],
)
def test_what_predict_refuses(result, main: Command, monkeypatch, arguments, told):
    monkeypatch.chdir(result)
    Path("other.csv").write_text("z\n1\n")
    Path("no_rows.csv").write_text("t,colour,wet\n")
    ended = main("predict", *arguments)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: ") and told in ended.stderr


def by_hand(formulas: list[str], columns: list[str], named: bool = True) -> SymbolicDistiller:
    """A fitted model without a fit."""
    from sympy import Symbol

    from smoothray.formulas import parse

    model = SymbolicDistiller()
    model._names, model._many = tuple(columns), len(formulas) > 1
    model._expressions = [
        parse(text, {name: Symbol(name) for name in columns}) for text in formulas
    ]
    model._means, model.encoding_, model.n_features_in_ = (
        np.zeros(len(formulas)),
        None,
        len(columns),
    )
    model.formula_ = model._shaped(formulas)
    if named:
        model.feature_names_in_ = np.array(columns, dtype=object)
    return model


def test_models_that_were_fitted_to_numbers():
    frame = pd.DataFrame({"b": [1.0, 2.0], "a": [-1.0, 4.0]})
    several = predict(by_hand(["log(a)", "7"], ["a", "b"]), frame)
    assert several.values == ["prediction 1", "prediction 2"]
    np.testing.assert_array_equal(several.table["prediction 1"], [np.nan, np.log(4.0)])
    assert several.table["prediction 2"].tolist() == [7, 7]
    assert several.table["note"].tolist() == ["the formula has no value here", ""]
    assert summary(several) == "2 rows; 1 without a value (see their note)"
    unnamed = by_hand(["x0 - x1"], ["x0", "x1"], named=False)
    assert predict(unnamed, frame).table["prediction"].tolist() == [2, -2]
