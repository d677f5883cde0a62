"""Does a study take as long as `smoothray plan` says? Two studies on Ray nodes of one core, on this machine.

    python benchmarks/plan.py [--nodes 2]

Each study is planned, run on the nodes, and planned once more from the seconds that its recorded fits and
banks took. A busy machine makes the first two differ.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from smoothray.commands.console import rows_table, say, show
from smoothray.commands.costs import recorded_costs, training_rows
from smoothray.commands.estimate import Estimate, estimate
from smoothray.commands.measure import measure
from smoothray.commands.plan import what_is_left
from smoothray.commands.run import load_datasets
from smoothray.records.recorded import Recorded, read_study
from smoothray.study import Study, load_study

COMMAND = [sys.executable, "-c", "from smoothray.cli import main; main()"]
STUDY = """
name: {name}
datasets: [pmlb:230_machine_cpu, pmlb:1027_ESL]
trials: {trials}
baselines: [none, direct]
restarts: 1
penalties: {penalties}
teacher: {{hidden: [64, 64], activation: tanh, steps: 1500}}
student: {{budget: {budget}}}
"""
STUDIES = {
    "few": {"trials": 3, "penalties": "{jacobian: [0.1]}", "budget": "quick"},
    "more": {
        "trials": 6,
        "penalties": "{jacobian: [0.01, 0.1], lipschitz: [0.1]}",
        "budget": "standard",
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nodes", type=int, default=2)
    options = parser.parse_args()
    from ray.cluster_utils import Cluster

    os.environ.pop("RAY_ADDRESS", None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    folder = Path(tempfile.mkdtemp(prefix="plan-"))
    os.chdir(folder)
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        for _ in range(options.nodes - 1):
            cluster.add_node(num_cpus=1)
        rows = [measured(name, cluster.address, options.nodes) for name in STUDIES]
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    heads = ("study", "fits", "banks", "said, s", "took, s", "said from what they took, s")
    show(rows_table(f"{options.nodes} nodes of one core", heads, rows))


def measured(name: str, address: str, nodes: int) -> tuple[str, ...]:
    file = Path(f"{name}.yaml")
    file.write_text(STUDY.format(name=name, **STUDIES[name]))
    study = load_study(str(file))
    before = planned(study, Recorded(), nodes)
    started = time.monotonic()
    subprocess.run(
        [*COMMAND, "run", str(file)], env=os.environ | {"RAY_ADDRESS": address}, check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    took = time.monotonic() - started
    after = planned(study, read_study(name, say), nodes)
    numbers = (before.fits, before.banks, before.wall, took, after.wall)
    return name, *(f"{number:.0f}" for number in numbers)


def planned(study: Study, timed: Recorded, nodes: int) -> Estimate:
    """What the whole study costs, by what is recorded or, where nothing is, by fits that are timed now."""
    datasets = load_datasets(study)
    costs = recorded_costs(study, training_rows(study, datasets), timed.records.values())
    measure(study, datasets, costs, 20)
    return estimate(study, what_is_left(study, datasets, Recorded())[1], costs, nodes, 0)


if __name__ == "__main__":
    main()
