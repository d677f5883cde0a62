"""SRBench's published results on the data sets that a study shares with its black-box track."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pandas as pd

from smoothray_analysis.arms import NOT_SMOOTH

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


def _size(row: Mapping[Any, Any]) -> float:
    """Nodes as SRBench counts them, on the standard scale; in older records there is no other number."""
    return float(row.get("complexity_standard", row["complexity"]))
