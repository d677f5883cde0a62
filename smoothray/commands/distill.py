"""What `smoothray distill` hands over: an object for programs, a page of text, and files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.markup import escape

import smoothray
from smoothray.commands.console import number, out, rows_table, show
from smoothray.datasets import Dataset, split
from smoothray.distillation.distiller import SymbolicDistiller
from smoothray.metrics.scores import r2
from smoothray.study.plan import Arm


@dataclass(frozen=True, eq=False)
class Distilled:
    """A distiller and a direct fit on the same rows of a data set, and the rows that were left out."""

    model: SymbolicDistiller
    direct: SymbolicDistiller
    dataset: Dataset
    seed: int

    @classmethod
    def of(cls, model: SymbolicDistiller, dataset: Dataset, seed: int) -> Distilled:
        """Fit both on all rows but the test rows."""
        rest = training_rows(dataset, seed)
        direct = SymbolicDistiller(
            **{**model.get_params(), "penalty": "direct", "strength": "auto", "augment": 0}
        )
        for each in (model, direct):
            each.fit(frame_of(dataset, rest), dataset.y[rest])
        return cls(model, direct, dataset, seed)

    @property
    def test(self) -> np.ndarray:
        return split(len(self.dataset.y), self.dataset.name, 0, self.seed).test

    def scores(self) -> dict[str, float]:
        """R² on the test rows, which nothing was chosen by."""
        rows, truth = frame_of(self.dataset, self.test), self.dataset.y[self.test]
        formula = self.model.predict(rows)
        teacher = self.model.teacher_.predict(rows.to_numpy())
        return {
            "r2_test": r2(truth, formula),
            "teacher_r2_test": r2(truth, teacher),
            "fidelity_test": r2(teacher, formula),
            "direct_r2_test": r2(truth, self.direct.predict(rows)),
        }


def training_rows(dataset: Dataset, seed: int) -> np.ndarray:
    """The rows that a distiller is fitted to: all but the test rows, of large tables some."""
    parts = split(len(dataset.y), dataset.name, 0, seed)
    return np.sort(np.concatenate([parts.train, parts.val]))


def frame_of(dataset: Dataset, rows: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(dataset.X[rows], columns=list(dataset.feature_names))


def result(distilled: Distilled) -> dict[str, Any]:
    """The result as plain values; what is not a number is None."""
    model, dataset = distilled.model, distilled.dataset
    chosen = model.strengths_[model.strengths_["chosen"]].iloc[0]
    fields = {
        "formula": model.formula_,
        "latex": model.latex(),
        "complexity": model.complexity_,
        "r2_val": float(chosen["r2_val"]),
        **distilled.scores(),
        "direct_formula": distilled.direct.formula_,
        "direct_complexity": distilled.direct.complexity_,
        "penalty": model.penalty_,
        "strength": model.strength_,
        "augment": model.augment,
        "student": model.student,
        "smoothness": model.smoothness_,
        "target": dataset.target,
        "features": list(dataset.feature_names),
        "n_train": len(training_rows(dataset, distilled.seed)),
        "n_test": len(distilled.test),
        "seed": distilled.seed,
        "version": smoothray.__version__,
        "tried": model.strengths_.to_dict("records"),
    }
    return _finite(fields)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_result(distilled: Distilled) -> None:
    """The formula and its scores for a person."""
    model, scores = distilled.model, distilled.scores()
    out.print(f"\n[bold]{escape(distilled.dataset.target)}[/] =", soft_wrap=True)
    out.print(f"    {model.formula_}\n", markup=False, soft_wrap=True)
    arm = Arm(model.penalty_, model.strength_, model.augment)
    rows = [
        ("this formula", number(scores["r2_test"]), str(model.complexity_)),
        (f"its teacher ({arm})", number(scores["teacher_r2_test"]), ""),
        ("formula against teacher (fidelity)", number(scores["fidelity_test"]), ""),
        ("direct fit, without a teacher", number(scores["direct_r2_test"]),
         str(distilled.direct.complexity_)),
    ]  # fmt: skip
    title = f"R² on {len(distilled.test)} test rows of {len(distilled.dataset.y)}, seed {distilled.seed}"
    show(rows_table(title, ("", "R²", "nodes"), rows))
    if len(model.strengths_) > 1:
        tried = [
            (
                str(Arm(row.penalty, _strength(row.strength), model.augment)), number(row.r2_val),
                number(row.teacher_r2_val), number(row.fidelity_val), str(row.complexity),
            )
            for row in model.strengths_.sort_values("r2_val", ascending=False).itertuples()
        ]  # fmt: skip
        columns = ("penalty", "R²", "teacher R²", "fidelity", "nodes")
        show(rows_table("What was tried, on validation rows, best first", columns, tried))
    if scores["r2_test"] <= scores["direct_r2_test"]:
        out.print("On these test rows the direct fit does as well or better.")


def _strength(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def write_files(distilled: Distilled, folder: Path, source: str = "", **shown: Any) -> list[Path]:
    """Write result.json, formula.txt, formula.tex, formula.py, predictions.csv, front.csv and report.html
    with its figures into a folder. source: the table's file. shown: more for the page, as `page_of` takes it.
    """
    from smoothray_analysis.report.formula_page import write_page

    from smoothray.commands.formula_page import page_of

    model, dataset = distilled.model, distilled.dataset
    parts = {"train": training_rows(dataset, distilled.seed), "test": distilled.test}
    # "part" and "formula" are columns of their own.
    column = (
        f"{dataset.target} in the table"
        if dataset.target in ("part", "formula")
        else dataset.target
    )
    outputs = [
        pd.DataFrame(
            {
                "part": part,
                column: dataset.y[rows],
                "formula": model.predict(frame_of(dataset, rows)),
            }
        )
        for part, rows in parts.items()
    ]
    texts = {
        "predictions.csv": pd.concat(outputs).to_csv(index=False),
        "result.json": json.dumps(result(distilled), indent=2, allow_nan=False) + "\n",
        "formula.txt": f"{model.formula_}\n",
        "formula.tex": f"{model.latex()}\n",
        "formula.py": str(model.to_python()),
        "front.csv": model.pareto_front_.to_csv(index=False),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    page = page_of(distilled, source, **shown)
    return [*(folder / name for name in texts), *write_page(page, folder)]
