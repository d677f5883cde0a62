"""The direct student beside SRBench's published results, on the same data sets.

SRBench (La Cava et al. 2021) fits a method to the labels of 75 % of the rows and reports its median R² on
the rest and its median model size. Here the student does the same without a teacher, by the project's own
protocol: the splits are others, and a fifth of the training rows is kept for the choice from the front.

    python benchmarks/srbench.py [--trials 5] [--budget quick] [--datasets NAME ...]

Data sets come from SMOOTHRAY_DATA, or are downloaded.
"""

from __future__ import annotations

import argparse
import statistics

import joblib
from smoothray_analysis.published import srbench

from smoothray.datasets import load_dataset, parse_spec
from smoothray.distillation.distil import distil
from smoothray.distillation.trial import Trial
from smoothray.students import make_student

DATASETS = ("230_machine_cpu", "560_bodyfat", "547_no2", "690_visualizing_galaxy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--algorithm", default="Operon")
    parser.add_argument("--student", default="operon")
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    options = parser.parse_args()
    anchors = srbench()
    anchors = anchors[anchors["algorithm"] == options.algorithm].set_index("dataset")
    print(
        f"{options.student} ({options.budget}), {options.trials} trials; SRBench: {options.algorithm}"
    )
    print(f"{'data set':<30} {'R²':>6} {'SRBench':>8} {'nodes':>6} {'SRBench':>8} {'seconds':>8}")
    for name in options.datasets:
        fits = joblib.Parallel(n_jobs=-1)(
            joblib.delayed(fit)(name, trial, options.student, options.budget)
            for trial in range(options.trials)
        )
        r2, nodes, seconds = (statistics.median(column) for column in zip(*fits, strict=True))
        published = anchors.loc[name]
        print(
            f"{name:<30} {r2:>6.3f} {published['r2_test']:>8.3f} {nodes:>6.0f} "
            f"{published['model_size']:>8.1f} {seconds:>8.1f}"
        )


def fit(name: str, trial: int, student: str, budget: str) -> tuple[float, int, float]:
    """Test R², nodes and seconds of one direct fit."""
    dataset = load_dataset(parse_spec(f"pmlb:{name}"))
    program = make_student(student, budget=budget)
    fields = distil(Trial.of(dataset, trial, 0), None, 0, program, "accuracy")
    return fields["student_r2_test"], fields["complexity_standard"], fields["student_seconds"]


if __name__ == "__main__":
    main()
