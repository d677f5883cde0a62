"""Does the race find what the whole grid finds, with fewer fits?

    python benchmarks/racing.py [--study search_spaces/racing.yaml] [--orders 20]

Runs the grid of the study (4 data sets × 12 strengths × 50 trials; what is recorded already is not run
again), and then plays the race and Tune's ASHA over the recorded scores, as if no more than they
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

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from smoothray.commands.console import rows_table, show
from smoothray.commands.run import load_datasets, run_study
from smoothray.scheduling.scheduler import scheduler_of
from smoothray.search import Board, Score, Search
from smoothray.study import Study, load_study
from smoothray.study.plan import Key, Setting

AT_ONCE = 3
"""Settings under way at a time, as on a small machine."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--study", default="search_spaces/racing.yaml")
    parser.add_argument("--orders", type=int, default=20)
    options = parser.parse_args()
    grid = load_study(options.study)
    rows_by_key = run_study(grid).rows
    scores = {key: Score.of(row) for key, row in rows_by_key.items()}
    datasets = load_datasets(grid)
    rng = random.Random(0)
    orders = [rng.sample(range(grid.trials), grid.trials) for _ in range(options.orders)]
    rows = []
    for scheduler in ("race", "asha"):
        for name in datasets:
            picked, best, part, below = played(grid, scheduler, name, scores)
            plays = [played(grid, scheduler, name, reordered(scores, order)) for order in orders]
            lost = [play[3] for play in plays]
            rows.append(
                (
                    scheduler, name, f"{picked:g}", f"{best:g}", f"{part:.0%}", f"{below:.2%}",
                    f"{statistics.fmean(play[2] for play in plays):.0%}",
                    f"{statistics.fmean(x <= 0.01 for x in lost):.0%}", f"{statistics.fmean(lost):.2%}",
                )
            )  # fmt: skip
    columns = (
        "scheduler", "data set", "picked", "best", "fits", "below the best",
        f"fits, {options.orders} orders", "within 1 %", "below on average",
    )  # fmt: skip
    show(rows_table("Races over recorded trials", columns, rows))


def reordered(scores: Mapping[Key, Score], order: Sequence[int]) -> dict[Key, Score]:
    """The scores as if the trials had come in another order."""
    place = {trial: i for i, trial in enumerate(order)}
    moved = {key: replace(key, trial=place[key.trial]) for key in scores}
    return {moved[key]: Score(moved[key], score.value) for key, score in scores.items()}


def played(
    grid: Study, scheduler: str, dataset: str, scores: Mapping[Key, Score]
) -> tuple[float, float, float, float]:
    """The picked and the best strength, the part of the fits, and the relative loss in validation R²."""
    study = grid.model_copy(update={"scheduler": scheduler})
    search = Search(study, [dataset], Board(study))
    used = play(search, scores)
    mine = {key: score for key, score in scores.items() if key.dataset == dataset}
    by_strength: dict[float, list[float]] = {}
    for key, score in mine.items():
        if key.arm.strength is not None and score.value is not None:
            by_strength.setdefault(key.arm.strength, []).append(score.value)
    whole = {strength: statistics.median(values) for strength, values in by_strength.items()}
    finished = {
        key.arm.strength
        for key in used
        if key.trial == grid.trials - 1 and key.arm.strength is not None
    }
    picked = max(finished, key=lambda strength: whole[strength])
    best = max(whole, key=lambda strength: whole[strength])
    return picked, best, len(used) / len(mine), (whole[best] - whole[picked]) / abs(whole[best])


def play(search: Search, scores: Mapping[Key, Score]) -> set[Key]:
    """Play Tune: settings run a block at a time, some side by side. The keys that were needed."""
    board = search.board
    (group,) = search.groups
    scheduler = scheduler_of(search, group)
    trials: dict[Setting, Trial] = {}
    running: list[Setting] = []
    used: set[Key] = set()
    while True:
        while len(running) < AT_ONCE:
            setting = search.next()
            if not isinstance(setting, Setting):
                setting = search.released(group, given=True)
            if setting is None:
                break
            if setting not in trials:
                trials[setting] = Trial("played", stub=True, trial_id=str(setting))
                scheduler.on_trial_add(None, trials[setting])
            running.append(setting)
        if not running:
            return used
        setting = running.pop(0)
        block = board.first_open_block(setting)
        for key in board.keys(setting, block):
            if not board.has(key):
                used.add(key)
                board.add(scores[key])
        result = {"trials": board.blocks[block], "score": board.median(setting, block)}
        decision = scheduler.on_trial_result(None, trials[setting], result)
        if block == len(board.blocks) - 1:
            search.ended(setting)
        elif decision == TrialScheduler.PAUSE:
            search.waits(setting)
        elif decision == TrialScheduler.STOP:
            search.stop(setting, block, "")
            search.ended(setting)
        else:
            running.append(setting)


if __name__ == "__main__":
    main()
