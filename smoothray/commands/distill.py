"""What `smoothray distill` does, and what it hands over: plain values for programs, a page of text, files."""

from __future__ import annotations

import json
import math
import tempfile
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from rich.markup import escape

import smoothray
from smoothray.commands.console import (
    Seldom,
    err,
    number,
    out,
    reported,
    rows_table,
    say,
    show,
)
from smoothray.commands.distilled_tables import print_front, print_stability, units_text
from smoothray.datasets import Dataset
from smoothray.datasets.suspicions import row_numbers
from smoothray.distillation.distilled import Distilled, automatic_repeats, frame_of
from smoothray.distillation.distiller import SymbolicDistiller
from smoothray.distillation.saved import as_json
from smoothray.distillation.stability import Stability
from smoothray.errors import StudyError
from smoothray.study.plan import Arm


def search(
    model: SymbolicDistiller,
    dataset: Dataset,
    seed: int,
    test_size: float,
    *,
    pick: int | None = None,
    repeats: int | None = None,
    timed: bool = False,
) -> tuple[Distilled, bool, tuple[str, ...]]:
    """Distil a data set and repeat it on other splits, with progress on the way: the result, whether Ctrl-C
    ended it early, and the warnings that it gave.

    pick: the most nodes of the formula. repeats: None for as many as are quick. timed: whether the model's
    search has a time of its own: Ctrl-C then ends it with the best so far.

    Raises KeyboardInterrupt where there is nothing to show yet.
    """
    with (
        err.status("") as status,
        reported("smoothray.distillation.attempts", status.update),
        reported("smoothray.distillation.attempts", Seldom()),
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always", UserWarning)
        distilled = None
        try:
            started = time.monotonic()
            distilled = Distilled.of(model, dataset, seed, test_size)
            seconds = time.monotonic() - started
            stopped = distilled.is_interrupted
            if pick is not None:
                distilled = distilled.picked(pick)
                if distilled.model.complexity_ > pick:
                    say(f"No formula has {pick} nodes or fewer; this is the shortest.")
            if not stopped:
                automatic = 1 if timed else automatic_repeats(seconds)
                distilled = distilled.repeated(repeats or automatic, pick)
        except KeyboardInterrupt:
            if distilled is None or not timed:
                raise
            stopped = True
            say("Stopped before the repeats were done: they are left out.")
    cautions = (str(w.message) for w in told if w.category is UserWarning)
    return distilled, stopped, tuple(dict.fromkeys(cautions))


def result(distilled: Distilled) -> dict[str, Any]:
    """The result as plain values; what is not a number is None."""
    model, dataset = distilled.model, distilled.dataset
    chosen = model.pareto_front_[model.pareto_front_["chosen"]].iloc[0]
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
        "n_train": len(distilled.training),
        "n_test": len(distilled.test),
        "seed": distilled.seed,
        "version": smoothray.__version__,
        "tried": model.strengths_.to_dict("records"),
        **({} if model.search_ is None else {"search": model.search_}),
        **({} if distilled.direct.search_ is None else {"direct_search": distilled.direct.search_}),
        **({} if distilled.stability is None else _stability(distilled.stability)),
        **({} if distilled.units is None else {"units": asdict(distilled.units)}),
    }
    return _finite(fields)


def _stability(stability: Stability) -> dict[str, Any]:
    return {
        "repeats": stability.repeats.to_dict("records"),
        "beats_direct": stability.beats_direct,
        "columns_in_formulas": stability.columns.to_dict(),
        "structures": stability.structures.to_dict("records"),
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
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
        (distilled.direct_name, number(scores["direct_r2_test"]),
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
    if scores["r2_test"] < 0:
        out.print(
            "The formula predicts these test rows worse than their mean would: it is of no use as it is.",
            soft_wrap=True,
        )
    print_front(model.pareto_front_)
    if distilled.units is not None:
        text = units_text(distilled.units, distilled.without_unit)
        out.print(f"Units: {text}", markup=False, soft_wrap=True)
    if distilled.stability is not None:
        print_stability(distilled.stability)
    elif scores["r2_test"] <= scores["direct_r2_test"]:
        out.print("On these test rows the direct fit does as well or better.")


def _strength(value: Any) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def make_writable(folder: Path) -> None:
    """Make the folder for a result's files. Raises StudyError where it cannot be, or cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StudyError(f"cannot write to the folder {folder}: {error.strerror}") from None


def write_files(distilled: Distilled, folder: Path, source: str = "", **shown: Any) -> list[Path]:
    """Write model.json, result.json, formula.txt, formula.tex, formula.py, predictions.csv, front.csv and
    report.html with its figures into a folder. source: the table's file. shown: more for the page, as
    `page_of` takes it. Raises StudyError where a file cannot be written.
    """
    from smoothray_analysis.report.formula_page import write_page

    from smoothray.commands.formula_page import page_of

    model = distilled.model
    texts = {
        "predictions.csv": predictions(distilled).to_csv(index=False),
        "result.json": json.dumps(result(distilled), indent=2, allow_nan=False) + "\n",
        "formula.txt": f"{model.formula_}\n",
        "formula.tex": f"{model.latex()}\n",
        "formula.py": str(model.to_python()),
        "front.csv": model.pareto_front_.to_csv(index=False),
    }
    page = page_of(distilled, source, **shown)
    try:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        saved = model.save(folder)
        return [saved, *(folder / name for name in texts), *write_page(page, folder)]
    except OSError as error:
        raise StudyError(f"cannot write {error.filename or folder}: {error.strerror}") from None


def check_mlflow() -> None:
    """Raises StudyError or TrackingError where MLflow cannot be used, before the time of a fit is spent."""
    from smoothray.records.models import EXPERIMENT
    from smoothray.records.tracker import Tracker

    Tracker(EXPERIMENT).open()


def log_to_mlflow(distilled: Distilled) -> str:
    """Log the run, its scores and files, and the formula as a model; returns the model's address.

    Raises StudyError or TrackingError where MLflow cannot be used.
    """
    from smoothray.records.models import log_run

    model, dataset = distilled.model, distilled.dataset
    fields = result(distilled)
    with tempfile.TemporaryDirectory(prefix="smoothray-") as folder:
        files = write_files(distilled, Path(folder))
        saved = as_json(model)
        metrics = {**model.scores_, "complexity": model.complexity_}
        settings = {**saved["settings"], "target": dataset.target, "data": dataset.name}
        chosen = {f"chosen_{name}": fields[name] for name in ("penalty", "strength")}
        return log_run(dataset.name, saved, metrics, {**settings, **chosen}, files)[1]


def predictions(distilled: Distilled) -> pd.DataFrame:
    """A row for each that was learned from or tested on, in the table's order.

    `row` is the number of the row in the file, whose header is row 1; `part` is train, val or test; then
    the target and the formula's, the teacher's and the direct fit's value.
    """
    model, dataset = distilled.model, distilled.dataset
    rest = distilled.training
    parts = pd.Series("train", index=rest)
    if model.validation_rows_ is not None:
        parts.iloc[model.validation_rows_] = "val"
    parts = pd.concat([parts, pd.Series("test", index=distilled.test)]).sort_index()
    rows = parts.index.to_numpy()
    frame = frame_of(dataset, rows)
    ours = {
        "row": row_numbers(dataset, rows),
        "part": parts.to_numpy(),
        "formula": model.predict(frame),
        "teacher": model.teacher_.predict(frame.to_numpy()),
        "direct": distilled.direct.predict(frame),
    }
    target = f"{dataset.target} in the table" if dataset.target in ours else dataset.target
    result = pd.DataFrame(ours)
    result.insert(2, target, dataset.y[rows])
    return result
