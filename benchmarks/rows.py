"""How many rows does a student need?

    SMOOTHRAY_DATA=../shared/pmlb python benchmarks/rows.py [--student operon] [--budget quick] [--trials 3]
        [--rows 250 500 1000 4000] [--out rows.csv]

On the five large data sets of pmlb20: plain teachers, stopped early, distilled with at most so many of the
training rows, and with all. Test R², closeness to the teacher, and CPU seconds of a fit with its shortening.
What is done is written to the file after each fit, and not done again; printed at the end are medians over
the trials.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from smoothray.commands.console import number, rows_table, show
from smoothray.datasets import load_dataset, parse_spec
from smoothray.distillation.distil import distil
from smoothray.distillation.teaching import teach
from smoothray.distillation.trial import Trial
from smoothray.errors import Failure
from smoothray.students import make_student
from smoothray.study.settings import TeacherSettings
from smoothray.teachers.training import one_thread

DATASETS = ("225_puma8NH", "227_cpu_small", "503_wind", "529_pollen", "537_houses")
ALL = 10**9
FIT = ["dataset", "trial", "rows", "student", "budget"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--student", default="operon")
    parser.add_argument("--budget", default="quick")
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=[250, 500, 1000, 4000])
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    parser.add_argument("--out", type=Path, default=Path("rows.csv"))
    options = parser.parse_args()
    done = pd.read_csv(options.out) if options.out.exists() else pd.DataFrame(columns=FIT)
    student = make_student(options.student, budget=options.budget)
    settings = TeacherSettings(batch_size=256, device="cpu")
    for name in options.datasets:
        dataset = load_dataset(parse_spec(f"pmlb:{name}"))
        trials = [Trial.of(dataset, number, 0) for number in range(options.trials)]
        wanted = [
            (trial.number, rows)
            for rows in (*options.rows, ALL)
            for trial in trials
            if (name, trial.number, rows, options.student, options.budget)
            not in set(done[FIT].itertuples(index=False, name=None))
        ]
        if not wanted:
            continue
        with one_thread():
            taught = teach(trials, "none", [0.0] * len(trials), 1, [0], settings)
        for number_, rows in wanted:
            teacher = taught[number_]
            if isinstance(teacher, Failure):
                continue
            fields = distil(trials[number_], teacher, 0, student, "fidelity", rows=rows)
            row = {
                "dataset": name, "trial": number_, "rows": rows, "student": options.student,
                "budget": options.budget, "seen": fields["student_rows"],
                "r2_test": fields["student_r2_test"], "fidelity_test": fields["fidelity_test"],
                "cpu_seconds": fields["student_cpu_seconds"],
            }  # fmt: skip
            done = pd.concat([done, pd.DataFrame([row])], ignore_index=True)
            done.to_csv(options.out, index=False)
        print(name, flush=True)
    summary(done[(done["student"] == options.student) & (done["budget"] == options.budget)])


def summary(done: pd.DataFrame) -> None:
    medians = done.groupby(["dataset", "rows"])[
        ["seen", "r2_test", "fidelity_test", "cpu_seconds"]
    ].median()
    rows = [
        (str(name), f"{row['seen']:,.0f}" + (" (all)" if most == ALL else ""),
         number(row["r2_test"]), number(row["fidelity_test"]), number(row["cpu_seconds"], 1))
        for (name, most), row in medians.iterrows()
    ]  # fmt: skip
    columns = ("data set", "rows", "R² test", "fidelity", "CPU s")
    show(rows_table("Rows that the student sees", columns, rows))


if __name__ == "__main__":
    main()
