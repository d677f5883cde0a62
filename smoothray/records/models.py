"""Formulas as MLflow models: served by `mlflow models`, loaded by `mlflow.pyfunc`, without any pickle."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sympy import Symbol

from smoothray.datasets.encoding import Encoding, RawColumn
from smoothray.distillation.saved import sources
from smoothray.formulas import parse
from smoothray.records.connection import artifact_location, reaching
from smoothray.records.tracker import Tracker

NAME = "formula"
EXPERIMENT = "smoothray distill"
TYPES = {"number": "double", "true/false": "boolean", "category": "string"}


def log_formula_model(client: Any, run_id: str, saved: Mapping[str, Any], name: str = NAME) -> str:
    """Log a formula as a model of a run; returns its address, `models:/...`.

    client: an MlflowClient. saved: a model as it is saved (`smoothray.distillation.saved`), where `formula`
    (a list, one for each output) and `columns` are needed; `encoding` and `target` (names, one an output) are
    used where they are there. The model takes the raw columns that the formula has, with their kinds as
    signature, and gives a column for each output.
    """
    from mlflow.entities import LoggedModelOutput

    experiment = client.get_run(run_id).info.experiment_id
    model = client.create_logged_model(experiment, name=name, source_run_id=run_id)
    with tempfile.TemporaryDirectory(prefix="smoothray-") as folder:
        save_formula_model(saved, Path(folder) / "model", model.model_id, run_id)
        client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return str(model.model_uri)


def save_formula_model(
    saved: Mapping[str, Any], folder: Path, model_id: str | None = None, run_id: str | None = None
) -> None:
    """Write the same model into a folder, which must not be there."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    outputs = _outputs(saved)
    raw, required = _inputs(saved)
    signature = ModelSignature(
        Schema([ColSpec(TYPES[each.kind], each.name, required=required) for each in raw]),
        Schema([ColSpec("double", name) for name in outputs]),
    )
    with tempfile.TemporaryDirectory(prefix="smoothray-") as place:
        texts = {"formulas": dict(zip(outputs, sources(saved), strict=True)), "model": dict(saved)}
        for name, text in texts.items():
            (Path(place) / f"{name}.json").write_text(json.dumps(text, indent=1), encoding="utf-8")
        mlflow.pyfunc.save_model(
            str(folder),
            mlflow_model=Model(model_id=model_id, run_id=run_id),
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={name: str(Path(place) / f"{name}.json") for name in texts},
            signature=signature,
            input_example=pd.DataFrame([{each.name: _example(each) for each in raw}]),
            pip_requirements=[
                f"{package}=={version(package)}" for package in ("mlflow", "numpy", "pandas")
            ],
        )


def log_run(
    name: str,
    saved: Mapping[str, Any],
    metrics: Mapping[str, float],
    parameters: Mapping[str, Any],
    files: Iterable[Path],
) -> tuple[str, str]:
    """Log a distillation as a run of the experiment "smoothray distill": scores, settings, files and model.

    Returns the run's id and the model's address. Raises StudyError or TrackingError where MLflow cannot be
    used.
    """
    tracker = Tracker(EXPERIMENT)
    client = tracker.client()  # first of all, since it makes MLflow quiet
    from mlflow.entities import Metric, Param

    with reaching(tracker.uri, "has not taken the run"):
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment:
            number = experiment.experiment_id
        else:
            place = artifact_location(tracker.uri, EXPERIMENT)
            number = client.create_experiment(EXPERIMENT, place)
        run = client.create_run(number, run_name=name)
        run_id, now = run.info.run_id, run.info.start_time
        client.log_batch(
            run_id,
            [Metric(key, float(value), now, 0) for key, value in metrics.items()],
            [Param(key, str(value)[:500]) for key, value in parameters.items()],
        )
        for file in files:
            client.log_artifact(run_id, str(file))
        uri = log_formula_model(client, run_id, saved)
        client.set_terminated(run_id, "FINISHED")
    return run_id, uri


def _outputs(saved: Mapping[str, Any]) -> list[str]:
    """A name for each formula's column."""
    formulas = saved["formula"]
    names = saved.get("target") or []
    if len(names) == len(formulas):
        return list(names)
    encoding = saved.get("encoding")
    if len(formulas) == 1:
        return [(encoding or {}).get("target") or "prediction"]
    return [f"prediction {place}" for place in range(1, len(formulas) + 1)]


def _inputs(saved: Mapping[str, Any]) -> tuple[tuple[RawColumn, ...], bool]:
    """The raw columns that a model takes, and whether it needs them: a constant takes any rows."""
    symbols = {column: Symbol(column) for column in saved["columns"]}
    used = {
        symbol.name for text in saved["formula"] for symbol in parse(text, symbols).free_symbols
    }
    held = saved.get("encoding")
    encoding = Encoding.from_json(held) if held else Encoding.of_numbers(saved["columns"])
    return (encoding.needed(used), True) if used else (encoding.kept, False)


def _example(column: RawColumn) -> Any:
    if column.kind == "category":
        return column.levels[0]
    if column.kind == "true/false":
        return True
    if column.low is None or column.high is None:
        return 1.0
    return (column.low + column.high) / 2
