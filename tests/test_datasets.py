"""Data sets: how they are named, found, checked and turned into numbers."""

from __future__ import annotations

import datetime
import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smoothray.datasets import (
    SOURCES,
    SUITES,
    Dataset,
    DatasetSpec,
    check_spec,
    expand,
    from_frame,
    load_dataset,
    parse_spec,
)
from smoothray.errors import DataError

N = 40


def table(**columns: object) -> pd.DataFrame:
    """A sound table of N rows with columns a, b and y, and those given."""
    rng = np.random.default_rng(0)
    sound = {"a": rng.normal(size=N), "b": rng.normal(size=N), "y": rng.normal(size=N)}
    return pd.DataFrame({**sound, **columns})


def refusal(frame: pd.DataFrame, target: str = "y", **limits: float) -> str:
    with pytest.raises(DataError) as caught:
        from_frame(frame, target, name="mine", **limits)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith("data set 'mine': ")
    return message


def write(path: Path, text: str, encoding: str = "utf-8") -> DatasetSpec:
    path.write_text(text, encoding=encoding)
    return DatasetSpec("file", path.stem, str(path), "y")


# ---- naming


def test_specs_are_parsed_and_printed():
    assert parse_spec("pmlb:560_bodyfat") == DatasetSpec("pmlb", "560_bodyfat")
    assert parse_spec(" sklearn: iris ") == DatasetSpec("sklearn", "iris")
    spec = parse_spec({"file": "some where/my data, v2.csv", "target": "y"})
    assert spec == DatasetSpec("file", "my data_ v2", "some where/my data, v2.csv", "y")
    assert parse_spec({"file": "a.parquet", "target": "y", "name": "other"}).name == "other"
    assert parse_spec(spec) is spec
    assert str(parse_spec("pmlb:560_bodyfat")) == "pmlb:560_bodyfat"
    assert str(parse_spec({"file": "a.csv", "target": "y"})) == "{file: a.csv, target: y, name: a}"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("data/concrete.csv", "write {file: data/concrete.csv, target: COLUMN}"),
        ("file:concrete.parquet", "write {file: concrete.parquet, target: COLUMN}"),
        ("560_bodyfat", "pmlb:560_bodyfat"),
        ("plmb:560_bodyfat", "did you mean 'pmlb'?"),
        ("file:concrete", "unknown source 'file'"),
        ("pmlb:", "missing"),
        ({"file": "a.csv"}, "'target' is missing"),
        ({"target": "y"}, "'file' is missing"),
        ({"file": "a.csv", "taget": "y"}, "did you mean 'target'?"),
        ({"file": "a.csv", "target": "y", "name": "a/b"}, "'a/b'"),
        (3, "write pmlb:NAME"),
    ],
)
def test_a_bad_spec_is_refused_with_what_to_write(value, said):
    with pytest.raises(DataError) as caught:
        parse_spec(value)
    assert said in str(caught.value)


def test_suites_expand_and_mix_with_single_sets():
    assert len(expand("pmlb20")) == 20
    specs = expand(["offline", "pmlb:519_vinnie", {"file": "a.csv", "target": "y"}])
    assert [spec.name for spec in specs[-2:]] == ["519_vinnie", "a"]
    assert len(specs) == len(SUITES["offline"]) + 2


def test_expand_refuses_doubles_unknown_suites_and_nothing():
    with pytest.raises(DataError, match="two data sets are named 'iris'"):
        expand(["offline", {"file": "iris.csv", "target": "y"}])
    with pytest.raises(DataError, match="did you mean 'pmlb20'"):
        expand("pmlb_20")
    with pytest.raises(DataError, match="no data set"):
        expand([])


def test_every_set_of_every_suite_is_known():
    for suite in SUITES:
        for spec in expand(suite):
            assert spec.source in SOURCES
            check_spec(spec)


# ---- sources


@pytest.mark.parametrize("text", SUITES["offline"])
def test_offline_sets_load_and_stay_the_same(text):
    first, second = load_dataset(parse_spec(text)), load_dataset(parse_spec(text))
    assert first.fingerprint == second.fingerprint
    assert first.X.shape == (len(first.y), len(first.feature_names))
    assert len(first.y) >= 150 and first.X.shape[1] >= 4
    assert np.isfinite(first.X).all() and np.isfinite(first.y).all()


def test_generated_sets_hold_their_published_functions():
    data = load_dataset(parse_spec("sklearn:friedman2"))
    r, omega, inductance, c = data.X.T
    signal = np.hypot(r, omega * inductance - 1 / (omega * c))
    assert np.std(data.y - signal) == pytest.approx(125, rel=0.15)


def test_unknown_names_offer_the_nearest():
    with pytest.raises(DataError, match="did you mean 'friedman1'"):
        check_spec(parse_spec("sklearn:freidman1"))
    with pytest.raises(DataError, match="did you mean '230_machine_cpu'"):
        check_spec(parse_spec("pmlb:machine_cpu"))


@pytest.mark.parametrize("name", ["230_machine_cpu", "547_no2", "666_rmftsa_ladata"])
def test_pmlb_sets_load_from_the_cache(name):
    folder = os.environ.get("SMOOTHRAY_DATA")
    if not folder or not (Path(folder) / name / f"{name}.tsv.gz").is_file():
        pytest.skip(f"SMOOTHRAY_DATA holds no {name}")
    raw = pd.read_csv(Path(folder) / name / f"{name}.tsv.gz", sep="\t")
    data = load_dataset(parse_spec(f"pmlb:{name}"))
    assert data.name == name and data.target == "target" and data.notices == ()
    assert list(data.feature_names) == list(raw.columns.drop("target"))
    np.testing.assert_array_equal(data.X, raw.drop(columns="target").to_numpy(float))
    np.testing.assert_array_equal(data.y, raw["target"].to_numpy(float))


def test_a_set_of_ones_own_in_the_cache_layout_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("SMOOTHRAY_DATA", str(tmp_path))
    file = tmp_path / "own" / "own.tsv.gz"
    file.parent.mkdir()
    frame = table().rename(columns={"y": "target"})
    frame.loc[3, "a"] = np.nan
    frame.to_csv(file, sep="\t", index=False)
    data = load_dataset(parse_spec("pmlb:own"))
    assert data.notices == ("1 row with gaps was dropped",)
    file.write_bytes(gzip.compress(b"a\tb\n1\t2\n")[:-9])
    with pytest.raises(DataError, match="damaged"):
        load_dataset(parse_spec("pmlb:own"))


def test_without_a_network_the_message_says_what_to_do(tmp_path, monkeypatch):
    def no_network(name: str, **options: object) -> None:
        raise ConnectionError("unreachable")

    monkeypatch.setattr("pmlb.fetch_data", no_network)
    monkeypatch.setenv("SMOOTHRAY_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"(?s)could not be downloaded.*SMOOTHRAY_DATA"):
        load_dataset(parse_spec("pmlb:1027_ESL"))
    assert not list(tmp_path.iterdir())


def test_a_download_goes_to_the_cache_once(tmp_path, monkeypatch):
    from pmlb import fetch_data

    downloads = []

    def fetch(name: str, local_cache_dir: str, dropna: bool) -> pd.DataFrame:
        file = Path(local_cache_dir) / name / f"{name}.tsv.gz"
        if not file.is_file():
            downloads.append(name)
            file.parent.mkdir(parents=True)
            table().rename(columns={"y": "target"}).to_csv(file, sep="\t", index=False)
        return fetch_data(name, local_cache_dir=local_cache_dir, dropna=dropna)

    monkeypatch.setattr("pmlb.fetch_data", fetch)
    monkeypatch.setenv("SMOOTHRAY_DATA", str(tmp_path / "new"))
    for _ in range(2):
        assert len(load_dataset(parse_spec("pmlb:1027_ESL")).y) == N
    assert downloads == ["1027_ESL"]
    left = [path.name for path in sorted((tmp_path / "new").rglob("*"))]
    assert left == ["1027_ESL", "1027_ESL.tsv.gz"]


# ---- files


@pytest.mark.parametrize("kind", ["csv", "tsv", "semicolon.csv", "bom.csv", "parquet"])
def test_files_of_every_kind_give_the_same_data(tmp_path, kind):
    frame = table(**{"Fly-Ash, %": np.arange(N) % 7}, colour=["red", "green"] * (N // 2))
    path = tmp_path / f"data.{kind}"
    if kind == "parquet":
        frame.to_parquet(path)
    else:
        sign = {"tsv": "\t", "semicolon.csv": ";"}.get(kind, ",")
        encoding = "utf-8-sig" if kind == "bom.csv" else "utf-8"
        frame.to_csv(path, sep=sign, index=False, encoding=encoding)
    spec = parse_spec({"file": str(path), "target": "y"})
    check_spec(spec)
    data = load_dataset(spec)
    assert data.feature_names == ("a", "b", "Fly-Ash, %", "colour=red")
    np.testing.assert_allclose(data.X[:, :3], frame[["a", "b", "Fly-Ash, %"]])
    np.testing.assert_allclose(data.y, frame["y"])


def test_a_saved_row_index_is_dropped(tmp_path):
    frame = table()
    frame.to_csv(tmp_path / "data.csv")
    data = load_dataset(DatasetSpec("file", "data", str(tmp_path / "data.csv"), "y"))
    assert data.feature_names == ("a", "b")
    assert "counts the rows" in data.notices[0]
    frame.to_csv(tmp_path / "frame.csv")
    again = from_frame(pd.read_csv(tmp_path / "frame.csv"), "y")
    assert again.fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("a,y\n", "no rows"),
        ("a,a,y\n1,2,3\n", "more than one column is named 'a'"),
        ("a,Y1\n1,2\n", "there is no column 'y'; the columns are a, Y1; did you mean 'Y1'?"),
        ("a,y\n1,2,3\n1,2,3\n", "more cells than the header"),
        ("a,y\n1,2\n1,2,3\n", "cannot be read"),
        ('a,y\n"1,2\n', "cannot be read"),
    ],
)
def test_bad_text_files_are_refused(tmp_path, text, said):
    spec = write(tmp_path / "bad.csv", text)
    with pytest.raises(DataError) as caught:
        load_dataset(spec)
    assert said in str(caught.value) and "bad" in str(caught.value)


def test_bad_files_of_other_sorts_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        check_spec(DatasetSpec("file", "x", str(tmp_path / "x.csv"), "y"))
    with pytest.raises(DataError, match=r"cannot read this kind; use one of \.csv"):
        check_spec(write(tmp_path / "x.docx", "?"))
    with pytest.raises(DataError, match="cannot be read"):
        check_spec(write(tmp_path / "x.parquet", "this is no Parquet"))
    table().to_parquet(tmp_path / "z.parquet")
    with pytest.raises(DataError, match="no column 'z'"):
        check_spec(DatasetSpec("file", "z", str(tmp_path / "z.parquet"), "z"))


# ---- tables


def test_a_sound_table_passes_as_it_is():
    frame = table(k=np.arange(N))
    before = frame.copy()
    data = from_frame(frame, "y", name="mine")
    assert isinstance(data, Dataset)
    assert data.notices == () and data.name == "mine" and data.target == "y"
    np.testing.assert_array_equal(data.X, frame[["a", "b", "k"]].to_numpy(float))
    assert data.X.dtype == data.y.dtype == np.float64
    pd.testing.assert_frame_equal(frame, before)


def test_categories_and_truths_become_readable_columns():
    colour = ["red", "green", "blue", "red"] * (N // 4)
    frame = table(colour=colour, sex=["m", "f"] * (N // 2), wet=[True, False] * (N // 2))
    frame["grade"] = pd.Categorical([1, 2, 3, 4] * (N // 4))
    data = from_frame(frame, "y")
    assert data.feature_names[2:] == (
        *("colour=blue", "colour=green", "colour=red", "sex=m", "wet"),
        *("grade=1", "grade=2", "grade=3", "grade=4"),
    )
    np.testing.assert_array_equal(data.X[:4, 4], [1, 0, 0, 1])
    np.testing.assert_array_equal(data.X[:2, 5:7], [[1, 1], [0, 0]])
    assert data.X[:, 2:5].sum(axis=1).tolist() == [1.0] * N
    assert data.notices[0].startswith("column 'colour' was one-hot encoded into 3 columns")
    assert len(data.notices) == 3


def test_numbers_in_other_dress_are_numbers():
    plain = from_frame(table(k=np.arange(N, dtype=float)), "y")
    for dressed in (
        [str(i) for i in range(N)],
        pd.array(range(N), dtype="Int64"),
        pd.array(range(N), dtype="Float64"),
        pd.Series(range(N), dtype=object),
    ):
        assert from_frame(table(k=dressed), "y").fingerprint == plain.fingerprint


def test_gaps_empty_and_constant_columns_are_dropped_with_a_notice():
    frame = table(void=np.nan, flat=7, colour=["red", *[None] * 2, *["blue"] * (N - 3)])
    frame.loc[5, "y"] = np.nan
    frame.loc[6, "a"] = None
    data = from_frame(frame, "y")
    assert data.feature_names == ("a", "b", "colour=red")
    assert data.notices[:2] == (
        "column 'void' is empty and was dropped",
        "4 rows with gaps were dropped",
    )
    assert data.notices[-1] == "column 'flat' is constant and was dropped"
    kept = [i for i in range(N) if i not in (1, 2, 5, 6)]
    np.testing.assert_array_equal(data.y, frame["y"].to_numpy()[kept])
    assert data.rows is not None and data.rows.tolist() == kept


def test_too_many_gaps_are_refused():
    frame = table()
    frame.loc[:8, "b"] = np.nan
    message = refusal(frame)
    assert "9 of 40 rows have gaps, more than the limit of 20%" in message
    assert "column 'b' (9)" in message
    assert len(from_frame(frame, "y", max_gap_fraction=0.3).y) == N - 9


def test_small_data_pass_only_when_asked_for():
    assert "29 usable rows, but at least 30 are needed" in refusal(table().head(29))
    assert len(from_frame(table().head(2), "y", min_rows=0).y) == 2
    assert "no rows" in refusal(table().head(0), min_rows=0)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (["?", *range(N - 1)], "should hold numbers, but 1 value did not read as one, such as '?'"),
        ([f"id{i}" for i in range(N)], "40 different values in 40 rows, such as 'id0'"),
        (pd.date_range("2024-01-01", periods=N), "holds dates"),
        (pd.period_range("2024-01", periods=N, freq="M"), "holds dates"),
        (pd.to_timedelta(np.arange(N), unit="s"), "holds dates"),
        ([datetime.date(2024, 1, 1 + i % 28) for i in range(N)], "holds dates"),
        ([f"{1 + i % 28}.3.2024" for i in range(N)], "holds dates"),
        ([np.inf, -np.inf, *range(N - 2)], "has 2 infinite values"),
        (["inf", *map(str, range(N - 1))], "has 1 infinite value;"),
        (np.arange(N) * 1j, "complex"),
    ],
)
def test_columns_that_cannot_be_used_are_named(column, said):
    message = refusal(table(odd=column))
    assert said in message and "'odd'" in message


def test_more_than_fifty_levels_are_refused():
    frame = pd.DataFrame({"k": [f"v{i % 51}" for i in range(400)], "y": np.arange(400)})
    assert "51 different values" in refusal(frame)
    frame["k"] = [f"v{i % 50}" for i in range(400)]
    assert from_frame(frame, "y").X.shape == (400, 50)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (3.5, "same in every row (3.5)"),
        (["yes", "no"] * (N // 2), "does not hold numbers, but values such as 'yes'"),
        ([True, False] * (N // 2), "does not hold numbers"),
        ([np.inf, *range(N - 1)], "1 infinite value"),
        (pd.date_range("2024-01-01", periods=N), "dates"),
    ],
)
def test_targets_that_cannot_be_learnt_are_refused(column, said):
    message = refusal(table(y=column))
    assert said in message and "'y'" in message


def test_missing_and_doubled_columns_are_refused():
    frame = table(strength=1.0)
    assert "no column 'stregnth'" in (message := refusal(frame, "stregnth"))
    assert "did you mean 'strength'?" in message
    assert "named 'a'" in refusal(frame.set_axis(["a", " a", "y", "c"], axis=1))
    clash = table(k=["u", "v", "w", "w"] * (N // 4), **{"k=u": np.arange(N)})
    assert "named 'k=u'" in refusal(clash)
    assert "no column is left" in refusal(table()[["y"]])
    assert "no column is left" in refusal(table(a=1, b=2))


def test_the_fingerprint_follows_values_and_names():
    data = from_frame(table(), "y")
    assert len(data.fingerprint) == 16
    assert pickle.loads(pickle.dumps(data)).fingerprint == data.fingerprint
    assert from_frame(table(), "y", name="renamed").fingerprint == data.fingerprint
    others = [
        from_frame(table(y=np.arange(N)), "y"),
        from_frame(table().rename(columns={"a": "c"}), "y"),
        from_frame(table().iloc[::-1], "y"),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 4
