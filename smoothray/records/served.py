"""A formula as MLflow loads and serves it: a JSON file with the formula and its columns, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sympy import Symbol

from smoothray.formulas import Program, parse

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class ServedFormula:
    """saved: `formula`, a list of one text, and `columns`, the names it may have."""

    def __init__(self, saved: dict[str, Any]) -> None:
        self.columns = list(saved["columns"])
        formula = parse(saved["formula"][0], {name: Symbol(name) for name in self.columns})
        self._program = Program(formula, self.columns)

    def predict(self, rows: pd.DataFrame, params: Any = None) -> np.ndarray:
        """(n,) predictions from a frame that has the columns."""
        return self._program.values(rows[self.columns].to_numpy(float))


def _load_pyfunc(path: str) -> ServedFormula:
    """What MLflow calls, by this name, where the model is loaded."""
    return ServedFormula(json.loads(Path(path).read_text(encoding="utf-8")))
