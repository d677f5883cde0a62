"""How long a report on a full grid takes: 20 data sets × 50 trials × 26 arms, 26,000 made-up records.

    python benchmarks/report.py [--datasets 20] [--trials 50] [--out FOLDER]

Prints the seconds that loading the Parquet file and writing the report took, each in a fresh process as a
user would run it, and, for comparison with other machines, the seconds of a fixed piece of work.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from smoothray.records.parquet import write_parquet
from smoothray.records.schema import Record, new_record
from smoothray.study.plan import Arm, Key

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
ARMS = (
    Arm("direct"),
    Arm("none"),
    *(Arm(p, s) for p in ("jacobian", "lipschitz", "weight_decay") for s in STRENGTHS),
)
SIZES = (1, 3, 5, 9, 13, 17, 21, 25, 29)
LOAD = """
import time
start = time.perf_counter()
from smoothray_analysis.loading import load_parquet
records = load_parquet({file!r})
print(len(records.frame), time.perf_counter() - start)
"""
REPORT = """
import time
start = time.perf_counter()
from smoothray_analysis.loading import load_parquet
from smoothray_analysis.report import write_report
write_report(load_parquet({file!r}), "made-up", {out!r})
print(time.perf_counter() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", type=int, default=20)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "made-up.parquet"
        write_parquet(made_up(options.datasets, options.trials), file)
        out = str(options.out or Path(folder) / "report")
        count, load = timed(LOAD.format(file=str(file)))
        report = timed(REPORT.format(file=str(file), out=out))[0]
    print(f"{int(count):,} records: loaded in {load:.1f} s, loaded and reported in {report:.1f} s")
    print(f"a fixed piece of work on this machine, now: {fixed_work():.1f} s")


def timed(program: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return [float(word) for word in done.stdout.split()]


def fixed_work() -> float:
    """Seconds that sorting the same 20 million numbers takes."""
    numbers = np.random.default_rng(0).random(20_000_000)
    start = time.perf_counter()
    np.sort(numbers)
    return time.perf_counter() - start


def made_up(datasets: int, trials: int) -> list[Record]:
    """Records with fronts, as a study of ARMS would leave them; smoother teachers help a little."""
    rng = np.random.default_rng(0)
    records = []
    for place in range(datasets):
        dataset = f"{place:04}_a_data_set_with_a_long_name"
        level, luck = rng.uniform(0.3, 0.95), rng.normal(0, 0.05, trials)
        for arm in ARMS:
            gain = (
                0.0
                if arm.strength is None
                else 0.01 * np.exp(-((np.log10(arm.strength) + 1.5) ** 2))
            )
            for trial in range(trials):
                key = Key(dataset, arm, "operon", trial)
                record = new_record("made-up", key, {"train": 300, "val": 75, "test": 125}, dataset,
                                    range(trials), "fidelity")  # fmt: skip
                records.append(fill(record, level + luck[trial] + gain, arm, rng))
    return records


def fill(record: Record, level: float, arm: Arm, rng: np.random.Generator) -> Record:
    noise = rng.normal(0, 0.01, (len(SIZES), 6))
    front = []
    for size, shake in zip(SIZES, noise, strict=True):
        r2 = level - 0.4 / size + shake
        formula = " + ".join(f"{value:.4f}*x{i}" for i, value in enumerate(shake[: size % 6 + 1]))
        front.append(
            {
                "complexity": size, "formula": formula, "loss": 1 - r2[0], "native": size == 9,
                "mathml": f"<math><mrow><mi>{formula}</mi></mrow></math>" * 4, "chosen": size == 17,
                "r2_train": r2[0], "r2_val": r2[1], "r2_test": r2[2], "fidelity_train": r2[3] + 0.02,
                "fidelity_val": r2[4] + 0.02, "fidelity_test": r2[5] + 0.02,
                "val_loss_accuracy": 1 - r2[1], "val_error_accuracy": 0.02,
                "val_loss_fidelity": 0.98 - r2[4], "val_error_fidelity": 0.02,
                "jacobian": 1 + shake[0], "gradient_max": 2.0,
            }
        )  # fmt: skip
    chosen = front[5]
    record["front"] = front
    record |= {f"student_r2_{part}": chosen[f"r2_{part}"] for part in ("train", "val", "test")}
    record |= {f"fidelity_{part}": chosen[f"fidelity_{part}"] for part in ("train", "val", "test")}
    record |= {
        "complexity": 17,
        "formula": chosen["formula"],
        "student_jacobian": chosen["jacobian"],
    }
    if arm.penalty != "direct":
        smooth = 1 / (1 + 5 * (arm.strength or 0)) * float(np.exp(rng.normal(0, 0.1)))
        record |= {f"teacher_r2_{part}": level + 0.02 for part in ("train", "val", "test")}
        record |= {
            "teacher_jacobian": smooth,
            "alignment": float(np.log(chosen["jacobian"] / smooth)),
        }
    return record


if __name__ == "__main__":
    main()
