"""The numbers of docs/another-student.md: two reports' tables side by side, one student each.

    smoothray report students
    python benchmarks/students.py docs/results/tables students-report/tables

What the formulas of each are like, what each strength changes, and whether the two agree on the data sets
that gain, as Markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from results import (
    ARMS,
    LOW_FIDELITY,
    REGIMES,
    grouped,
    markdown,
    name,
    signed,
    spread,
    title,
)
from scipy.stats import spearmanr

NAMES = {"fidelity_test": "fidelity", "student_r2_test": "formula's R²"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", type=Path, nargs=2)
    folders = parser.parse_args().tables
    arms = [pd.read_csv(folder / "arms.csv") for folder in folders]
    curves = [pd.read_csv(folder / "strengths_per_dataset.csv") for folder in folders]
    students = [str(table["student"].iloc[0]) for table in arms]
    title("Levels: medians over the data sets at the chosen strengths")
    levels(arms, students)
    title("Pairs of arms, medians over the data sets, and on how many by more than .01")
    pairs([pd.read_csv(folder / "per_dataset.csv") for folder in folders], students)
    title("Each strength: medians over the data sets of the change from plain distillation")
    strengths(curves, students)
    title("Do they agree on who gains? Rank correlations of the changes over so many data sets")
    agreement(curves)


def levels(arms: list[pd.DataFrame], students: list[str]) -> None:
    rows = []
    for penalty, stopping in [
        ("direct", "early"),
        *((each, when) for when in REGIMES for each in ARMS),
    ]:
        cells: list[object] = []
        for table in arms:
            arm = table[(table["penalty"] == penalty) & (table["stopping"] == stopping)]
            told = ("", "") if penalty == "direct" else (
                f"{arm['fidelity_test'].median():.3f}", int((arm["fidelity_test"] < LOW_FIDELITY).sum()),
            )  # fmt: skip
            cells += [f"{arm['r2_test'].median():.3f}", *told, f"{arm['complexity'].median():g}"]
        rows.append((name(penalty, stopping), *cells))
    heads = [
        f"{student}: {what}"
        for student in students
        for what in ("R²", "fidelity", "below .8", "nodes")
    ]
    markdown(("teacher", *heads), rows)


def pairs(tables: list[pd.DataFrame], students: list[str]) -> None:
    found = [
        {pair: spread(group["difference"]) for pair, group in
         table[table["endpoint"] == "accuracy"].groupby(["arm", "base"])}
        for table in tables
    ]  # fmt: skip
    rows = [
        (*pair, *(f"{each[pair][1]} ({each[pair][3]} up, {each[pair][4]} down)" for each in found))
        for pair in found[0] if all(pair in each for each in found)
    ]  # fmt: skip
    markdown(("arm", "against", *students), rows)


def strengths(curves: list[pd.DataFrame], students: list[str]) -> None:
    rows = []
    for arm, group in grouped(curves[0]):
        for strength in sorted(group["strength"].dropna().unique()):
            cells = []
            for what in NAMES:
                for table in curves:
                    _, median, _, up, down = spread(at(table, arm, strength)[f"change_{what}"])
                    cells.append(f"{median} ({up} up, {down} down)")
            rows.append((name(*arm), f"{strength:g}", *cells))
    heads = [f"{what}, {student}" for what in NAMES.values() for student in students]
    markdown(("teacher", "strength", *heads), rows)


def agreement(curves: list[pd.DataFrame]) -> None:
    rows = []
    for arm, group in grouped(curves[0]):
        for strength in sorted(group["strength"].dropna().unique()):
            cells = []
            for what in NAMES:
                one, other = (at(table, arm, strength)[f"change_{what}"] for table in curves)
                both = pd.concat([one, other], axis=1, join="inner").dropna()
                rho = float(spearmanr(both.iloc[:, 0], both.iloc[:, 1]).statistic)
                cells.append(f"{signed(rho)} ({len(both)})")
            rows.append((name(*arm), f"{strength:g}", *cells))
    markdown(("teacher", "strength", *NAMES.values()), rows)


def at(curves: pd.DataFrame, arm: tuple[str, str], strength: float) -> pd.DataFrame:
    mine = curves[(curves["penalty"] == arm[0]) & (curves["stopping"] == arm[1])]
    return mine[mine["strength"] == strength].set_index("dataset")


if __name__ == "__main__":
    main()
