"""Where should the Jacobian be penalised: at the training rows, or between them?

    SMOOTHRAY_DATA=../shared/pmlb python benchmarks/between.py [--datasets NAME ...] [--trials 20]
        [--out between.csv]

Teachers alone, of both regimes (stopped early, and trained to the end), at five strengths of `jacobian` and
of `jacobian_between`, and without penalty, on the same splits. Scored on test rows, which are new to the
teachers: R², and roughness, the mean squared Jacobian there. What is done is written to the file after each
bank, and not done again; printed at the end are medians over a data set's trials, and over data sets.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smoothray.commands.console import number, rows_table, show
from smoothray.datasets import load_dataset, parse_spec
from smoothray.distillation.teaching import teach
from smoothray.distillation.trial import Trial
from smoothray.errors import Failure
from smoothray.metrics.scores import r2
from smoothray.study.settings import TeacherSettings
from smoothray.teachers.training import one_thread

DATASETS = (
    "210_cloud", "230_machine_cpu", "522_pm10", "547_no2", "690_visualizing_galaxy", "712_chscase_geyser1",
)  # fmt: skip
STRENGTHS = (0.001, 0.01, 0.03, 0.1, 0.3)
PENALTIES = ("jacobian", "jacobian_between")
REGIMES = ("early", "none")
BANK = ["dataset", "stopping", "penalty", "strength"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=DATASETS)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("between.csv"))
    options = parser.parse_args()
    done = pd.read_csv(options.out) if options.out.exists() else pd.DataFrame(columns=BANK)
    for name in options.datasets:
        for stopping in REGIMES:
            arms = [("none", 0.0), *((p, s) for p in PENALTIES for s in STRENGTHS)]
            for penalty, strength in arms:
                bank = (name, stopping, penalty, strength)
                if bank in set(done[BANK].itertuples(index=False, name=None)):
                    continue
                rows = trained(name, stopping, penalty, strength, options.trials)
                rows = [{**dict(zip(BANK, bank, strict=True)), **row} for row in rows]
                done = pd.concat([done, pd.DataFrame(rows)], ignore_index=True)
                done.to_csv(options.out, index=False)
            print(f"{name}, {'stopped early' if stopping == 'early' else 'to the end'}", flush=True)
    summary(done)


def trained(
    name: str, stopping: str, penalty: str, strength: float, count: int
) -> list[dict[str, Any]]:
    """A row a trial: its teacher's scores and roughness."""
    dataset = load_dataset(parse_spec(f"pmlb:{name}"))
    trials = [Trial.of(dataset, number, 0) for number in range(count)]
    settings = TeacherSettings(stopping=(stopping,), device="cpu")
    with one_thread():
        taught = teach(trials, penalty, [strength] * count, 1, [0], settings)
    return [
        {
            "trial": trial.number,
            "r2_val": r2(trial.y["val"], said.outputs["val"]),
            "r2_test": r2(trial.y["test"], said.outputs["test"]),
            "roughness": said.jacobian,
        }
        for trial, said in zip(trials, taught, strict=True)
        if not isinstance(said, Failure)
    ]


def summary(done: pd.DataFrame) -> None:
    scores = done.assign(roughness=np.log10(done["roughness"]))
    medians = scores.groupby(BANK)[["r2_val", "r2_test", "roughness"]].median().reset_index()
    for stopping in REGIMES:
        mine = medians[medians["stopping"] == stopping]
        rows = []
        for penalty, strength in [("none", 0.0), *((p, s) for s in STRENGTHS for p in PENALTIES)]:
            arm = mine[(mine["penalty"] == penalty) & (mine["strength"] == strength)]
            rows.append(
                (penalty, f"{strength:g}", number(arm["r2_test"].median()),
                 f"{10 ** arm['roughness'].median():.3g}")
            )  # fmt: skip
        title = "stopped early" if stopping == "early" else "trained to the end"
        show(rows_table(title, ("penalty", "strength", "R² test", "roughness"), rows))
        best = mine.loc[mine.groupby(["dataset", "penalty"])["r2_val"].idxmax()]
        pairs = best.set_index(["dataset", "penalty"])[["r2_test", "roughness"]].unstack()
        rows = [
            (str(name), *(number(row["r2_test", p]) for p in ("none", *PENALTIES)),
             *(f"{10 ** row['roughness', p]:.3g}" for p in ("none", *PENALTIES)))
            for name, row in pairs.iterrows()
        ]  # fmt: skip
        columns = (
            "data set",
            "R² none",
            "at rows",
            "between",
            "roughness none",
            "at rows",
            "between",
        )
        show(rows_table(f"{title}, each at its best validation R²", columns, rows))


if __name__ == "__main__":
    main()
