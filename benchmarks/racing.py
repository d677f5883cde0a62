"""Does the race find what the whole grid finds, with fewer fits?

    python benchmarks/racing.py [--study search_spaces/racing.yaml] [--orders 20]

Runs the grid of the study (4 data sets × 12 strengths × 50 trials; what is recorded already is not run
again), and then plays the race and successive halving over the recorded scores, as if no more than they
asked for had been run: which strength they pick, the part of the grid's fits they needed, and how far the
picked strength's validation score over all trials is below the grid's best. Which trials come first is luck,
so the same is played over random orders of the trials: how often the pick is within 1 % of the best, and how
far below it on average.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from smoothray.commands.console import rows_table, show
from smoothray.commands.run import load_datasets, run_study
from smoothray.records.schema import Record
from smoothray.search import Search, Turn
from smoothray.study import Study, load_study
from smoothray.study.plan import Key

AT_ONCE = 4
"""Turns under way at a time, as on a small machine."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--study", default="search_spaces/racing.yaml")
    parser.add_argument("--orders", type=int, default=20)
    options = parser.parse_args()
    grid = load_study(options.study)
    records = run_study(grid).records
    datasets = load_datasets(grid)
    rng = random.Random(0)
    orders = [rng.sample(range(grid.trials), grid.trials) for _ in range(options.orders)]
    rows = []
    for scheduler in ("race", "asha"):
        for name in datasets:
            picked, best, part, below = played(grid, scheduler, name, records)
            found = [played(grid, scheduler, name, reordered(records, order)) for order in orders]
            lost = [each[3] for each in found]
            rows.append(
                (
                    scheduler, name, f"{picked:g}", f"{best:g}", f"{part:.0%}", f"{below:.2%}",
                    f"{statistics.fmean(each[2] for each in found):.0%}",
                    f"{statistics.fmean(x <= 0.01 for x in lost):.0%}", f"{statistics.fmean(lost):.2%}",
                )
            )  # fmt: skip
    columns = (
        "scheduler", "data set", "picked", "best", "fits", "below the best",
        f"fits, {options.orders} orders", "within 1 %", "below on average",
    )  # fmt: skip
    show(rows_table("Races over recorded trials", columns, rows))


def reordered(records: Mapping[Key, Record], order: Sequence[int]) -> dict[Key, Record]:
    """The records as if the trials had come in another order."""
    place = {trial: i for i, trial in enumerate(order)}
    return {
        replace(key, trial=place[key.trial]): {**record, "trial": place[key.trial]}
        for key, record in records.items()
    }


def played(
    grid: Study, scheduler: str, dataset: str, records: Mapping[Key, Record]
) -> tuple[float, float, float, float]:
    """The picked and the best strength, the part of the fits, and the relative loss in validation R²."""
    search = Search(grid.model_copy(update={"scheduler": scheduler}), [dataset], {})
    waiting: list[Turn] = []
    used: set[Key] = set()
    while True:
        found = search.next() if len(waiting) < AT_ONCE else None
        if isinstance(found, Turn):
            waiting.append(found)
            continue
        if not waiting:
            break
        turn = waiting.pop(0)
        for key in search.wanted(turn.dataset, turn.arm, turn.block):
            if key not in used:
                used.add(key)
                search.add(records[key])
        search.done(turn)
    scores: dict[float, list[float]] = {}
    for key, record in records.items():
        if key.dataset == dataset and key.arm.strength is not None and record["status"] == "ok":
            scores.setdefault(key.arm.strength, []).append(record["student_r2_val"])
    whole = {strength: statistics.median(values) for strength, values in scores.items()}
    finished = {
        key.arm.strength
        for key in used
        if key.trial == grid.trials - 1 and key.arm.strength is not None
    }
    picked = max(finished, key=lambda strength: whole[strength])
    best = max(whole, key=lambda strength: whole[strength])
    total = sum(len(values) for values in scores.values())
    return picked, best, len(used) / total, (whole[best] - whole[picked]) / abs(whole[best])


if __name__ == "__main__":
    main()
