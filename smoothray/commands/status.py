"""How far a study is."""

from __future__ import annotations

import os
from collections import Counter

from smoothray.commands.console import hours, out, reasons, rows_table, say, show
from smoothray.commands.costs import recorded_costs
from smoothray.commands.estimate import estimate
from smoothray.commands.plan import what_is_left
from smoothray.datasets import expand
from smoothray.records.recorded import read_study
from smoothray.study import Study


def status(study: Study) -> None:
    """Print how far a study is: recorded, failed, stopped, and what is left. Needs no data.

    Raises StudyError where what is recorded is another study of this name.
    """
    datasets = [spec.name for spec in expand(study.datasets)]
    recorded = read_study(study.name, say)
    records = recorded.records
    search, todo = what_is_left(study, datasets, recorded)
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
    for reason in reasons(records[key] for key in mine):
        out.print(reason, markup=False, highlight=False, soft_wrap=True)
    if not todo:
        out.print("Everything is recorded.")
        return
    rows = {record["dataset"]: record["n_train"] for record in records.values()}
    costs = recorded_costs(study, rows, records.values())
    timed = {student for _, student in costs.fits}
    all_timed = {job.dataset for job in todo} <= rows.keys() and timed >= {
        s.name for s in study.students
    }
    cost = estimate(study, todo, costs if all_timed else None, os.cpu_count() or 1, 0.0)
    text = f"Left: {cost.fits} fits and {cost.banks} banks of teachers"
    if all_timed:
        text += f", about {hours(cost.wall)} on this machine's {os.cpu_count()} cores"
    out.print(text + ".", highlight=False, soft_wrap=True)
