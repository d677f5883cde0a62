"""Does distillation pay on tables of the engineering kind, and where?

    python benchmarks/tables.py --data ../shared/csv [--splits 10] [--budget standard] [--out tables.csv]

On each table and split: a formula distilled with the default penalties, its teacher, a formula of the same
student fitted directly, and of gplearn, a perceptron, gradient boosting and a linear model of scikit-learn
with their default settings. R² on test rows (a quarter), nodes, and seconds of one fit on one core. Of large
tables 2,000 rows are used. What is done is written to the file after each split, and not done again.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smoothray import Dataset, SymbolicDistiller
from smoothray.commands.console import number, rows_table, show
from smoothray.datasets import load_dataset, parse_spec
from smoothray.datasets.splits import holdout
from smoothray.metrics.scores import r2
from smoothray.seeds import generator

FILES = {"concrete": "Concrete-compressive-strength", "kin8nm": "y", "wine": "quality"}
MADE = {"friedman1": make_friedman1, "friedman2": make_friedman2, "friedman3": make_friedman3}
NOISE = {"friedman1": 1.0, "friedman2": 125.0, "friedman3": 0.1}
"""Of friedman2 and 3 noise for a signal-to-noise ratio of 3 to 1, as in Friedman (1991)."""
ROWS = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the CSV files")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--budget", default="standard")
    parser.add_argument("--out", type=Path, default=Path("tables.csv"))
    options = parser.parse_args()
    done = pd.read_csv(options.out) if options.out.exists() else pd.DataFrame()
    for split in range(options.splits):
        for name, dataset in tables(options.data):
            if len(done) and ((done["table"] == name) & (done["split"] == split)).any():
                continue
            rows = [
                {"table": name, "split": split, **row}
                for row in compared(dataset, split, options.budget)
            ]
            done = pd.concat([done, pd.DataFrame(rows)], ignore_index=True)
            done.to_csv(options.out, index=False)
            print(f"split {split} of {name}", flush=True)
    summary(done)


def tables(folder: Path) -> list[tuple[str, Dataset]]:
    """The tables, in the same order and with the same rows each time."""
    read = [
        (name, load_dataset(parse_spec({"file": str(folder / f"{name}.csv"), "target": target})))
        for name, target in FILES.items()
    ]
    for name, make in MADE.items():
        X, y = make(500, noise=NOISE[name], random_state=0)
        frame = pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]).assign(y=y)
        read.append((name, Dataset.from_frame(frame, "y", name=name)))
    return read


def compared(dataset: Dataset, split: int, budget: str) -> list[dict[str, Any]]:
    """One split: a row for each method."""
    rows = generator("tables", split).permutation(len(dataset.y))[:ROWS]
    X, y = dataset.X[rows], dataset.y[rows]
    train, test = holdout(len(y), split)
    results: list[dict[str, Any]] = []

    def fit(method: str, model: Any, nodes: Callable[[Any], Any] = lambda model: np.nan) -> Any:
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X[train], y[train])
            told = model.predict(X[test])
        seconds = time.perf_counter() - start
        results.append(
            {"method": method, "r2": r2(y[test], told), "nodes": nodes(model), "seconds": seconds}
        )
        return model

    size = lambda model: model.complexity_  # noqa: E731
    common = {"budget": budget, "random_state": split}
    distilled = fit("distilled", SymbolicDistiller("auto", **common), size)
    results.append(
        {
            "method": "its teacher",
            "r2": r2(y[test], distilled.teacher_.predict(X[test])),
            "nodes": np.nan,
        }
    )
    fit("direct, Operon", SymbolicDistiller("direct", **common), size)
    fit("direct, gplearn", SymbolicDistiller("direct", student="gplearn", **common), size)
    network = MLPRegressor(max_iter=1000, early_stopping=True, random_state=split)
    fit("perceptron", make_pipeline(StandardScaler(), network))
    fit("gradient boosting", HistGradientBoostingRegressor(random_state=split))
    fit("linear", LinearRegression(), lambda model: 4 * X.shape[1])
    return results


def summary(done: pd.DataFrame) -> None:
    """Medians over the splits, and in how many the distilled formula beat the direct fit."""
    medians = done.pivot_table(
        index="table", columns="method", values="r2", aggfunc="median", sort=False
    )
    methods = list(dict.fromkeys(done["method"]))
    shown = []
    for name, row in medians.iterrows():
        by_split = done[done["table"] == name].pivot(index="split", columns="method", values="r2")
        won = int((by_split["distilled"] > by_split["direct, Operon"]).sum())
        shown.append(
            [str(name), *(number(row[method]) for method in methods), f"{won} of {len(by_split)}"]
        )
    show(rows_table("Median R² on test rows", ["", *methods, "distilled beats direct"], shown))
    for value, digits in (("nodes", 0), ("seconds", 2)):
        found = done.pivot_table(
            index="table", columns="method", values=value, aggfunc="median", sort=False
        )
        rows = [
            [str(name), *(number(row.get(method, np.nan), digits) for method in methods)]
            for name, row in found.iterrows()
        ]
        show(rows_table(f"Median {value}", ["", *methods], rows))


if __name__ == "__main__":
    main()
