"""What a study will cost, before anything runs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from smoothray.commands.console import err, hours, out, rows_table, say, show
from smoothray.commands.estimate import Costs, estimate, measure, recorded_costs, training_rows
from smoothray.commands.run import load_datasets
from smoothray.datasets import Dataset
from smoothray.records.recorded import Recorded, read_study
from smoothray.search import Board, Score, Search
from smoothray.study import Study
from smoothray.study.plan import Arm, Job, Key, jobs


def plan(
    study: Study, only: Sequence[str], cores: int | None, gpus: float | None, seconds: float
) -> None:
    """Print what is to do, and what it will cost on so many cores and GPUs.

    seconds: how long to time fits and banks of what is not recorded yet.
    """
    study.check(available=bool(seconds))
    datasets = load_datasets(study, only)
    recorded = read_study(study.name, say)
    records = recorded.records
    search, todo = what_is_left(study, datasets, recorded)
    costs = recorded_costs(study, training_rows(study, datasets), records.values())
    with err.status("timing fits and banks on this machine"):
        measure(study, datasets, costs, seconds)
    cores = cores or os.cpu_count() or 1
    cost = estimate(study, todo, costs, cores, gpus or 0.0)
    wanted = search.known_keys()
    show(rows_table(study.name, ("data set", "rows", "arms", "fits", "to do", "a fit", "a bank"),
                    _rows(study, datasets, search, todo, costs)))  # fmt: skip
    most = "At most " if study.scheduler != "none" else ""
    drawn = sum(search.to_draw().values())
    out.print(
        f"{most}{len(wanted) + drawn} fits, {len(set(wanted) & set(records))} recorded; to do: {cost.fits} "
        f"fits and {cost.banks} banks of teachers.", highlight=False, soft_wrap=True,
    )  # fmt: skip
    where = f"{gpus:g} GPUs" if gpus else "the cores too, without a GPU"
    out.print(
        f"About {hours(cost.fit_seconds)} of fits on one core and {hours(cost.bank_seconds)} of "
        "training on "
        f"{where}; on {cores} cores all in about {hours(cost.wall)}.", highlight=False, soft_wrap=True,
    )  # fmt: skip


def what_is_left(
    study: Study,
    datasets: Iterable[str],
    recorded: Recorded,
) -> tuple[Search, list[Job]]:
    """The search, and the jobs that are left; arms that are still to be drawn count as unknown ones."""
    board = Board(study, map(Score.of, recorded.records.values()))
    search = Search(study, datasets, board, recorded.decisions)
    banks = {key: record["bank"] for key, record in recorded.records.items()}
    todo = jobs(search.known_keys(), banks)
    trials = tuple(range(study.trials))
    for group in search.groups:
        for place in range(group.undrawn):
            arm = Arm(group.penalty, -1.0 - place)  # stands for one whose strength is not known yet
            keys = tuple(
                Key(group.dataset, arm, student.name, trial)
                for student in study.students
                for trial in trials
            )
            todo.append(Job(group.dataset, group.penalty, arm.strength, 1, trials, keys))
    return search, todo


def _rows(
    study: Study, datasets: Mapping[str, Dataset], search: Search, todo: Sequence[Job], costs: Costs
) -> list[tuple[str, ...]]:
    wanted = Counter(key.dataset for key in search.known_keys()) + search.to_draw()
    left = Counter(key.dataset for job in todo for key in job.fits)
    arms = Counter(
        dataset for dataset, _ in {(key.dataset, key.arm) for key in search.known_keys()}
    )
    rows: list[tuple[str, ...]] = []
    for name in datasets:
        fit = sum(costs.fit(name, student.name) for student in study.students) / len(study.students)
        banks = [job for job in todo if job.dataset == name and job.penalty != "direct"]
        bank = max((costs.network(name, j.penalty) * len(j.trials) for j in banks), default=0.0)
        undrawn = sum(group.undrawn for group in search.groups if group.dataset == name)
        rows.append(
            (name, f"{len(datasets[name].y):,}", str(arms[name] + undrawn), str(wanted[name]),
             str(left[name]), f"{fit:.1f} s", f"{bank:.0f} s" if banks else "")
        )  # fmt: skip
    return rows
