"""Does the race find what the whole grid finds, with fewer fits?

    python benchmarks/racing.py [--study search_spaces/racing.yaml]

Runs the grid of the study (4 data sets × 12 strengths × 50 trials; what is recorded already is not run
again), and then plays the race and successive halving over the recorded scores, as if no more than they
asked for had been run: which strength they pick, the part of the grid's fits they needed, and how far the
picked strength's validation score over all trials is below the grid's best.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping

from smoothray.plan import Key
from smoothray.records import Record
from smoothray.running import load_datasets, run_study
from smoothray.search import Search, Turn
from smoothray.study import Study, load_study

AT_ONCE = 4
"""Turns under way at a time, as on a small machine."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--study", default="search_spaces/racing.yaml")
    grid = load_study(parser.parse_args().study)
    records = run_study(grid).records
    datasets = load_datasets(grid)
    print(
        f"{'scheduler':<10} {'data set':<26} {'picked':>8} {'best':>8} {'fits':>6} {'below the best':>15}"
    )
    for scheduler in ("race", "asha"):
        parts = []
        for name in datasets:
            picked, best, part, below = played(grid, scheduler, name, records)
            parts.append(part)
            print(f"{scheduler:<10} {name:<26} {picked:>8g} {best:>8g} {part:>6.0%} {below:>15.2%}")
        print(f"{scheduler:<10} {'mean':<26} {'':>8} {'':>8} {statistics.fmean(parts):>6.0%}")


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
