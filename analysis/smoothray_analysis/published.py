"""SRBench's published results on the data sets that a study shares with its black-box track."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from smoothray_analysis.arms import NOT_SMOOTH, PLAIN
from smoothray_analysis.selection import safe_members, val_loss

SYMBOLIC = (
    "AFP", "AFP_FE", "AIFeynman", "BSR", "DSR", "EPLEX", "FEAT", "FFX", "GP-GOMEA", "ITEA",
    "MRGP", "Operon", "SBP-GP", "gplearn",
)  # fmt: skip
PROTOCOL = (
    "SRBench (La Cava et al. 2021, NeurIPS Datasets and Benchmarks): medians over 10 trials of 75 % of "
    "the rows, at most 10,000 of them, for up to 48 hours a fit, hyperparameters tuned by five-fold "
    "cross-validation; its sizes are nodes as each method counts them, and of MLP and XGB parameters or "
    "nodes of all trees. Here: other splits of the same proportions, a fifth of the training rows kept "
    "for validation, no tuning of the student, nodes of the SymPy expression on "
    "standardised data. The best symbolic method "
    "is the one of SRBench's 14 with the highest published R² on that data set, chosen after the fact, "
    "which flatters it."
)


BEST_SMOOTH = "best smooth"


def srbench() -> pd.DataFrame:
    """Published medians: dataset, algorithm, r2_test, model_size; 20 data sets × 21 methods."""
    with (files("smoothray_analysis") / "srbench_blackbox.csv").open() as file:
        return pd.read_csv(file)


def beside_srbench(arms: pd.DataFrame) -> pd.DataFrame:
    """Our medians and the published ones on the data sets that both have, a row a data set and method.

    arms: `verdict.Evidence.arms`. Returns student, dataset, source ("here" or "SRBench"), method, r2,
    size. `best smooth` is the smooth arm with the best validation score; `best symbolic` is the best of
    SYMBOLIC on the data set by published R²; `detail` names them.
    """
    published = srbench()
    ours = arms[arms["dataset"].isin(set(published["dataset"]))]
    columns = ["student", "dataset", "source", "method", "detail", "r2", "size"]
    rows: list[tuple[Any, ...]] = [
        (row["student"], row["dataset"], "here", row["arm"], "", row["student_r2_test"], _size(row))
        for row in ours.to_dict("records")
    ]  # fmt: skip
    for (student, dataset), arms_here in ours.groupby(["student", "dataset"]):
        smooth = arms_here[~arms_here["penalty"].isin(NOT_SMOOTH)].dropna(subset="student_r2_val")
        if len(smooth):
            top = smooth.sort_values("student_r2_val").iloc[-1]
            rows.append((student, dataset, "here", BEST_SMOOTH, top["arm"], top["student_r2_test"],
                         _size(top.to_dict())))  # fmt: skip
        here = published[published["dataset"] == dataset].set_index("algorithm")
        symbolic = here[here.index.isin(SYMBOLIC)]
        best = str(symbolic["r2_test"].idxmax())
        named = [
            ("Operon", "Operon", ""),
            ("best symbolic", best, best),
            ("MLP", "MLP", ""),
            ("XGB", "XGB", ""),
        ]
        for method, algorithm, detail in named:
            row = here.loc[algorithm]
            rows.append(
                (student, dataset, "SRBench", method, detail, row["r2_test"], row["model_size"])
            )
    return pd.DataFrame(rows, columns=columns)


def at_published_sizes(chosen: pd.DataFrame, fronts: pd.DataFrame, aim: str) -> pd.DataFrame:
    """Our formulas at the sizes of SRBench's symbolic methods: of each trial's front the member with the
    smallest validation loss among those of at most so many nodes as the method's median on the data set.

    chosen: of `verdict.Evidence`; arms that are no baselines and no smooth ones are left out. fronts:
    `Records.fronts()`, with sizes on the standard scale; aim: "accuracy" or "fidelity". Returns a row a
    student, method and arm: `datasets`, `size` and `published`, medians of what was published, `r2`, the
    median over the data sets of our median over the trials, and `above`: on how many data sets it is higher.
    A data set on which no formula of ours is so short is left out. Empty where the study has none of the data
    sets.
    """
    columns = ["student", "method", "arm", "datasets", "size", "published", "r2", "above"]
    published = srbench().query("algorithm in @SYMBOLIC")
    ours = chosen[chosen["dataset"].isin(set(published["dataset"])) & (chosen["status"] == "ok")]
    ours = ours[~ours["penalty"].isin(set(NOT_SMOOTH) - set(PLAIN))]
    if ours.empty:
        return pd.DataFrame(columns=columns)
    seen = safe_members(fronts, aim)
    seen = seen.assign(loss=val_loss(seen, aim))[
        ["record", "complexity_standard", "r2_test", "loss"]
    ]
    seen = seen[np.isfinite(seen["loss"])].join(
        ours[["student", "dataset", "arm"]], on="record", how="inner"
    )
    seen = seen.sort_values(["record", "loss", "complexity_standard"], kind="stable")
    tables = []
    for method, theirs in published.groupby("algorithm"):
        theirs = theirs.set_index("dataset")
        short = seen[seen["complexity_standard"] <= seen["dataset"].map(theirs["model_size"])]
        best = short.drop_duplicates("record")
        middle = best.groupby(["student", "arm", "dataset"])["r2_test"].median().reset_index()
        both = middle.join(theirs[["r2_test", "model_size"]].add_suffix("_published"), on="dataset")
        both["above"] = both["r2_test"] > both["r2_test_published"]
        groups = both.groupby(["student", "arm"])
        table = groups.agg(datasets=("dataset", "size"), size=("model_size_published", "median"),
                           published=("r2_test_published", "median"), r2=("r2_test", "median"),
                           above=("above", "sum"))  # fmt: skip
        tables.append(table.reset_index().assign(method=method))
    return pd.concat(tables, ignore_index=True)[columns]


def _size(row: Mapping[Any, Any]) -> float:
    """Nodes as SRBench counts them, on the standard scale; in older records there is no other number."""
    return float(row.get("complexity_standard", row["complexity"]))
