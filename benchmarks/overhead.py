"""What scheduling costs: a study's wall time beside the work in it, and beside the usual way of running it.

    python benchmarks/overhead.py [--cores 2] [--trials 10] [--budget standard] [--only study|usual]

First part: a study of 4 data sets × 10 arms. Its wall time, start and end included, over (seconds of fits
and banks) / cores; these seconds are measured afterwards, one after another in this process: all banks, and
one fit of each arm on each data set. Second part: 2 data sets × 3 strengths × 4 trials once as
a study, once as people usually write it, one Ray Tune trial for one network, one Operon fit and one MLflow
run. Data sets come from scikit-learn.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """
name: overhead
datasets: [sklearn:diabetes, sklearn:friedman1, sklearn:friedman3, sklearn:iris]
trials: {trials}
penalties: {{jacobian: [0.003, 0.01, 0.03, 0.1], lipschitz: [0.01, 0.03, 0.1], weight_decay: [0.001]}}
student: {{budget: {budget}}}
"""
SMALL = """
name: small
datasets: [sklearn:diabetes, sklearn:friedman1]
trials: 4
baselines: []
penalties: {jacobian: [0.01, 0.1, 1.0]}
student: {budget: quick}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--budget", default="standard")
    parser.add_argument("--only", choices=("study", "usual"))
    options = parser.parse_args()
    if options.only != "usual":
        overhead(options.cores, STUDY.format(trials=options.trials, budget=options.budget))
    if options.only != "study":
        beside_the_usual_way(options.cores)


def run(text: str, cores: int, folder: Path) -> float:
    """Seconds that `smoothray run` takes for a study, as a process."""
    (folder / "study.yaml").write_text(text)
    kept = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from smoothray.cli import main; main()", "run", "study.yaml", "--cores",
        str(cores)], cwd=folder, env=kept | {"SMOOTHRAY_JOURNAL": str(folder)}, check=True,
        capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - start


def overhead(cores: int, study: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wall = run(study, cores, folder)
        fits, work = alone(folder / "study.yaml")
    print(
        f"{fits} fits: wall {wall:.0f} s, work {work:.0f} s on one core, "
        f"wall / (work / {cores}) = {wall / (work / cores):.3f}"
    )


def alone(study_file: Path) -> tuple[int, float]:
    """The number of a study's fits, and the seconds that its fits and banks take one after another."""
    import torch

    from smoothray.commands.run import load_datasets
    from smoothray.distillation.distil import distil
    from smoothray.distillation.teaching import teach
    from smoothray.distillation.trial import Trial
    from smoothray.study import load_study
    from smoothray.study.plan import Key, arms

    torch.set_num_threads(1)
    study = load_study(study_file)
    student = study.students[0].build()
    student.warm_up()
    pick = random.Random(0)
    work, fits = 0.0, 0
    for name, dataset in load_datasets(study).items():
        trials = [Trial.of(dataset, i, study.seed) for i in range(study.trials)]
        for arm in arms(study, name):
            all_outputs = [None] * len(trials)
            start = time.perf_counter()
            if arm.penalty != "direct":
                strengths = [arm.strength or 0.0] * len(trials)
                all_outputs = teach(trials, arm.penalty, strengths, 1, [0], study.teacher)
            work += time.perf_counter() - start
            key = Key(name, arm, student.name, pick.randrange(study.trials))
            outputs = all_outputs[key.trial]
            start = time.perf_counter()
            distil(trials[key.trial], outputs, 0, student, study.students[0].selection)
            work += (time.perf_counter() - start) * study.trials
            fits += study.trials
    return fits, work


def beside_the_usual_way(cores: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        study = run(SMALL, cores, Path(name))
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", USUAL, name, str(cores)], check=True, capture_output=True
        )
        usual = time.perf_counter() - start
    print(
        f"24 networks and formulas: as a study {study:.0f} s, one Tune trial each {usual:.0f} s: "
        f"{usual / study:.1f} times"
    )


USUAL = """
import os, sys
folder, cores = sys.argv[1], int(sys.argv[2])
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
import mlflow, ray
from ray import tune
mlflow.set_experiment("usual")

def one(config):
    import mlflow, torch
    from smoothray.datasets import load_dataset, parse_spec
    from smoothray.study.settings import TeacherSettings
    from smoothray.students import make_student
    from smoothray.distillation.teaching import teach
    from smoothray.distillation.distil import distil
    from smoothray.distillation.trial import Trial
    torch.set_num_threads(1)
    mlflow.set_tracking_uri(config["uri"])
    mlflow.set_experiment("usual")
    trial = Trial.of(load_dataset(parse_spec(config["dataset"])), config["trial"], 0)
    (outputs,) = teach([trial], "jacobian", [config["strength"]], 1, [0], TeacherSettings())
    student = make_student("operon", budget="quick")
    found = distil(trial, outputs, 0, student, "fidelity")
    with mlflow.start_run():
        mlflow.log_params({k: config[k] for k in ("dataset", "strength", "trial")})
        mlflow.log_metrics({"student_r2_test": found["student_r2_test"], "complexity": found["complexity"]})
        mlflow.set_tag("formula", found["formula"])
    tune.report({"score": found["student_r2_val"]})

ray.init(num_cpus=cores, include_dashboard=False, log_to_driver=False)
space = {
    "uri": os.environ["MLFLOW_TRACKING_URI"],
    "dataset": tune.grid_search(["sklearn:diabetes", "sklearn:friedman1"]),
    "strength": tune.grid_search([0.01, 0.1, 1.0]),
    "trial": tune.grid_search([0, 1, 2, 3]),
}
found = tune.Tuner(
    tune.with_resources(one, {"cpu": 1}), param_space=space,
    tune_config=tune.TuneConfig(metric="score", mode="max"),
    run_config=tune.RunConfig(storage_path=folder, verbose=0),
).fit()
assert len(found) == 24 and not found.errors
"""


if __name__ == "__main__":
    main()
