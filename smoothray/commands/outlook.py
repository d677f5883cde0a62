"""What plan and status print: the work that a study comes to, and how far it is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from smoothray.commands.console import err, out, rows_table, show
from smoothray.commands.estimate import Costs, estimate, measure, recorded_costs, training_rows
from smoothray.commands.run import known_records, load_datasets
from smoothray.datasets import Dataset, expand
from smoothray.records.schema import Record
from smoothray.search import Search
from smoothray.search.search import Decision
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
    records, decisions = known_records(study.name)
    search, todo = _todo(study, datasets, records, decisions)
    costs = recorded_costs(study, training_rows(study, datasets), records.values())
    with err.status("timing fits and banks on this machine"):
        measure(study, datasets, costs, seconds)
    cores = cores or os.cpu_count() or 1
    found = estimate(study, todo, costs, cores, gpus or 0.0)
    wanted = search.known_keys()
    show(rows_table(study.name, ("data set", "rows", "arms", "fits", "to do", "a fit", "a bank"),
                    _rows(study, datasets, search, todo, costs)))  # fmt: skip
    most = "At most " if study.scheduler != "none" else ""
    drawn = sum(search.to_draw().values())
    out.print(
        f"{most}{len(wanted) + drawn} fits, {len(set(wanted) & set(records))} recorded; to do: {found.fits} "
        f"fits and {found.banks} banks of teachers.", highlight=False, soft_wrap=True,
    )  # fmt: skip
    where = f"{gpus:g} GPUs" if gpus else "the cores too, without a GPU"
    out.print(
        f"About {hours(found.fit_seconds)} of fits on one core and {hours(found.bank_seconds)} of "
        "training on "
        f"{where}; on {cores} cores all in about {hours(found.wall)}.", highlight=False, soft_wrap=True,
    )  # fmt: skip


def status(study: Study) -> None:
    """Print how far a study is: recorded, failed, stopped, and what is left. Needs no data."""
    datasets = [spec.name for spec in expand(study.datasets)]
    records, decisions = known_records(study.name)
    search, todo = _todo(study, datasets, records, decisions)
    left = Counter(key.dataset for job in todo for key in job.fits)
    wanted = Counter(key.dataset for key in search.known_keys()) + search.to_draw()
    mine = [key for key in search.known_keys() if key in records]
    failed = Counter(key.dataset for key in mine if records[key]["status"] == "failed")
    stopped = Counter(group.dataset for group in search.groups for _ in group.stopped)
    table = [
        (
            name,
            f"{wanted[name] - left[name]} of {wanted[name]}",
            str(failed[name]),
            str(stopped[name]),
        )
        for name in datasets
    ]
    show(rows_table(study.name, ("data set", "recorded", "failed", "arms stopped early"), table))
    if not todo:
        out.print("Everything is recorded.")
        return
    rows = {record["dataset"]: record["n_train"] for record in records.values()}
    costs = recorded_costs(study, rows, records.values())
    timed = {student for _, student in costs.fits}
    known = {job.dataset for job in todo} <= rows.keys() and timed >= {
        s.name for s in study.students
    }
    found = estimate(study, todo, costs if known else None, os.cpu_count() or 1, 0.0)
    text = f"Left: {found.fits} fits and {found.banks} banks of teachers"
    if known:
        text += f", about {hours(found.wall)} on this machine's {os.cpu_count()} cores"
    out.print(text + ".", highlight=False, soft_wrap=True)


def hours(seconds: float) -> str:
    """A length of time in the unit that suits it.

    >>> hours(40), hours(600), hours(9000)
    ('40 s', '10 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _todo(
    study: Study,
    datasets: Iterable[str],
    records: Mapping[Key, Record],
    decisions: Sequence[Decision],
) -> tuple[Search, list[Job]]:
    """The search, and the jobs that are left; arms that are still to be drawn count as unknown ones."""
    search = Search(study, datasets, records, decisions)
    banks = {key: record["bank"] for key, record in records.items()}
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
