"""SymbolicDistiller beside a direct fit, gplearn, and scikit-learn's own models, on splits of real data.

    python benchmarks/library.py [FILE.csv TARGET] [--splits 10] [--budget quick] [--only models|selections]

First table: test R² and size, medians over the splits, of the distiller (its default penalty and Jacobian,
each with strength="auto"), Operon and gplearn fitted directly to the labels, a perceptron, gradient boosting
and a linear model. Sizes are nodes of a formula, parameters of a perceptron or a linear model, leaves of all
trees. Second: what strength="auto" costs beside one strength. Third: the same fronts with the formula chosen
by "accuracy", "fidelity" and "sobolev": R², fidelity, size, and how far the formula's gradient is from the
teacher's on the test rows (relative mean square; 1 is a formula without any slope). Data: four sets of pmlb20
(SMOOTHRAY_DATA, or downloaded), and the file if one is given.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from rich import print
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from smoothray import SymbolicDistiller
from smoothray.commands.console import rows_table, show
from smoothray.datasets import Dataset, load_dataset, parse_spec
from smoothray.formulas import value_and_gradient

SETS = ("230_machine_cpu", "560_bodyfat", "547_no2", "690_visualizing_galaxy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("target", nargs="?")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--budget", default="standard")
    parser.add_argument("--only", choices=("models", "selections"))
    options = parser.parse_args()
    specs: list[Any] = [f"pmlb:{name}" for name in SETS]
    if options.file:
        specs.insert(0, {"file": str(Path(options.file).resolve()), "target": options.target})
    datasets = [load_dataset(parse_spec(spec)) for spec in specs]
    if options.only != "selections":
        models(datasets, options.splits, options.budget)
    if options.only != "models":
        selections(datasets[-len(SETS) :], options.splits, options.budget)


def splits(datasets: list[Dataset], count: int) -> Iterator[tuple[Dataset, int]]:
    return ((dataset, split) for dataset in datasets for split in range(count))


def parts(dataset: Dataset, split: int) -> list[Any]:
    frame = pd.DataFrame(dataset.X, columns=list(dataset.feature_names))
    return train_test_split(frame, dataset.y, test_size=0.25, random_state=split)


def contestants(budget: str, split: int) -> dict[str, Any]:
    shared = {"budget": budget, "random_state": split}
    return {
        "distiller (lipschitz)": SymbolicDistiller("lipschitz", **shared),
        "distiller (jacobian)": SymbolicDistiller("jacobian", **shared),
        "Operon, direct": SymbolicDistiller("direct", **shared),
        "gplearn, direct": SymbolicDistiller("direct", student="gplearn", **shared),
        "perceptron": make_pipeline(
            StandardScaler(),
            MLPRegressor(
                hidden_layer_sizes=(64, 64),
                max_iter=1000,
                early_stopping=True,
                random_state=split,
            ),
        ),
        "gradient boosting": GradientBoostingRegressor(random_state=split),
        "linear": LinearRegression(),
    }


def size(model: Any) -> int:
    if isinstance(model, SymbolicDistiller):
        return int(model.complexity_)
    if isinstance(model, LinearRegression):
        return int(model.coef_.size) + 1
    if isinstance(model, GradientBoostingRegressor):
        return int(sum(tree.get_n_leaves() for tree in model.estimators_.ravel()))
    network = model[-1]
    return int(sum(part.size for part in (*network.coefs_, *network.intercepts_)))


def fit_all(dataset: Dataset, split: int, budget: str) -> list[dict[str, Any]]:
    X, X_test, y, y_test = parts(dataset, split)
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in contestants(budget, split).items():
            start = time.perf_counter()
            model.fit(X, y)
            seconds = time.perf_counter() - start
            about = {"data set": dataset.name, "model": name, "seconds": seconds}
            score = r2_score(y_test, model.predict(X_test))
            rows.append({**about, "R²": score, "size": size(model)})
        start = time.perf_counter()
        SymbolicDistiller("lipschitz", 0.01, budget=budget, random_state=split).fit(X, y)
        rows.append(
            {"data set": dataset.name, "model": "one", "seconds": time.perf_counter() - start}
        )
    return rows


def models(datasets: list[Dataset], count: int, budget: str) -> None:
    work = (joblib.delayed(fit_all)(d, s, budget) for d, s in splits(datasets, count))
    found = pd.DataFrame(sum(joblib.Parallel(n_jobs=-1)(work), []))
    median = found.groupby(["model", "data set"], sort=False)[["R²", "size", "seconds"]].median()
    names = [dataset.name for dataset in datasets]
    for column, form in (("R²", ".3f"), ("size", ".0f"), ("seconds", ".1f")):
        rows = [
            (model, *(format(median.loc[(model, name), column], form) for name in names))
            for model in contestants(budget, 0)
        ]
        show(rows_table(f"{column}, median of {count} splits", ("", *names), rows))
    seconds = found.pivot_table(
        index="data set", columns="model", values="seconds", aggfunc="median"
    )
    ratio = seconds["distiller (lipschitz)"] / seconds["one"]
    least, most = ratio.min(), ratio.max()
    print(f"five strengths take {least:.1f} to {most:.1f} times as long as one, in one process")


def choose_all(dataset: Dataset, split: int, budget: str) -> list[dict[str, Any]]:
    X, X_test, _, y_test = parts(dataset, split)
    rows = []
    for selection in ("accuracy", "fidelity", "sobolev"):
        model = SymbolicDistiller(
            "jacobian", 0.01, budget=budget, selection=selection, random_state=split
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.perf_counter()
            model.fit(X, parts(dataset, split)[2])
            seconds = time.perf_counter() - start
            predicted = model.predict(X_test)
        teacher = model.teacher_
        told, slopes = teacher.predict(X_test), teacher.gradients(X_test.to_numpy())
        scale = X.to_numpy().std(0)
        own = value_and_gradient(model.sympy(), X_test.to_numpy(), list(X.columns))[1]
        difference = np.nansum(((own - slopes) * scale) ** 2)
        rows.append(
            {
                "data set": dataset.name,
                "selection": selection,
                "R²": r2_score(y_test, predicted),
                "fidelity": r2_score(told, predicted),
                "gradient": difference / np.sum((slopes * scale) ** 2),
                "nodes": model.complexity_,
                "seconds": seconds,
            }
        )
    return rows


def selections(datasets: list[Dataset], count: int, budget: str) -> None:
    work = (joblib.delayed(choose_all)(d, s, budget) for d, s in splits(datasets, count))
    found = pd.DataFrame(sum(joblib.Parallel(n_jobs=-1)(work), []))
    median = found.groupby(["data set", "selection"], sort=False).median()
    rows = [
        (name, selection, *(f"{row[c]:.3f}" for c in ("R²", "fidelity", "gradient")),
         f"{row['nodes']:.0f}", f"{row['seconds']:.1f}")
        for (name, selection), row in median.iterrows()
    ]  # fmt: skip
    columns = ("data set", "selection", "R²", "fidelity", "gradient error", "nodes", "seconds")
    show(rows_table(f"How the formula is chosen, median of {count} splits", columns, rows))


if __name__ == "__main__":
    main()
