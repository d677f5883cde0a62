"""What `smoothray distill` hands over: an object for programs, a page of text, and files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from rich.markup import escape
from sympy import Symbol

import smoothray
from smoothray.console import number, out, rows_table, show
from smoothray.distillation import Distillation
from smoothray.formulas import evaluate, parse, to_latex, to_python, to_text
from smoothray.plan import Arm


def result(found: Distillation, student: str, seed: int) -> dict[str, Any]:
    """The result as plain values; what is not a number is None."""
    best, trial = found.best, found.trial
    smoothness = {
        name: best[name]
        for name in (
            "teacher_jacobian", "teacher_gradient_max", "teacher_spectral",
            "student_jacobian", "student_gradient_max", "alignment",
        )
    }  # fmt: skip
    fields = {
        "formula": best["formula"],
        "latex": best["latex"],
        "complexity": best["complexity"],
        "r2_test": best["student_r2_test"],
        "r2_val": best["student_r2_val"],
        "teacher_r2_test": best["teacher_r2_test"],
        "fidelity_test": best["fidelity_test"],
        "direct_r2_test": found.direct["student_r2_test"],
        "direct_formula": found.direct["formula"],
        "direct_complexity": found.direct["complexity"],
        "penalty": best["penalty"],
        "strength": best["strength"],
        "augment": best["augment"],
        "student": student,
        "smoothness": smoothness,
        "target": trial.dataset.target,
        "features": list(trial.dataset.feature_names),
        **{f"n_{part}": len(rows) for part, rows in trial.y.items()},
        "seed": seed,
        "version": smoothray.__version__,
        "tried": [
            {
                "penalty": arm["penalty"],
                "strength": arm["strength"],
                "r2_val": arm["student_r2_val"],
                "r2_test": arm["student_r2_test"],
                "teacher_r2_test": arm["teacher_r2_test"],
                "fidelity_test": arm["fidelity_test"],
                "complexity": arm["complexity"],
                "formula": arm["formula"],
            }
            for arm in found.tried
        ],
    }
    return _finite(fields)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_result(found: Distillation, seed: int) -> None:
    """The formula and its scores for a person."""
    best, direct, trial = found.best, found.direct, found.trial
    out.print(f"\n[bold]{escape(trial.dataset.target)}[/] =", soft_wrap=True)
    out.print(f"    {best['formula']}\n", markup=False, soft_wrap=True)
    arm = Arm(best["penalty"], best["strength"], best["augment"])
    rows = [
        ("this formula", number(best["student_r2_test"]), str(best["complexity"])),
        (f"its teacher ({arm})", number(best["teacher_r2_test"]), ""),
        ("formula against teacher (fidelity)", number(best["fidelity_test"]), ""),
        ("direct fit, without a teacher", number(direct["student_r2_test"]),
         str(direct["complexity"])),
    ]  # fmt: skip
    title = f"R² on {len(trial.y['test'])} test rows of {len(trial.dataset.y)}, seed {seed}"
    show(rows_table(title, ("", "R²", "nodes"), rows))
    if len(found.tried) > 1:
        tried = [
            (
                str(Arm(f["penalty"], f["strength"], f["augment"])), number(f["student_r2_val"]),
                number(f["teacher_r2_test"]), number(f["fidelity_test"]), str(f["complexity"]),
            )
            for f in found.tried
        ]  # fmt: skip
        columns = ("penalty", "validation R²", "teacher R²", "fidelity", "nodes")
        show(rows_table("What was tried, best first by validation R²", columns, tried))
    if best["student_r2_test"] <= direct["student_r2_test"]:
        out.print("On these test rows the direct fit does as well or better.")


def write_files(found: Distillation, student: str, seed: int, folder: Path) -> list[Path]:
    """Write result.json, formula.txt, formula.tex, formula.py, front.csv, front.png and front.svg into a
    folder."""
    import pandas as pd
    from smoothray_analysis.pictures import front_picture, save

    names = found.trial.dataset.feature_names
    expr = parse(found.best["formula"], {name: Symbol(name) for name in names})
    front = pd.DataFrame(found.best["front"]).drop(columns="mathml")
    direct = pd.DataFrame(found.direct["front"])
    scaler = found.trial.y_scaler
    outputs = [
        pd.DataFrame(
            {
                "part": part,
                found.trial.dataset.target: scaler.inverse(found.trial.y[part]),
                "formula": evaluate(expr, rows, names),
            }
        )
        for part, rows in found.trial.raw.items()
    ]
    texts = {
        "predictions.csv": pd.concat(outputs).to_csv(index=False),
        "result.json": json.dumps(result(found, student, seed), indent=2, allow_nan=False) + "\n",
        "formula.txt": to_text(expr) + "\n",
        "formula.tex": to_latex(expr) + "\n",
        "formula.py": to_python(expr, names),
        "front.csv": front.to_csv(index=False),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    pictures = save(front_picture({"distilled": front, "direct": direct}), folder / "front")
    return [*(folder / name for name in texts), *pictures]
