"""A study of one's own table: does a smooth teacher give better formulas than a fit without one?

    python examples/study.py [FILE.csv TARGET]

Without a file it takes a bundled set: how diabetes progressed in 442 patients. Ctrl-C whenever you like; the
same command goes on. In a notebook the same lines work.
"""

from __future__ import annotations

import sys

import pandas as pd
from sklearn.datasets import load_diabetes

from smoothray import Dataset, Study, load_records, run_study

file, target = sys.argv[1:3] if len(sys.argv) > 2 else (None, "target")
table = pd.read_csv(file) if file else load_diabetes(as_frame=True, scaled=False).frame

study = Study(
    name="own-table",
    datasets=[Dataset.from_frame(table, target=target, name="own")],
    trials=2,
    penalties={"jacobian": [0.01, 0.1]},
    teacher={"steps": 500},
    student={"name": "operon", "options": {"generations": 30}},
)
result = run_study(study)
print(result)
if result.stopped:
    sys.exit("start it again to go on")

# What Ray Tune saw: a row a teacher setting. It is there where this run had something to do.
if result.tune is not None:
    columns = ["config/penalty", "config/strength", "teacher_r2_val", "score"]
    print(result.tune.get_dataframe()[columns].round(3).to_string(index=False))

# What is recorded: a row a trial, in any later session too.
records = load_records("own-table")
scores = ["teacher_r2_test", "fidelity_test", "student_r2_test", "complexity"]
print(records.groupby(["penalty", "strength"], dropna=False)[scores].median().round(3))
print(f"the report: {result.report()}")
