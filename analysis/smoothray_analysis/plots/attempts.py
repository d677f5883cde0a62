"""What was tried on the way to one formula: strengths, and repeats with other splits and seeds."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from smoothray_analysis.plots.accuracy import accuracy_axis, error
from smoothray_analysis.plots.style import COLOURS, looks, styled

MEASURES = {"direct_r2_test": "direct fit", "r2_test": "formula", "teacher_r2_test": "teacher"}


@styled
def attempts_plot(strengths: pd.DataFrame, width: float = 6.4) -> Figure:
    """Validation R² of formula and teacher against strength, a colour a penalty, the chosen one ringed.

    strengths: penalty, strength (missing for a plain teacher), r2_val, teacher_r2_val and chosen.
    """
    figure = Figure(figsize=(min(width, 6.4), 4.2), layout="constrained")
    axes = figure.subplots()
    for penalty, line in strengths.groupby("penalty"):
        look = looks(strengths["penalty"])[str(penalty)]
        line = line.sort_values("strength")
        if line["strength"].isna().all():
            axes.axhline(
                error(line["r2_val"])[0], color=look.color, ls=look.linestyle, label=str(penalty)
            )
            continue
        axes.plot(line["strength"], error(line["r2_val"]), label=str(penalty), **look._asdict())
        axes.plot(
            line["strength"], error(line["teacher_r2_val"]), color=look.color, ls=":", lw=1,
            label=f"{penalty}: its teacher",
        )  # fmt: skip
    chosen = strengths[strengths["chosen"].astype(bool) & strengths["strength"].notna()]
    axes.plot(chosen["strength"], error(chosen["r2_val"]), "o", mfc="none", mec="black", ms=11)
    accuracy_axis(axes, [*strengths["r2_val"], *strengths["teacher_r2_val"]])
    axes.set_xscale("log")
    axes.set_xlabel("strength λ")
    axes.set_ylabel("R² on validation rows (spaced by log(1 − R²))")
    figure.legend(loc="outside upper center", ncols=2 if width < 6 else 3)
    return figure


@styled
def repeats_plot(repeats: pd.DataFrame, width: float = 5.0) -> Figure:
    """Test R² of direct fit, formula and teacher, a line a repeat.

    repeats: a row a repeat with the columns of MEASURES.
    """
    figure = Figure(figsize=(min(width, 5.0), 3.6), layout="constrained")
    axes = figure.subplots()
    for row in repeats[list(MEASURES)].itertuples(index=False, name=None):
        axes.plot(range(len(MEASURES)), error(row), "-", color="#b5b5b5", lw=0.9, zorder=1)
    for place, measure in enumerate(MEASURES):
        color = ("#000000", COLOURS[0], "#666666")[place]
        axes.plot([place] * len(repeats), error(repeats[measure]), "o", color=color, alpha=0.8)
        middle = error([repeats[measure].median()])[0]
        axes.plot([place - 0.16, place + 0.16], [middle] * 2, color=color, lw=2.4)
    accuracy_axis(axes, repeats[list(MEASURES)].to_numpy(dtype=float).ravel())
    axes.set_xticks(range(len(MEASURES)), list(MEASURES.values()))
    axes.set_xlim(-0.4, len(MEASURES) - 0.6)
    axes.set_ylabel("R² on test rows (spaced by log(1 − R²))")
    return figure
