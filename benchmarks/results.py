"""The numbers of docs/results.md, from a report's tables.

    smoothray report pmlb20 --out pmlb20-report
    python benchmarks/results.py pmlb20-report/tables

What smoothing does to teachers and formulas in levels, at every strength, and beside SRBench at equal size,
as Markdown; on single data sets, and by how much at most.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

ARMS = {
    "none": "plain", "jacobian_between": "jacobian_between", "lipschitz": "lipschitz",
    "weight_decay": "weight decay",
}  # fmt: skip
REGIMES = {"none": "to the end", "early": "stopped early"}
CHANGES = ("teacher_r2_test", "fidelity_test", "student_r2_test")
LOW_FIDELITY = 0.8
ROPE = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", type=Path)
    folder = parser.parse_args().tables
    read = {name: pd.read_csv(folder / f"{name}.csv") for name in (
        "arms", "strengths_per_dataset", "per_dataset", "endpoints", "sizes",
    )}  # fmt: skip
    title("Levels: medians over the data sets at the chosen strengths")
    levels(read["arms"])
    title("Each strength: medians over the data sets of the change from plain distillation")
    strengths(read["strengths_per_dataset"])
    title("The formula's R² on single data sets, against plain distillation of the same regime")
    single(read["strengths_per_dataset"])
    title("The same at the chosen strengths")
    chosen(read["per_dataset"])
    title("The placebo: the largest difference in a median, and on a single data set")
    placebo(read["endpoints"], read["sizes"], read["strengths_per_dataset"])
    if (folder / "srbench.csv").exists():
        title("SRBench's medians beside ours")
        beside(pd.read_csv(folder / "srbench.csv"))
    if (folder / "srbench_sizes.csv").exists():
        title("The same at equal size; in brackets: on how many data sets ours is higher")
        equal_sizes(pd.read_csv(folder / "srbench_sizes.csv"))


def levels(arms: pd.DataFrame) -> None:
    rows = []
    for (penalty, stopping), group in arms.groupby(["penalty", "stopping"]):
        rows.append(
            (name(penalty, stopping), f"{group['teacher_r2_test'].median():.3f}",
             f"{group['fidelity_test'].median():.3f}",
             int((group["fidelity_test"] < LOW_FIDELITY).sum()),
             f"{group['r2_test'].median():.3f}", f"{group['complexity'].median():g}",
             f"{group['complexity_standard'].median():g}",
             *spread(group["r2_test"] - group["teacher_r2_test"])[2:])
        )  # fmt: skip
    markdown(
        (
            "arm",
            "teacher's R²",
            "fidelity",
            f"below {LOW_FIDELITY}",
            "R²",
            "nodes",
            "on the standard scale",
            "formula's R² above its teacher's: most",
            "by .01",
            "below by .01",
        ),
        rows,
    )


def strengths(curves: pd.DataFrame) -> None:
    rows = []
    for (penalty, stopping), arm in grouped(curves):
        for strength, group in arm.groupby("strength"):
            changes = [signed(group[f"change_{what}"].median()) for what in CHANGES]
            rough = 10 ** group["change_log_jacobian"].median()
            nodes = round(group["change_complexity"].median())
            share = f"{100 * group['share'].mean():.0f} %"
            rows.append(
                (name(penalty, stopping), f"{strength:g}", f"× {rough:.2f}", *changes,
                 f"{nodes:+d}" if nodes else "0", share)
            )  # fmt: skip
    markdown(
        (
            "teacher",
            "strength",
            "roughness",
            "teacher's R²",
            "fidelity",
            "formula's R²",
            "nodes",
            "chosen for",
        ),
        rows,
    )


def single(curves: pd.DataFrame) -> None:
    rows = []
    for (penalty, stopping), arm in grouped(curves):
        for strength, group in arm.groupby("strength"):
            rows.append(
                (name(penalty, stopping), f"{strength:g}", *spread(group["change_student_r2_test"]))
            )
    markdown(("teacher", "strength", "least", "median", "most", "better by .01", "worse"), rows)


def chosen(per_dataset: pd.DataFrame) -> None:
    mine = per_dataset[
        (per_dataset["base"] == "none") | per_dataset["base"].str.startswith("none ")
    ]
    mine = mine[mine["endpoint"] == "accuracy"]
    rows = [
        (arm, base, *spread(group["difference"]))
        for (arm, base), group in mine.groupby(["arm", "base"])
    ]
    markdown(("arm", "against", "least", "median", "most", "better by .01", "worse"), rows)


def placebo(endpoints: pd.DataFrame, sizes: pd.DataFrame, curves: pd.DataFrame) -> None:
    mine = endpoints[(endpoints["penalty"] == "placebo") & (endpoints["endpoint"] != "nodes")]
    alone = curves[curves["penalty"] == "placebo"]
    at_sizes = sizes[sizes["arm"].str.startswith("placebo")]
    print(f"- medians over the data sets: {mine['difference'].abs().max():.5f}")
    for what in CHANGES:
        print(f"- on a single data set, {what}: {alone[f'change_{what}'].abs().max():.4f}")
    low = at_sizes[at_sizes["p"] < 0.05]
    print(f"- at equal sizes: {len(low)} of {len(at_sizes)} with p below .05", end="")
    print(f", by {low['difference'].abs().max():.5f} at most" if len(low) else "")


def beside(srbench: pd.DataFrame) -> None:
    medians = srbench.groupby(["source", "method"])[["r2", "size"]].median().reset_index()
    markdown(("source", "method", "R²", "nodes"), [
        (row["source"], row["method"], f"{row['r2']:.3f}", f"{row['size']:g}")
        for row in medians.to_dict("records")
    ])  # fmt: skip


def equal_sizes(table: pd.DataFrame) -> None:
    arms = [
        "direct", "none (trained to the end)", "lipschitz (trained to the end)", "none", "lipschitz",
    ]  # fmt: skip
    rows = []
    for method, group in table.groupby("method"):
        ours = group.set_index("arm").reindex(arms)
        cells = [f"{row['r2']:.3f} ({row['above']:.0f})" for row in ours.to_dict("records")]
        first = group.iloc[0]
        rows.append((method, f"{first['size']:.0f}", f"{first['published']:.3f}", *cells))
    rows.sort(key=lambda row: (float(row[1]), str(row[0])))
    markdown(("SRBench", "nodes", "R²", *arms), rows)


def grouped(curves: pd.DataFrame) -> Iterable[tuple[tuple[str, str], pd.DataFrame]]:
    for stopping in REGIMES:
        for penalty in ARMS:
            arm = curves[(curves["penalty"] == penalty) & (curves["stopping"] == stopping)]
            if arm["strength"].notna().any():
                yield (penalty, stopping), arm


def name(penalty: str, stopping: str) -> str:
    shown = ARMS.get(penalty, penalty)
    return shown if penalty == "direct" else f"{shown}, {REGIMES[stopping]}"


def spread(differences: pd.Series) -> tuple[str, str, str, int, int]:
    d = differences.astype(float)
    return (
        signed(d.min()), signed(d.median()), signed(d.max()), int((d > ROPE).sum()), int((d < -ROPE).sum()),
    )  # fmt: skip


def signed(value: float) -> str:
    """
    >>> signed(0.0481), signed(-0.0004), signed(-0.0012)
    ('+.048', '.000', '−.001')
    """
    if not np.isfinite(value):
        return "–"
    text = f"{abs(value):.3f}".lstrip("0") if abs(value) < 1 else f"{abs(value):.3f}"
    if float(text) == 0:
        return ".000"
    return ("+" if value > 0 else "−") + text


def markdown(heads: Sequence[object], rows: Iterable[Sequence[object]]) -> None:
    print("|", " | ".join(map(str, heads)), "|")
    print("|", " | ".join("---" for _ in heads), "|")
    for row in rows:
        print("|", " | ".join(map(str, row)), "|")


def title(text: str) -> None:
    print(f"\n### {text}\n")


if __name__ == "__main__":
    main()
