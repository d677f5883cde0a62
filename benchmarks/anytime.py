"""Does more time give better formulas, and better than the same time of Operon alone?

    python benchmarks/anytime.py [--seconds 10,30,100,300] [--sets 547_no2,503_wind] [--splits 3] [--jobs -1]

On each PMLB data set and split: `SymbolicDistiller(max_seconds=...)` with its default penalties, and with
penalty="direct", which is Operon alone: the same seconds, processes and budgets, as many restarts as fit, the
formula chosen by the same rows. R² on validation rows, which all choices are made on, and on test rows (a
quarter), which nothing is chosen by: their difference is what choosing from many formulas costs. Of large
sets 1,000 rows are used. Each time is a search of its own. What is done is written to the file after each
search, and not done again; figures from a busy machine say little.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smoothray import Dataset, SymbolicDistiller
from smoothray.commands.console import number, rows_table, show
from smoothray.datasets import load_dataset, parse_spec
from smoothray.datasets.splits import holdout
from smoothray.metrics.scores import r2
from smoothray.seeds import generator

SETS = ("522_pm10", "547_no2", "503_wind", "227_cpu_small", "225_puma8NH", "666_rmftsa_ladata")
METHODS = {"distilled": "auto", "Operon alone": "direct"}
ROWS = 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", default="10,30,100,300", help="separated by commas")
    parser.add_argument("--sets", default=",".join(SETS), help="separated by commas")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=-1)
    parser.add_argument("--out", type=Path, default=Path("anytime.csv"))
    options = parser.parse_args()
    times = [float(each) for each in options.seconds.split(",")]
    datasets = [load_dataset(parse_spec(f"pmlb:{name}")) for name in options.sets.split(",")]
    done = pd.read_csv(options.out) if options.out.exists() else pd.DataFrame()
    for split in range(options.splits):
        for dataset in datasets:
            for seconds in times:
                for method in METHODS:
                    key = {
                        "set": dataset.name,
                        "split": split,
                        "seconds": seconds,
                        "method": method,
                    }
                    if len(done) and (done[list(key)] == list(key.values())).all(axis=1).any():
                        continue
                    row = {**key, **searched(dataset, split, seconds, method, options.jobs)}
                    done = pd.concat([done, pd.DataFrame([row])], ignore_index=True)
                    done.to_csv(options.out, index=False)
                    print(f"{method} on {dataset.name}, split {split}, {seconds:g} s", flush=True)
    summary(done)


def searched(
    dataset: Dataset, split: int, seconds: float, method: str, jobs: int
) -> dict[str, Any]:
    """One search: its scores, its formula's size, and what was done in the time."""
    rows = generator("anytime", split).permutation(len(dataset.y))[:ROWS]
    X, y = dataset.X[rows], dataset.y[rows]
    train, test = holdout(len(y), split)
    model = SymbolicDistiller(METHODS[method], max_seconds=seconds, n_jobs=jobs, random_state=split)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X[train], y[train])
        told = model.predict(X[test])
    front = model.pareto_front_
    return {
        "r2_val": float(front.loc[front["chosen"], "r2_val"].item()),
        "r2_test": r2(y[test], told),
        "nodes": model.complexity_,
        "fits": model.search_["fits"],
        "took": model.search_["seconds"],
        "penalty": model.penalty_,
    }


def summary(done: pd.DataFrame) -> None:
    """Medians over the splits: a row for each set and method, a column for each time."""
    times = sorted(done["seconds"].unique())
    for value, title, digits in (
        ("r2_val", "R² on validation rows", 3),
        ("r2_test", "R² on test rows", 3),
        ("nodes", "nodes", 0),
        ("fits", "fits", 0),
    ):
        found = done.pivot_table(
            index=["set", "method"], columns="seconds", values=value, aggfunc="median", sort=False
        )
        rows = [
            [*map(str, place), *(number(row.get(each, np.nan), digits) for each in times)]
            for place, row in found.iterrows()
        ]
        columns = ["set", "method", *(f"{each:g} s" for each in times)]
        show(rows_table(f"Median {title}", columns, rows))
    late = done[done["took"] > 1.1 * done["seconds"]]
    print(f"{len(late)} of {len(done)} searches took over a tenth longer than they should")


if __name__ == "__main__":
    main()
