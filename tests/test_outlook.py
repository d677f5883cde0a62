"""What a study will cost and how far it is: the estimate played through, and the two commands."""

from __future__ import annotations

import re

import pytest
import yaml
from conftest import all_keys as keys
from test_processes import Apart

from smoothray.commands.costs import STOP_SECONDS, Costs, recorded_costs, training_rows
from smoothray.commands.estimate import START_SECONDS, Prices, Shape, estimate
from smoothray.commands.measure import measure
from smoothray.commands.run import load_datasets
from smoothray.errors import past_limit
from smoothray.records.journal import Journal
from smoothray.records.schema import failed, new_record
from smoothray.students import OperonStudent
from smoothray.study import parse_study
from smoothray.study.plan import jobs

SMALL = """
name: small
datasets: [sklearn:iris, sklearn:friedman3]
trials: 2
penalties: {jacobian: {loguniform: [0.01, 1.0], samples: 3, searcher: optuna}}
teacher: {steps: 60, hidden: [8]}
student: {options: {population_size: 50, generations: 5}}
restarts: 1
"""


def study(**changes):
    return parse_study(
        {
            "name": "s",
            "datasets": "offline",
            "trials": 4,
            "penalties": {"jacobian": [0.1]},
            **changes,
        }
    )


def test_fits_on_one_core_take_the_sum_of_their_seconds():
    todo = jobs(keys(study(baselines=["direct"], penalties={}), ["iris"], 4), {})
    costs = Costs({"iris": 90}, fits={("iris", "operon"): 2.0})
    one, two = (estimate(study(), todo, costs, cores, 0) for cores in (1, 2))
    assert one.fit_seconds == two.fit_seconds == 8.0 and one.fits == 4 and one.banks == 0
    assert one.wall - two.wall == pytest.approx(4.0)


def test_banks_take_cores_only_where_there_is_no_gpu():
    todo = jobs(keys(study(baselines=["none"]), ["iris"], 4), {})
    costs = Costs({"iris": 90}, {("iris", "operon"): 1.0}, {("iris", ("none", "early")): 5.0})
    without, with_gpu = (estimate(study(), todo, costs, 1, gpus) for gpus in (0, 1))
    assert without.banks == 2 and without.bank_seconds == 2 * 4 * 5.0
    assert with_gpu.wall < without.wall
    assert without.wall >= 40 + 8


def test_cores_do_not_wait_for_a_bank_while_there_is_other_work():
    many = study(
        datasets=["sklearn:iris"],
        trials=40,
        penalties={"jacobian": [0.1, 0.2, 0.3, 0.4]},
        restarts=4,
    )
    todo = jobs(keys(many, ["iris"], 40), {})
    costs = Costs({"iris": 90}, {("iris", "operon"): 3.0}, {("iris", ("none", "early")): 1.5})
    for cores, gpus in ((2, 0), (4, 0), (4, 1)):
        cost = estimate(many, todo, costs, cores, gpus)
        work = cost.fit_seconds + (0 if gpus else cost.bank_seconds)
        longest = 40 * 1.5 + 40 * 3.0 / cores
        assert work / cores <= cost.wall - START_SECONDS <= work / cores + longest


def test_what_machines_cost_is_more_than_the_work():
    todo = jobs(keys(study(baselines=["none"]), ["iris"], 4), {})
    costs = Costs({"iris": 90}, {("iris", "operon"): 1.0}, {("iris", ("none", "early")): 5.0})
    prices, few, many, one_gpu = Prices(0.04, 1.2), Shape(2), Shape(8), Shape(2, 1)
    bills = {}
    for shape in (few, many, one_gpu):
        cost = estimate(study(), todo, costs, shape.cores, shape.gpus)
        bills[shape] = (prices.of_machines(cost, shape), prices.of_work(cost, shape, 0.25))
    # 48 seconds of fits and banks on cores; 8 of fits and a quarter of a GPU for 40.
    assert bills[few][1] == bills[many][1] == pytest.approx(48 * 0.04 / 3600)
    assert bills[one_gpu][1] == pytest.approx((8 * 0.04 + 40 * 0.25 * 1.2) / 3600)
    assert all(machines > work for machines, work in bills.values())
    assert bills[many][0] > bills[few][0]  # most of eight cores wait for two banks


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--price-core-hour=-1", "--price-core-hour takes a number of 0 or more, not '-1'"),
        ("--price-core-hour=dear", "--price-core-hour takes a number of 0 or more, not 'dear'"),
        (
            "--price-core-hour=.04 --price-gpu-hour=inf",
            "--price-gpu-hour takes a number of 0 or more",
        ),
        ("--price-core-hour=nan", "not 'nan'"),
        ("--price-gpu-hour=1.2", "--price-core-hour is missing; give both prices, 0 for"),
        ("--gpus=2 --price-core-hour=.04", "--price-gpu-hour is missing"),
        ("--cores=0", "--cores takes a whole number of 1 or more, not '0'"),
        ("--cores=4,2.5", "--cores takes a whole number of 1 or more, not '2.5'"),
        ("--cores=4,8,16 --gpus=0,1", "--gpus has 2 numbers and --cores 3; give"),
    ],
)
def test_a_wrong_price_is_said_before_any_work(main, place, options, reason):
    # The file is not there either: what was typed is looked at first.
    done = main("plan", "missing.yaml", *options.split())
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and reason in line


def test_what_is_not_known_lies_on_the_line_through_what_is():
    costs = Costs({"a": 100, "b": 300, "c": 200, "d": 600}, {("a", "o"): 1.0, ("b", "o"): 3.0})
    assert costs.fit("c", "o") == pytest.approx(2.0) and costs.fit("d", "o") == pytest.approx(6.0)
    more = Costs({"a": 100, "b": 100, "c": 100}, {("a", "o"): 1.0, ("b", "o"): 3.0})
    assert [more.fit(name, "o") for name in "abc"] == [1.0, 3.0, 2.0]
    costs.networks = {("a", ("none", "early")): 1.0, ("b", ("none", "early")): 2.0}
    costs.batch = 300
    assert costs.network("d", "jacobian", "early") == pytest.approx(2.0)


def test_recorded_seconds_are_medians_and_are_not_measured_again():
    small = study(datasets=["sklearn:iris"], teacher={"steps": 60, "hidden": [8]})
    datasets = load_datasets(small)
    records = []
    for place, key in enumerate(keys(small, datasets, 3)):
        record = new_record("s", key, {"train": 90, "val": 22, "test": 38}, "f", (), "fidelity")
        record |= {"student_seconds": float(place % 3), "status": "ok"}
        record["teacher_seconds"] = None if key.arm.penalty == "direct" else 0.5
        records.append(record)
    costs = recorded_costs(small, training_rows(small, datasets), records)
    assert costs.fits == {("iris", "operon"): 1.0}
    taught = [("none", "early"), ("jacobian", "early")]
    assert costs.networks == {("iris", regime): 0.5 for regime in taught}
    before = (dict(costs.fits), dict(costs.networks))
    measure(small, datasets, costs, 0)
    assert (costs.fits, costs.networks) == before


def test_a_fit_past_its_time_limit_costs_the_limit_and_a_new_process():
    costs = Costs(
        {"iris": 90}, {("iris", "operon"): 25.0}, limits={"operon": 10.0}, starts={"operon": 3.0}
    )
    assert costs.fit("iris", "operon") == 10 + STOP_SECONDS + 3
    costs.limits["operon"] = 30.0
    assert costs.fit("iris", "operon") == 25


def test_recorded_fits_that_passed_their_limit_count_with_their_share():
    small = study(datasets=["sklearn:iris"], baselines=["direct"], penalties={})
    datasets = load_datasets(small)
    records = []
    for place, key in enumerate(keys(small, datasets, 4)):
        record = new_record("s", key, {"train": 90, "val": 22, "test": 38}, "f", (), "fidelity")
        record["student_seconds"] = 2.0
        if place == 3:
            record = failed(record | {"student_seconds": None}, past_limit(600))
        records.append(record)
    costs = recorded_costs(small, training_rows(small, datasets), records)
    ended = 600 + STOP_SECONDS + OperonStudent.start_seconds
    assert costs.fits == {("iris", "operon"): pytest.approx(0.75 * 2 + 0.25 * ended)}


@pytest.mark.parametrize("command", ["plan", "status"])
def test_they_refuse_what_run_would_and_take_its_options(main, place, command):
    (place / "small.yaml").write_text(SMALL)
    recorded = parse_study(yaml.safe_load(SMALL)).identity()
    with Journal("small") as journal:
        journal.append("study", identity=recorded)
    done = main(command, "small.yaml", "--budget", "standard")
    assert done.returncode == 2 and "budget was quick, now is standard" in done.stderr
    for options in ["--budget", "quick"], ["--name", "other", "--seed", 1, "--budget", "standard"]:
        done = main(command, "small.yaml", *options)
        assert done.returncode in (0, None), done.stderr
        assert "20 fits" in done.stdout


def test_a_student_with_a_process_of_its_own_is_timed_in_it(tmp_path, monkeypatch):
    import torch  # noqa: F401  (which it may not meet)

    monkeypatch.setenv("APART", str(tmp_path))
    apart = study(
        datasets=["sklearn:iris"],
        students=["test_processes:Apart"],
        baselines=["direct"],
        penalties={},
    )
    datasets = load_datasets(apart)
    costs = Costs.of(apart, training_rows(apart, datasets))
    measure(apart, datasets, costs, 0)
    assert costs.knows("test_processes:Apart") and costs.starts["test_processes:Apart"] > 0
    assert 20 * 2**20 < costs.memory["test_processes:Apart"] != Apart.memory
    assert (tmp_path / "fitted").exists() and not (tmp_path / "beside torch").exists()


def test_a_plan_of_pysr_says_what_it_needs_where_it_cannot_run(smoothray, place, monkeypatch):
    for name in ("PYTHON_JULIACALL_EXE", "PYTHON_JULIACALL_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHON_JULIAPKG_EXE", "/no/such/julia")
    text = SMALL.replace("student: {", "students: [pysr, {name: operon, ").replace("5}}", "5}}]")
    (place / "both.yaml").write_text(text.replace("name: small", "name: both"))
    done = smoothray("plan", "both.yaml", "--seconds", 1, "--cores", 16, cwd=place)
    assert done.returncode == 2
    assert "40 fits, 0 recorded; to do: 40 fits and 8 banks" in done.stdout
    assert "20 fits of pysr are not in these times." in done.stdout
    assert "16 students' processes (pysr and operon) need 16 GB of memory" in done.stdout
    (told,) = [line for line in done.stderr.splitlines() if "pysr" in line]
    assert told.startswith("error: the student 'pysr' cannot run here: PYTHON_JULIAPKG_EXE is")


@pytest.mark.ray
@pytest.mark.slow
def test_a_race_is_planned_and_run_and_its_decisions_and_drawn_strengths_are_kept(
    smoothray, main, place
):
    raced = SMALL.replace("name: small", "name: raced").replace(", sklearn:friedman3", "")
    raced = raced.replace("trials: 2", "trials: 8\nscheduler: race\nblocks: [5]")
    drawn = "{loguniform: [0.01, 1.0], samples: 2, searcher: optuna}"
    raced = re.sub(
        "penalties: .*", f"penalties: {{jacobian: [0.1, 1000.0], lipschitz: {drawn}}}", raced
    )
    (place / "raced.yaml").write_text(raced)
    done = main("plan", "raced.yaml", "--seconds", 1, "--cores", 4)
    assert done.returncode in (0, None), done.stderr
    assert "48 fits, 0 recorded; to do: 48 fits and 5 banks" in done.stdout
    assert "on 4 cores all in about" in done.stdout and " an hour" not in done.stdout
    prices = ("--price-core-hour", ".04", "--price-gpu-hour", "1.2")
    done = main("plan", "raced.yaml", "--seconds", 0, "--cores", 4, *prices)
    assert re.search(
        r"At 0\.04 an hour for a core: about 0\.0\d for machines .*, 0\.0\d for the work",
        done.stdout,
    )
    shapes = ("--cores", "2,64,64", "--gpus", "0,0,2")
    done = main("plan", "raced.yaml", "--seconds", 0, *shapes, *prices)
    rows = [re.findall(r"[^│\s]+", line) for line in done.stdout.splitlines() if "│" in line]
    table = [row for row in rows if row[:2] in (["2", "0"], ["64", "0"], ["64", "2"])]
    assert len(table) == 3, done.stdout
    assert "At 0.04 an hour for a core and 1.2 for a GPU: machines that" in done.stdout
    done = main("status", "raced.yaml")
    assert done.returncode == 0 and "0 of 48" in done.stdout
    assert "Left: 48 fits and 5 banks of teachers." in done.stdout

    done = smoothray("run", "raced.yaml", "--cores", 2, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "did not run to the end (race)" in done.stderr
    assert "optuna" not in done.stderr
    assert main("export", "raced", "raced.parquet").returncode == 0
    import pandas as pd

    counts = pd.read_parquet(place / "raced.parquet").groupby(
        ["dataset", "penalty", "strength"], dropna=False
    )
    sizes = counts["trial"].nunique()
    assert set(sizes) == {5, 8} and (sizes.xs("none", level=1) == 8).all()
    assert sizes["iris", "jacobian", 1000.0] == 5
    done = main("status", "raced.yaml")
    assert "Everything is recorded." in done.stdout
    # The drawn strengths stand in the journal: a second start draws none anew.
    again = main("run", "raced.yaml", "--cores", 2)
    assert "are recorded already" in again.stderr, again.stderr
    (place / ".smoothray/raced.jsonl.gz").unlink()  # MLflow knows which arms were stopped
    again = main("run", "raced.yaml", "--cores", 2)
    assert again.returncode == 0 and "are recorded already" in again.stderr, again.stderr
    done = main("plan", "missing.yaml")
    assert done.returncode == 2 and "missing.yaml" in done.stderr
