"""A formula for a column of a table.

    python examples/scientist.py [FILE.csv TARGET]

Without a file it takes a bundled set: how diabetes progressed in 442 patients.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from smoothray import SymbolicDistiller


def main(file: str | None = None, target: str = "target") -> None:
    table = pd.read_csv(file) if file else load_diabetes(as_frame=True, scaled=False).frame
    X, y = table.drop(columns=target), table[target]
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)

    model = SymbolicDistiller(penalty="jacobian", budget="quick", n_jobs=-1, random_state=0)
    model.fit(X, y)
    direct = SymbolicDistiller(penalty="direct", budget="quick", random_state=0).fit(X, y)

    print(f"{target} = {model.formula_}")
    print(
        f"R² on {len(X_test)} rows that were left out: {model.score(X_test, y_test):.3f} "
        f"({model.complexity_} nodes); without a teacher {direct.score(X_test, y_test):.3f} "
        f"({direct.complexity_} nodes)"
    )
    print(model.strengths_[["strength", "r2_val", "fidelity_val", "complexity", "chosen"]])
    print(model.pareto_front_[["complexity", "r2_val", "r2_train"]].round(3).to_string(index=False))
    Path("formula.py").write_text(model.to_python())
    print("wrote formula.py: predict(X), with NumPy alone")


if __name__ == "__main__":
    main(*sys.argv[1:3])
