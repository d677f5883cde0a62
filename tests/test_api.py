"""Studies from Python: run in this process, gone on with, stopped; frames as data sets; what is refused."""

from __future__ import annotations

import ast
import inspect
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import smoothray
from smoothray import Dataset, Study, StudyResult, load_records, run_study
from smoothray.commands.estimate import Shape
from smoothray.commands.plan import plan
from smoothray.commands.status import status
from smoothray.datasets import expand
from smoothray.errors import DataError, StudyError
from smoothray.records.journal import Journal
from smoothray.records.parquet import write_parquet
from smoothray.records.schema import SCHEMA

SMALL = {
    "teacher": {"steps": 60, "hidden": [8]},
    "student": {"options": {"population_size": 50, "generations": 5}},
}
SETTINGS = {("none", None), ("direct", None), ("jacobian", 0.01), ("jacobian", 0.1)}


def table(shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.uniform(1, 3, (60, 2)), columns=["heat", "flow"])
    return frame.assign(y=frame["heat"] * frame["flow"] + shift)


def small(shift: float = 0.0, **changes: object) -> Study:
    fields = {
        "name": "small", "datasets": [Dataset.from_frame(table(shift), target="y", name="mine")],
        "trials": 2, "penalties": {"jacobian": [0.01, 0.1]}, "restarts": 1, **SMALL, **changes,
    }  # fmt: skip
    return Study(**fields)


@pytest.mark.ray
def test_a_study_runs_goes_on_and_is_reported(place, figures_drawn):
    result = run_study(small(), cores=2)
    assert repr(result) == "<study 'small': 8 of 8 trials recorded>"
    assert not result.stopped and not result.missing
    records = result.records
    assert list(records) == [name for name in SCHEMA.names if name not in ("bank", "front")]
    assert set(records["status"]) == {"ok"} and len(records) == 8
    assert records.groupby(["penalty", "strength"], dropna=False).size().eq(2).all()

    assert len(result.tune) == 4
    seen = {(each.config["penalty"], each.config["strength"]) for each in result.tune}
    assert seen == SETTINGS
    trials = result.tune.get_dataframe().set_index("config/penalty")
    medians = records.groupby("penalty")["student_r2_val"].median()
    assert trials["score"]["none"] == pytest.approx(medians["none"])
    assert np.isfinite(trials["teacher_r2_val"]["none"])

    again = run_study(small(), cores=2)
    assert again.tune is None  # nothing was left to do
    pd.testing.assert_frame_equal(again.records, records)
    pd.testing.assert_frame_equal(load_records("small"), records)
    pd.testing.assert_frame_equal(load_records(small()), records)
    with_fronts = load_records("small", fronts=True)
    assert all("formula" in front[0] for front in with_fronts["front"])

    page = result.report("page")
    assert page.parent == Path("page") and page.exists()

    with pytest.raises(StudyError, match="the data set 'mine' has changed"):
        run_study(small(shift=1.0))
    status(small())
    plan(small(), [], [Shape(2)], None, seconds=0)


@pytest.mark.ray
@pytest.mark.slow
def test_a_ray_that_runs_is_used_and_left_from_any_thread(place, monkeypatch):
    import ray

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        results: list[StudyResult] = []
        study = small(penalties={}, baselines=["none"], trials=1)
        thread = threading.Thread(target=lambda: results.append(run_study(study)))
        thread.start()
        thread.join()
        assert not results[0].missing
        assert ray.is_initialized()
        # The students gave their cores back, and it can grow.
        more = small(penalties={}, baselines=["none"], trials=2)
        records = run_study(more, ["mine"]).records
        assert len(records) == 2
        first = results[0].records
        pd.testing.assert_frame_equal(records[records["trial"] < 1], first)
        banks = [entry["record"]["bank"] for entry in Journal(study.name).entries()
                 if entry["kind"] == "record"]  # fmt: skip
        assert banks == [[0], [1]]  # what was there is not trained again
    finally:
        ray.shutdown()


@pytest.mark.ray
def test_ctrl_c_returns_what_there_is(place):
    before = signal.getsignal(signal.SIGINT)
    study = small(penalties={}, baselines=["direct"], trials=2000)
    over = threading.Event()

    def interrupt() -> None:
        """As soon as something is recorded."""
        journal = Journal(study.name)
        while not over.wait(0.1):
            if any(entry["kind"] == "record" for entry in journal.entries()):
                os.kill(os.getpid(), signal.SIGINT)
                return

    watch = threading.Thread(target=interrupt)
    watch.start()
    try:
        result = run_study(study, cores=2)
    finally:
        over.set()
        watch.join()
    assert result.stopped and 0 < len(result.records) < 2000
    assert "stopped; the same call goes on" in repr(result)
    assert signal.getsignal(signal.SIGINT) == before


# ---- what may be written


def test_shorthands_and_numpy_values():
    study = Study(
        name="s", datasets="sklearn:iris", student="gplearn", penalties=("jacobian", "lipschitz")
    )
    assert study.datasets == ("sklearn:iris",)
    assert study.students[0].name == "gplearn"
    assert set(study.penalties) == {"jacobian", "lipschitz"}
    study = Study(name="s", datasets="offline", penalties={"jacobian": np.logspace(-2, 0, 3)})
    assert study.penalties["jacobian"].values == (0.01, 0.1, 1.0)


def test_a_frame_as_a_data_set():
    mine = Dataset.from_frame(table(), target="y", name="mine")
    assert expand(small(datasets=mine).datasets) == [mine]
    study = small(datasets=[mine, "sklearn:iris"])
    assert [spec.name for spec in expand(study.datasets)] == ["mine", "iris"]
    assert len(repr(study)) < 2000  # not the rows
    study.check()
    assert study.identity() == small(datasets="sklearn:iris").identity()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trails": 5}, "^unknown key 'trails'; did you mean 'trials'"),
        ({"trials": 0}, "^trials is 0"),
        ({"penalties": {"jacobi": [0.1]}}, "did you mean 'jacobian'"),
        ({"datasets": table()}, "write smoothray.Dataset.from_frame"),
        ({"datasets": ["sklearn:iris", table()]}, "write smoothray.Dataset.from_frame"),
        ({"trials": 0, "name": "a b"}, "(?s)name is 'a b'.*\ntrials is 0"),
    ],
)
def test_wrong_values_are_refused_in_plain_words(changes, told):
    with pytest.raises(StudyError, match=told):
        small(**changes)


def test_wrong_data_are_refused_before_any_work(place):
    mine = Dataset.from_frame(table(), target="y", name="mine")
    with pytest.raises(DataError, match="two data sets are named 'mine'"):
        run_study(small(datasets=[mine, mine]))
    with pytest.raises(DataError, match="use letters"):
        Dataset.from_frame(table(), target="y", name="my/data")
    with pytest.raises(DataError, match="there is no column 'z'"):
        Dataset.from_frame(table(), target="z")
    with pytest.raises(DataError, match="a pandas frame is needed, not a str"):
        Dataset.from_frame("mine.csv", target="y")
    assert not Path(".smoothray").exists()


def test_records_that_are_not_there(place):
    with pytest.raises(StudyError, match="no records of a study 'nothing'"):
        load_records("nothing")
    with pytest.raises(StudyError, match=r"there is no file nothing\.parquet"):
        load_records("nothing.parquet")
    Path("text.parquet").write_text("text")
    with pytest.raises(StudyError, match="text.parquet is no table of records"):
        load_records("text.parquet")
    table().to_parquet("other.parquet")
    with pytest.raises(StudyError, match="other.parquet is no table of records"):
        load_records(Path("other.parquet"))
    write_parquet([], Path("empty.parquet"))
    assert load_records("empty.parquet").empty


def test_the_typed_signature_names_every_field():
    functions = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(Study)))
        if isinstance(node, ast.FunctionDef)
    ]
    (stub,) = (node for node in functions if node.name == "__init__")
    assert {each.arg for each in stub.args.kwonlyargs} == {*Study.model_fields, "student"}
    assert Path(smoothray.__file__).with_name("py.typed").exists()
