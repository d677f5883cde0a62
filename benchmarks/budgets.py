"""What a budget takes: CPU seconds of each student that can run here, beside the target of its name.

    python benchmarks/budgets.py [--students operon,gplearn] [--budgets quick,standard] [--seeds 2]

Synthetic data of 400 rows and 8 columns, standardised: Friedman's first function with noise of a fifth of its
spread. A student's program is loaded and warm before it is timed. Seconds are those of the processor, so that
other work on the machine counts little; one core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

import numpy as np

from smoothray.commands.console import rows_table, say, show
from smoothray.students import STUDENTS, make_student
from smoothray.students.base import TARGET_ROWS, TARGET_SECONDS

ROWS, COLUMNS = TARGET_ROWS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", default=",".join(STUDENTS))
    parser.add_argument("--budgets", default=",".join(TARGET_SECONDS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--timed", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.timed:
        student, budget, seed = options.timed.split(":")
        print(cpu_seconds(student, budget, int(seed)))
        return
    rows = []
    for student in options.students.split(","):
        if reason := STUDENTS[student].unavailable():
            say(f"{student} cannot run here: {reason}")
            continue
        for budget in options.budgets.split(","):
            seconds = [apart(student, budget, seed) for seed in range(options.seeds)]
            middle, target = statistics.median(seconds), TARGET_SECONDS[budget]
            rows.append((student, budget, f"{target:g}", f"{middle:.2f}", f"{middle / target:.2f}"))
            say(f"{student} {budget}: {', '.join(f'{each:.2f}' for each in seconds)} s")
    columns = ("student", "budget", "target s", "CPU s", "ratio")
    show(rows_table(f"{ROWS} rows × {COLUMNS} columns", columns, rows))


def apart(student: str, budget: str, seed: int) -> float:
    """The seconds in a process of its own: not every program bears another beside it."""
    command = [sys.executable, __file__, "--timed", f"{student}:{budget}:{seed}"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=one_thread)
    return float(done.stdout)


def cpu_seconds(name: str, budget: str, seed: int) -> float:
    """CPU seconds of one fit."""
    X, y = data(seed)
    names = [f"x{i}" for i in range(COLUMNS)]
    warm = make_student(name)
    warm.warm_up()
    warm.fit(X[:30], y[:30], names, seed)
    student = make_student(name, budget=budget)
    started = time.process_time()
    student.fit(X, y, names, seed)
    return time.process_time() - started


def data(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X (400, 8) and y (400,), standardised."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(ROWS, COLUMNS))
    y = (
        10 * np.sin(np.pi * X[:, 0] * X[:, 1])
        + 20 * (X[:, 2] - 0.5) ** 2
        + 10 * X[:, 3]
        + 5 * X[:, 4]
    )
    y += 0.2 * y.std() * rng.normal(size=ROWS)
    return (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()


if __name__ == "__main__":
    main()
