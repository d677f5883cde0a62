"""What it costs that functions may not stand within functions within functions: test R² with and without.

    python benchmarks/nesting.py [--splits 3] [--budget quick] [--students operon gplearn]

Direct fits. `chosen` is the formula chosen on validation rows, `largest` the last of the front. `deep` counts
the members of the freely nested fronts that are deeper than `one` allows. Data sets come from SMOOTHRAY_DATA,
or are downloaded.
"""

from __future__ import annotations

import argparse
import statistics
from typing import NamedTuple

from sympy import Symbol

from smoothray.datasets import load_dataset, parse_spec
from smoothray.distillation.distil import distil
from smoothray.distillation.trial import Trial
from smoothray.formulas import nesting_of, parse
from smoothray.students import make_student
from smoothray.students.base import NESTING

DATASETS = (
    "230_machine_cpu",
    "547_no2",
    "690_visualizing_galaxy",
    "560_bodyfat",
    "225_puma8NH",
    "503_wind",
)


class Fit(NamedTuple):
    chosen: float
    largest: float
    members: int
    deep: int


def fit(name: str, split: int, student: str, budget: str, nesting: str) -> Fit:
    """Test R² of the chosen and of the largest formula of one direct fit, members, those too deep."""
    dataset = load_dataset(parse_spec(f"pmlb:{name}"))
    program = make_student(student, budget=budget, nesting=nesting)
    fields = distil(Trial.of(dataset, split, 0), None, 0, program, "accuracy")
    front = fields["front"]
    names = {column: Symbol(column) for column in dataset.feature_names}
    depths = [nesting_of(parse(member["formula"], names)) for member in front]
    deep = sum(depth > (NESTING["one"] or 0) for depth in depths)
    return Fit(fields["student_r2_test"], front[-1]["r2_test"], len(front), deep)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", nargs="+", default=("operon", "gplearn"))
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    options = parser.parse_args()
    print(f"median test R² over {options.splits} splits, budget {options.budget}")
    print(f"{'':<34}{'chosen':>14}{'largest':>15}")
    print(f"{'data set':<24}{'student':<10}{'free':>7}{'one':>7}{'free':>8}{'one':>7}{'deep':>9}")
    for name in options.datasets:
        for student in options.students:
            fits = {
                nesting: [
                    fit(name, split, student, options.budget, nesting)
                    for split in range(options.splits)
                ]
                for nesting in ("free", "one")
            }
            chosen, largest = (
                [statistics.median(getattr(each, what) for each in fits[n]) for n in fits]
                for what in ("chosen", "largest")
            )
            deep, members = (
                sum(getattr(each, n) for each in fits["free"]) for n in ("deep", "members")
            )
            print(
                f"{name:<24}{student:<10}{chosen[0]:>7.3f}{chosen[1]:>7.3f}{largest[0]:>8.3f}"
                f"{largest[1]:>7.3f}{f'{deep}/{members}':>9}",
                flush=True,
            )


if __name__ == "__main__":
    main()
