"""What it costs that functions may not stand within functions within functions: test R² with and without.

    python benchmarks/nesting.py [--splits 3] [--budget quick] [--students operon gplearn] [--datasets NAME ...]

Direct fits, the formula chosen on validation rows. `deep` is the part of the splits whose freely nested formula
is deeper than `one` allows. Data sets come from SMOOTHRAY_DATA, or are downloaded.
"""

from __future__ import annotations

import argparse
import statistics

from smoothray.datasets import load_dataset, parse_spec
from smoothray.distillation.distil import distil
from smoothray.distillation.trial import Trial
from smoothray.formulas import nesting_of, parse
from smoothray.students import make_student
from smoothray.students.base import NESTING

DATASETS = (
    "230_machine_cpu", "547_no2", "690_visualizing_galaxy", "560_bodyfat", "225_puma8NH", "503_wind",
)  # fmt: skip


def fit(name: str, split: int, student: str, budget: str, nesting: str) -> tuple[float, int, int]:
    """Test R², nodes and depth of nesting of one direct fit."""
    dataset = load_dataset(parse_spec(f"pmlb:{name}"))
    program = make_student(student, budget=budget, nesting=nesting)
    fields = distil(Trial.of(dataset, split, 0), None, 0, program, "accuracy")
    # In stand-in names: columns may be called as functions are.
    names = {
        column: parse(f"x{i}", len(dataset.feature_names))
        for i, column in enumerate(dataset.feature_names)
    }
    return (
        fields["student_r2_test"],
        fields["complexity"],
        nesting_of(parse(fields["formula"], names)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", nargs="+", default=("operon", "gplearn"))
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    options = parser.parse_args()
    print(f"median test R² over {options.splits} splits, budget {options.budget}")
    print(f"{'data set':<26}{'student':<10}{'free':>8}{'one':>8}{'cost':>8}{'nodes':>9}{'deep':>7}")
    costs: dict[str, list[float]] = {student: [] for student in options.students}
    for name in options.datasets:
        for student in options.students:
            r2, nodes, deep = {}, {}, 0
            for nesting in NESTING:
                fits = [
                    fit(name, split, student, options.budget, nesting)
                    for split in range(options.splits)
                ]
                scores, sizes, depths = zip(*fits, strict=True)
                r2[nesting], nodes[nesting] = statistics.median(scores), statistics.median(sizes)
                if nesting == "free":
                    deep = sum(depth > (NESTING["one"] or 0) for depth in depths)
            costs[student].append(r2["free"] - r2["one"])
            print(
                f"{name:<26}{student:<10}{r2['free']:>8.3f}{r2['one']:>8.3f}{costs[student][-1]:>8.3f}"
                f"{nodes['free']:>5.0f}{nodes['one']:>4.0f}{deep:>4}/{options.splits}",
                flush=True,
            )
    for student, each in costs.items():
        print(f"{student}: mean cost {statistics.mean(each):.3f}, largest {max(each):.3f}")


if __name__ == "__main__":
    main()
