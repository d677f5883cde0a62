"""How good are short formulas, with and without shortening?

    SMOOTHRAY_DATA=../shared/pmlb python benchmarks/fronts.py [--students operon gplearn] [--budget quick]
        [--datasets NAME ...] [--splits 4] [--out fronts.csv]

Each student that can run here is fitted to the labels of each data set (at most 500 rows) and split. Of its
front as it found it, and of the shortened one, the best formula on validation rows of at most 5, 8, 10, 15,
20 and 30 nodes in the data's own units is scored on the test rows. Seconds are of the processor: the fit's,
and what shortening adds to putting its front into the data's units. What is done is written to the file after
each fit, and not done again; medians over the splits are printed at the end.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smoothray.commands.console import number, rows_table, show
from smoothray.datasets import Dataset, load_dataset, parse_spec
from smoothray.distillation.members import Member, members_as_found, shortened_members
from smoothray.distillation.trial import Trial
from smoothray.formulas import complexity
from smoothray.metrics.scores import r2
from smoothray.seeds import generator
from smoothray.students import STUDENTS, find_student, make_student

DATASETS = (
    "225_puma8NH", "227_cpu_small", "690_visualizing_galaxy", "537_houses", "547_no2", "503_wind",
    "230_machine_cpu", "560_bodyfat", "522_pm10", "666_rmftsa_ladata", "1027_ESL", "529_pollen",
)  # fmt: skip
SIZES = (5, 8, 10, 15, 20, 30)
ROWS = 500
KEY = ["dataset", "split", "student", "budget"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", nargs="+", default=list(STUDENTS))
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    parser.add_argument("--splits", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("fronts.csv"))
    options = parser.parse_args()
    done = pd.read_csv(options.out) if options.out.exists() else pd.DataFrame(columns=KEY)
    for student in options.students:
        if reason := find_student(student).unavailable():
            print(f"{student} is left out: {reason}")
            continue
        for split in range(options.splits):
            for name in options.datasets:
                key = (name, split, student, options.budget)
                if key in set(done[KEY].itertuples(index=False, name=None)):
                    continue
                rows = [{**dict(zip(KEY, key, strict=True)), **row} for row in fronts(*key)]
                done = pd.concat([done, pd.DataFrame(rows)], ignore_index=True)
                done.to_csv(options.out, index=False)
                print(f"{student}, split {split} of {name}", flush=True)
    summary(done[done["budget"] == options.budget])


def fronts(name: str, split: int, student: str, budget: str) -> list[dict[str, Any]]:
    """One fit: a row for the student's front, and one for the shortened one."""
    whole = load_dataset(parse_spec(f"pmlb:{name}"))
    rows = np.sort(generator("fronts", name).permutation(len(whole.y))[:ROWS])
    dataset = Dataset(name, whole.X[rows], whole.y[rows], whole.feature_names, whole.target)
    trial = Trial.of(dataset, split, 0)
    program = make_student(student, budget=budget)
    program.warm_up()
    labels = trial.y["train"]
    start = time.process_time()
    candidates = program.fit(trial.x["train"], labels, dataset.feature_names, trial.student_seed)
    fitted = time.process_time()
    found = members_as_found(trial, candidates)
    in_units = time.process_time()
    short = shortened_members(trial, candidates, program, labels)
    more = time.process_time() - in_units - (in_units - fitted)
    return [
        {"shortened": False, "seconds": fitted - start, **scores(trial, found)},
        {"shortened": True, "seconds": max(more, 0.0), **scores(trial, short)},
    ]


def scores(trial: Trial, members: Sequence[Member]) -> dict[str, float]:
    """Test R² by size: of the safe formulas that are no larger the best on validation rows."""
    safe = [member for member in members if not member.unsafe] or members

    def of(member: Member, part: str) -> float:
        values = np.nan_to_num(member.outputs[part], nan=0.0, posinf=0.0, neginf=0.0)
        return r2(trial.y[part], values)

    by_size = {}
    for most in SIZES:
        small = [m for m in safe if complexity(m.found.expr) <= most]
        if small:
            by_size[str(most)] = of(max(small, key=lambda member: of(member, "val")), "test")
    return by_size


def summary(done: pd.DataFrame) -> None:
    sizes = [str(most) for most in SIZES]
    for student, fits in done.groupby("student", sort=False):
        shown = []
        for name, alike in fits.groupby("dataset", sort=False):
            before, after = (
                alike[alike["shortened"] == shortened][[*sizes, "seconds"]].median()
                for shortened in (False, True)
            )
            pairs = [f"{number(before[s], 2)} {number(after[s], 2)}" for s in sizes]
            seconds = f"{number(before['seconds'], 2)} + {number(after['seconds'], 2)}"
            shown.append([str(name), *pairs, seconds])
        every = fits.groupby("shortened")[[*sizes, "seconds"]].median()
        pairs = [f"{number(every[s][False], 2)} {number(every[s][True], 2)}" for s in sizes]
        seconds = " + ".join(number(every["seconds"][each], 2) for each in (False, True))
        shown.append(["median of all", *pairs, seconds])
        count = fits["split"].nunique()
        title = (
            f"{student}: R² at most so many nodes, as found and shortened, median of {count} splits"
        )
        show(rows_table(title, ["", *(f"≤ {s}" for s in sizes), "CPU s"], shown))


if __name__ == "__main__":
    main()
