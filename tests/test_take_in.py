"""Records that were exported are taken in elsewhere, and nothing there is lost to them."""

from __future__ import annotations

import json
import os

import pandas as pd
import pytest
from conftest import COMMAND, interrupted
from made_up import made_up

from smoothray.commands.load import load_records
from smoothray.records.fronts import FRONTS, kept_of_front
from smoothray.records.journal import Journal
from smoothray.records.parquet import read_decisions, read_parquet, write_parquet
from smoothray.records.recorded import read_study
from smoothray.records.schema import failed
from smoothray.search.board import decision
from smoothray.study.plan import Arm

IDENTITY = {"seed": 1, "teacher": {"steps": 9}, "students": {}}
DECISION = decision("stopped", "d00", Arm("jacobian", 0.01), look=1)


def write(records, file, **more):
    write_parquet(records, file, **{"identity": IDENTITY, **more})


def recorded(name="made-up"):
    return read_study(name, print)


@pytest.mark.parametrize("fronts", ["all", "scores", "none"])
def test_a_study_comes_back_from_its_file(place, main, monkeypatch, fronts):
    records = made_up(2, 2)
    with Journal("made-up") as journal:
        journal.append("study", identity=IDENTITY)
        journal.append("decision", decision=DECISION)
        journal.extend({"kind": "record", "record": record} for record in records)
    ended = main("export", "made-up", "there.parquet", "--fronts", fronts)
    assert ended.returncode in (0, None), ended.stderr
    monkeypatch.setenv("SMOOTHRAY_JOURNAL", str(place / "elsewhere"))
    ended = main("import", "there.parquet")
    assert ended.returncode in (0, None), ended.stderr
    assert "made-up: 20 records taken in, 0 were here already" in ended.stderr
    back = recorded()
    assert back.identity == IDENTITY and back.decisions == [DECISION]
    assert back.delivered == back.records.keys() and len(back.records) == 20
    left_out = [] if fronts == "all" else ["latex"]
    pd.testing.assert_frame_equal(
        load_records("made-up").drop(columns=left_out),
        load_records("there.parquet").drop(columns=left_out),
    )
    # MLflow has them all, and a second time changes nothing.
    size = Journal("made-up").path.stat().st_size
    ended = main("import", "there.parquet")
    assert "0 records taken in, 20 were here already" in ended.stderr
    assert Journal("made-up").path.stat().st_size == size
    (place / "elsewhere" / "made-up.jsonl.gz").unlink()
    alone = recorded()
    assert alone.decisions == [DECISION]
    assert {kept_of_front(record) for record in alone.records.values()} == {fronts}
    assert alone.records.keys() == back.records.keys()


def test_ctrl_c_leaves_the_rest_for_the_next_time(place, smoothray):
    """By itself, after the batch at hand: the command must not abort, with a thread amid MLflow's work."""
    write(made_up(6, 5), place / "many.parquet", fronts="none")

    def delivered() -> int:
        entries = Journal("made-up").entries()
        return sum(len(entry["keys"]) for entry in entries if entry["kind"] == "delivered")

    command = [*COMMAND, "import", "many.parquet"]
    code, _, said = interrupted(command, place, "150 records taken in", until=delivered)
    assert code == 130 and "All records are in" in said and "terminate" not in said, said
    assert 0 < delivered() < 150
    ended = smoothray("import", "many.parquet", cwd=place)
    assert "0 records taken in, 150 were here already" in ended.stderr
    assert delivered() == 150


def test_what_is_here_stays_and_fronts_that_lack_come(place, main):
    records = made_up(1, 3)
    write(records, place / "slim.parquet", fronts="none")
    write(records, place / "whole.parquet", decisions=[DECISION])
    assert read_decisions(place / "whole.parquet") == [DECISION]
    main("import", "slim.parquet")
    assert all(record["front"] is None for record in recorded().records.values())
    ended = main("import", "whole.parquet")
    assert "0 records taken in, 15 made fuller, 0 were here already" in ended.stderr
    assert all(record["front"] for record in recorded().records.values())
    other = [{**record, "formula": "x", "student_r2_test": 0.5} for record in records]
    write(other, place / "other.parquet")
    ended = main("import", "other.parquet")
    assert "15 were here already, 15 of them with another formula, which stays" in ended.stderr
    assert not any(record["formula"] == "x" for record in recorded().records.values())


def test_a_fit_that_failed_here_and_not_there_comes(place, main):
    records = made_up(1, 3)
    write([failed(records[0], "slept"), *records[1:]], place / "failed.parquet")
    write([*records, failed(records[0], "slept")], place / "good.parquet")
    main("import", "failed.parquet")
    for file, told in ("good.parquet", "1 made fuller"), ("failed.parquet", "15 were here already"):
        assert told in main("import", file).stderr
        assert {record["status"] for record in recorded().records.values()} == {"ok"}


def test_fronts_in_mlflow_outlive_a_journal_without_them(place, main, monkeypatch):
    """As where the tracking server of a team has a study whole, and a table of scores is taken in."""
    records = made_up(1, 2)
    for fronts in FRONTS:
        write(records, place / f"{fronts}.parquet", fronts=fronts)
    main("import", "all.parquet")
    (place / ".smoothray" / "made-up.jsonl.gz").unlink()
    there = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/other.db")
    main("import", "scores.parquet")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", there)
    ended = main("import", "none.parquet")
    assert "10 were here already" in ended.stderr
    (place / ".smoothray" / "made-up.jsonl.gz").unlink()
    assert {kept_of_front(record) for record in recorded().records.values()} == {"all"}


def test_a_report_of_a_study_taken_in_from_scores_has_its_formulas(place, main):
    write(made_up(2, 2), place / "scores.parquet", fronts="scores")
    main("import", "scores.parquet")
    assert main("report", "made-up").returncode in (0, None)
    formulas = pd.read_csv(place / "made-up-report" / "tables" / "formulas.csv")
    assert len(formulas) == 2 and formulas["formula"].str.startswith("x + ").all()


def test_older_settings_and_named_strengths(place, main):
    """Settings from before students had all of today's keys; strengths that were named here stay named."""
    student = {"budget": "quick"}
    old = {**IDENTITY, "students": {"operon": student}, "fixed": {"jacobian": 0.1}}
    with Journal("made-up") as journal:
        journal.append("study", identity=old)
        journal.extend({"kind": "record", "record": record} for record in made_up(1, 2))
    write(made_up(1, 3), place / "old.parquet", identity={**old, "fixed": {}})
    for new in 5, 0:
        ended = main("import", "old.parquet")
        assert ended.returncode in (0, None), ended.stderr
        assert f"{new} records taken in" in ended.stderr
    assert recorded().identity["fixed"] == {"jacobian": 0.1}
    for fixed in {"jacobian": 0.1}, {}, {"jacobian": 0.01}:
        write(made_up(1, 1), place / "new.parquet", identity={**old, "fixed": fixed})
        main("import", "new.parquet", "--name", "new")
    assert recorded("new").identity["fixed"] == {"jacobian": 0.1}


def test_nothing_is_taken_in_where_mlflow_cannot_be_asked(place, main, monkeypatch):
    write(made_up(1, 1), place / "a.parquet")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = main("import", "a.parquet")
    assert ended.returncode == 2 and "does not answer" in ended.stderr
    assert not Journal("made-up").path.exists()


def test_another_name(place, main):
    write(made_up(1, 2), place / "a.parquet")
    assert main("import", "a.parquet", "--name", "mine").returncode in (0, None)
    assert {record["study"] for record in recorded("mine").records.values()} == {"mine"}
    assert not recorded().records


def test_what_cannot_be_taken_in_is_said_and_changes_nothing(place, main):
    records = made_up(1, 2)
    write(records, place / "good.parquet")
    write([], place / "empty.parquet")
    write_parquet(records, place / "old.parquet")
    write(records, place / "seed.parquet", identity={**IDENTITY, "seed": 2})
    write([{**r, "fingerprint": "f"} for r in records], place / "data.parquet")
    write([{**r, "fingerprint": str(r["trial"])} for r in records], place / "mixed.parquet")
    write([*records, {**records[0], "study": "b"}], place / "two.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(place / "table.parquet")
    (place / "text.parquet").write_text("text")
    main("import", "good.parquet")
    before = Journal("made-up").path.read_bytes()
    for file, word in {
        "absent.parquet": "there is no file absent.parquet",
        "empty.parquet": "holds no records",
        "old.parquet": "does not hold its study's settings",
        "seed.parquet": "seed was 1, now is 2",
        "data.parquet": "the data set 'd00' of the file is not the one recorded here",
        "mixed.parquet": "the file's own records of 'd00' were made with different data",
        "two.parquet": "holds records of 2 studies (b, made-up)",
        "table.parquet": "is no table of records",
        "text.parquet": "is no table of records",
    }.items():
        ended = main("import", file)
        assert ended.returncode == 2 and word in ended.stderr, ended.stderr
        assert ended.stderr.startswith("error: ") and "Traceback" not in ended.stderr
    assert Journal("made-up").path.read_bytes() == before
    for name, word in {
        **dict.fromkeys(("../x", "my study", "-a"), "a study's name is of letters"),
        300 * "a": "has 300 characters; a study's has at most 100",
    }.items():
        ended = main("import", "good.parquet", "--name", name)
        assert ended.returncode == 2 and word in ended.stderr
    ended = main("import", "mixed.parquet", "--name", "mixed")
    assert ended.returncode == 2
    assert [path.name for path in (place / ".smoothray").iterdir()] == ["made-up.jsonl.gz"]


def test_a_file_of_scores_is_small(tmp_path):
    records = made_up(4, 10)
    for fronts in ("all", "scores", "none"):
        write(records, tmp_path / f"{fronts}.parquet", fronts=fronts)
    sizes = [(tmp_path / f"{f}.parquet").stat().st_size for f in ("all", "scores", "none")]
    assert sizes == sorted(sizes, reverse=True)
    members = read_parquet(tmp_path / "scores.parquet")[0]["front"]
    assert "formula" not in members[0] and json.dumps(members)
