"""What a study will cost, before anything runs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from smoothray.commands.console import err, hours, out, rows_table, say, show
from smoothray.commands.costs import Costs, recorded_costs, students_memory, training_rows
from smoothray.commands.estimate import Estimate, Prices, Shape, estimate
from smoothray.commands.measure import measure
from smoothray.commands.run import load_datasets, refuse_changed_data
from smoothray.datasets import Dataset
from smoothray.errors import StudyError, plural
from smoothray.penalties import find_penalty
from smoothray.records.identity import continued
from smoothray.records.recorded import Recorded, read_study
from smoothray.search import Board, Score, Search
from smoothray.study import Study
from smoothray.study.plan import Arm, Job, Key, jobs


def plan(
    study: Study,
    only: Sequence[str],
    shapes: Sequence[Shape],
    prices: Prices | None,
    seconds: float,
) -> None:
    """Print what is to do, and what it will cost on clusters of these shapes.

    shapes: this machine where there are none. prices: None to say nothing of money. seconds: how long to
    time fits and banks of what is not recorded yet.

    Raises StudyError for what `run` would refuse, and after what can be said where a student cannot run here
    and was to be timed.
    """
    study.check(available=False)
    refused = study.unavailable()
    datasets = load_datasets(study, only)
    recorded = read_study(study.name, say)
    records = recorded.records
    refuse_changed_data(records.values(), datasets)
    search, todo = what_is_left(study, datasets, recorded)
    costs = recorded_costs(study, training_rows(study, datasets), records.values())
    with err.status("timing fits and banks on this machine"):
        measure(study, datasets, costs, seconds)
    shapes = shapes or [Shape(os.cpu_count() or 1)]
    each = {shape: estimate(study, todo, costs, shape.cores, shape.gpus) for shape in shapes}
    first, cost = next(iter(each.items()))
    wanted = search.known_keys()
    show(rows_table(study.name, ("data set", "rows", "arms", "fits", "to do", "a fit", "a bank"),
                    _rows(study, datasets, search, todo, costs)))  # fmt: skip
    most = "At most " if study.scheduler != "none" else ""
    drawn = sum(search.to_draw().values())
    print_line(
        f"{most}{len(wanted) + drawn} fits, {len(set(wanted) & set(records))} recorded; to do: {cost.fits} "
        f"fits and {cost.banks} banks of teachers."
    )
    unknown = [name for name in refused if not costs.knows(name)]
    untimed = Counter(key.student for job in todo for key in job.fits if key.student in unknown)
    work = f"About {hours(cost.fit_seconds)} of fits on one core and {hours(cost.bank_seconds)} of training"
    if len(each) == 1:
        where = f"{first.gpus:g} GPUs" if first.gpus else "the cores too, without a GPU"
        print_line(f"{work} on {where}; on {first.cores} cores all in about {hours(cost.wall)}.")
    else:
        print_line(f"{work}, which GPUs do, or the cores where there are none.")
        show(shapes_table(study, each, prices))
    if prices:
        print_line(price_line(study, each, prices))
    for name, count in untimed.items():
        print_line(
            f"{plural(count, 'fit')} of {name} {'is' if count == 1 else 'are'} not in these times."
        )
    print_line(memory_line(study, costs, cost.fits, max(shape.cores for shape in each)))
    for reason in refused.values():
        if seconds:
            raise StudyError(reason)
        say(reason)


def shapes_table(study: Study, each: Mapping[Shape, Estimate], prices: Prices | None) -> Table:
    """A row for each shape of cluster: how long it takes, and what it costs."""
    titles = ("cores", "GPUs", "time", *(("machines", "work alone") if prices else ()))
    rows = []
    for shape, cost in each.items():
        row = [str(shape.cores), f"{shape.gpus:g}", hours(cost.wall)]
        if prices:
            work = prices.of_work(cost, shape, study.teacher.gpu_share)
            row += [money(prices.of_machines(cost, shape)), money(work)]
        rows.append(row)
    return rows_table("Clusters", titles, rows)


def price_line(study: Study, each: Mapping[Shape, Estimate], prices: Prices) -> str:
    """What the prices come to; where there are several shapes their table says it."""
    hour = f"At {prices.core:g} an hour for a core"
    if any(shape.gpus for shape in each):
        hour += f" and {prices.gpu:g} for a GPU"
    what = "machines that are kept until all is done"
    if len(each) > 1:
        return f"{hour}: {what}, and the work alone, as if none stood idle. The head comes on top."
    ((shape, cost),) = each.items()
    machines = money(prices.of_machines(cost, shape))
    work = money(prices.of_work(cost, shape, study.teacher.gpu_share))
    return f"{hour}: about {machines} for {what}, {work} for the work alone; the head comes on top."


def money(amount: float) -> str:
    """An amount to the hundredth, or whole where it is large.

    >>> money(0.004), money(3.456), money(1234.5)
    ('0.00', '3.46', '1,234')
    """
    return f"{amount:,.0f}" if amount >= 100 else f"{amount:.2f}"


def print_line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True)


def memory_line(study: Study, costs: Costs, fits: int, cores: int) -> str:
    """What the students' processes hold.

    A study's actors have all its students loaded, and are replaced where they grow to twice that.
    """
    count = min(cores, max(fits, 1))
    names = " and ".join(settings.name for settings in study.students)
    needed = students_memory(study, costs, count)
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    short = f", and this machine has {there / 1e9:.0f} GB" if needed > there else ""
    what = "student's process" if count == 1 else "students' processes"
    verb = "needs" if count == 1 else "need"
    return f"{count} {what} ({names}) {verb} {gigabytes(needed)} of memory{short}."


def gigabytes(amount: float) -> str:
    """Bytes in words.

    >>> gigabytes(16 * 960 * 2**20), gigabytes(0.26e9)
    ('16 GB', '0.3 GB')
    """
    return f"{amount / 1e9:.0f} GB" if amount >= 9.5e9 else f"{amount / 1e9:.1f} GB"


def what_is_left(
    study: Study,
    datasets: Iterable[str],
    recorded: Recorded,
) -> tuple[Search, list[Job]]:
    """The search, and the jobs that are left; arms that are still to be drawn count as unknown ones.

    Raises StudyError where what is recorded is another study of this name.
    """
    if recorded.identity is not None:
        penalties = {key.arm.penalty for key in recorded.records}
        continued(study.name, recorded.identity, study.identity(), penalties)
    board = Board(study, map(Score.of, recorded.records.values()))
    search = Search(study, datasets, board, recorded.decisions)
    banks = {key: record["bank"] for key, record in recorded.records.items()}
    todo = jobs(search.known_keys(), banks)
    trials = tuple(range(study.trials))
    for group in search.groups:
        for place in range(group.undrawn):
            # It stands for one whose strength is not known yet.
            arm = Arm(group.penalty, -1.0 - place, stopping=group.stopping)
            keys = tuple(
                Key(group.dataset, arm, student.name, trial)
                for student in study.students
                for trial in trials
            )
            todo.append(Job.of(keys[0].teacher, trials, keys))
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
        timed = [student.name for student in study.students if costs.knows(student.name)]
        fit = sum(costs.fit(name, student) for student in timed) / max(len(timed), 1)
        banks = [
            job for job in todo if job.dataset == name and find_penalty(job.penalty).has_teacher
        ]
        bank = max(
            (
                costs.network(name, j.penalty, j.stopping) * len(j.trials) * j.ensemble
                for j in banks
            ),
            default=0.0,
        )
        undrawn = sum(group.undrawn for group in search.groups if group.dataset == name)
        rows.append(
            (name, f"{len(datasets[name].y):,}", str(arms[name] + undrawn), str(wanted[name]),
             str(left[name]), f"{fit:.1f} s" if timed else "–", f"{bank:.0f} s" if banks else "")
        )  # fmt: skip
    return rows
