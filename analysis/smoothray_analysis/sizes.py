"""Arms at formulas of the same size: a smoother teacher may give a better formula, or only a longer one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from smoothray_analysis.comparisons import Settings, compare
from smoothray_analysis.endpoints import Endpoint
from smoothray_analysis.selection import Rule, reselect, safe_members, val_loss
from smoothray_analysis.strengths import choice_for

SIZES = (10, 15, 20)
UPTO = 30
"""The largest size that the area under a front goes to."""
AREA = "front_area"
MATCHED = Endpoint("matched", "R²", "student_r2_test")
VOLUME = Endpoint("volume", "mean R² over sizes", AREA)
COLUMNS = [
    "student", "arm", "base", "measure", "datasets", "difference", "low", "high", "wins", "ties", "losses",
    "p", "p_holm", "verdict",
]  # fmt: skip


def at_matched_sizes(
    records: pd.DataFrame, fronts: pd.DataFrame, aim: str, settings: Settings
) -> pd.DataFrame:
    """The named comparisons of test R² with formulas of at most so many nodes (SIZES), and of the area under
    the fronts (`front_area`). Beside the family of endpoints: Holm is within each measure.

    records: a row a trial; fronts: `Records.fronts()`; aim: what validation loss chooses, "accuracy" or
    "fidelity". Strengths are chosen anew for each size. Returns COLUMNS.
    """
    variants = [
        (f"≤ {size} nodes", reselect(records, fronts, Rule(aim, nodes=size)), MATCHED)
        for size in SIZES
    ]
    area = front_area(records, fronts, aim)
    variants.append((f"mean R² over sizes to {UPTO}", records.assign(**{AREA: area}), VOLUME))
    tables = []
    for measure, frame, endpoint in variants:
        choice = choice_for(frame, settings.strengths, settings.fixed)
        over = compare(frame, settings, choice, (endpoint,)).over_datasets
        if len(over):
            tables.append(over.assign(measure=measure)[COLUMNS])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def front_area(
    records: pd.DataFrame, fronts: pd.DataFrame, aim: str, upto: int = UPTO
) -> pd.Series:
    """The hypervolume under a front in (size, test R²), as a mean: of the sizes 1 .. upto each counts the
    test R² of the formula of at most so many nodes with the smallest validation loss, at least 0, and 0
    where there is none. nan for failed records.
    """
    seen = safe_members(fronts, aim)
    loss = val_loss(seen, aim)
    kept = np.isfinite(loss) & (seen["complexity"] <= upto)
    seen = seen.loc[kept, ["record", "complexity", "r2_test"]].assign(loss=loss[kept])
    seen = seen.sort_values(["record", "complexity", "loss"], kind="stable")
    best = seen.groupby("record")["loss"].cummin()
    before = best.groupby(seen["record"]).shift(fill_value=np.inf)
    steps = seen[seen["loss"] < before]
    until = steps.groupby("record")["complexity"].shift(-1, fill_value=upto + 1)
    parts = steps["r2_test"].astype(float).clip(lower=0.0).fillna(0.0)
    area = (parts * (until - steps["complexity"])).groupby(steps["record"]).sum() / upto
    return area.reindex(records.index, fill_value=0.0).where(records["status"] == "ok")
