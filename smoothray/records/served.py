"""The code of a formula's MLflow model: MLflow runs this file where the model is loaded.

It needs numpy, pandas and mlflow alone: the formula comes as the source that `to_python` wrote.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ServedFormula(PythonModel):
    """Predicts frames of raw columns; an empty or unknown value gives an empty prediction."""

    def load_context(self, context: Any) -> None:
        outputs = json.loads(Path(context.artifacts["formulas"]).read_text(encoding="utf-8"))
        self.functions = {}
        for name, source in outputs.items():
            space: dict[str, Any] = {}
            exec(compile(source, f"formula of {name}", "exec"), space)
            self.functions[name] = space["predict"]

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        values = {name: function(model_input) for name, function in self.functions.items()}
        return pd.DataFrame(values, index=model_input.index)


set_model(ServedFormula())
