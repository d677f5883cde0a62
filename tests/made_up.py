"""Made-up studies: records with fronts, as a study leaves them, without running one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from smoothray_analysis.comparisons import Settings
from smoothray_analysis.loading import Records, load_parquet

from smoothray.records.parquet import write_parquet
from smoothray.records.schema import new_record
from smoothray.students import select
from smoothray.study.plan import Arm, Key

FAST = Settings(resamples=200)
ARMS = (
    Arm("direct"), Arm("none"), Arm("weight_decay", 0.01), Arm("jacobian", 0.01), Arm("jacobian", 0.1),
)  # fmt: skip


def made_up(datasets=8, trials=12, arms=ARMS, gain=0.0, direct=0.0, seed=0, students=("operon",)):
    """Records with fronts. gain: of jacobian at 0.1; direct: of the direct fit; on every R²."""
    rng = np.random.default_rng(seed)
    records = []
    for dataset in (f"d{i:02}" for i in range(datasets)):
        level = rng.uniform(0.4, 0.9)
        luck = rng.normal(0, 0.05, trials)
        for student in students:
            for arm in arms:
                bonus = gain * (arm.penalty == "jacobian" and arm.strength == 0.1)
                bonus += direct * (arm.penalty == "direct")
                for trial in range(trials):
                    key = Key(dataset, arm, student, trial)
                    sizes = {"train": 60, "val": 15, "test": 25}
                    record = new_record("made-up", key, sizes, dataset, [trial], "accuracy")
                    middle = level + luck[trial] + bonus
                    record["front"] = front(rng, middle)
                    settle(record)
                    record["teacher_jacobian"] = 1.0
                    records.append(record)
    return records


FIDELITY = (
    "fidelity_train",
    "fidelity_val",
    "fidelity_test",
    "val_loss_fidelity",
    "val_error_fidelity",
)


def front(rng, middle):
    sizes = [1, 5, 9, 15]
    members = []
    for size in sizes:
        scores = middle - 0.3 / size + rng.normal(0, 0.01, 3)
        loss = {"accuracy": 1 - scores[1], "fidelity": rng.uniform(0.1, 0.9)}
        members.append(
            {
                "complexity": size, "formula": f"x + {rng.random():.4f}", "mathml": "<math/>",
                "loss": 1 - scores[0], "native": size == 9, "chosen": False,
                **{f"r2_{p}": s for p, s in zip(("train", "val", "test"), scores, strict=True)},
                **dict.fromkeys(("fidelity_train", "fidelity_val", "fidelity_test"), 0.5),
                **{f"val_loss_{aim}": value for aim, value in loss.items()},
                "val_error_accuracy": 0.02, "val_error_fidelity": 0.02,
                "jacobian": 1.0, "gradient_max": 2.0,
            }
        )  # fmt: skip
    return members


def settle(record):
    """Let the accuracy rule choose, by the library's own function."""
    members = record["front"]
    place = select(*([m[name] for m in members] for name in
                     ("val_loss_accuracy", "complexity", "val_error_accuracy")))  # fmt: skip
    best = members[place]
    best["chosen"] = True
    if record["penalty"] == "direct":
        for member in members:
            member |= dict.fromkeys(FIDELITY)
    record |= {f"student_r2_{part}": best[f"r2_{part}"] for part in ("train", "val", "test")}
    record |= {name: best[name] for name in ("complexity", "formula")}
    record |= {"student_jacobian": best["jacobian"], "latex": "x"}


def loaded(records, tmp_path: Path) -> Records:
    write_parquet(records, tmp_path / "study.parquet")
    return load_parquet(tmp_path / "study.parquet")


def deliver(records):
    """Put a study into MLflow as a run of it would, but for the trials' own runs."""
    from smoothray.records.tracker import Tracker

    tracker = Tracker("made-up")
    tracker.create({})
    cells: dict = {}
    for record in records:
        cells.setdefault(Key.of(record).cell, []).append(record)
    for cell, mine in cells.items():
        tracker.finish_cell(cell, mine, complete=True)
    return tracker
