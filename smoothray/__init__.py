"""smoothray: smooth teachers for symbolic distillation, searched, recorded and tested."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smoothray.commands.load import load_records
    from smoothray.commands.run import StudyResult, run_study
    from smoothray.datasets import Dataset
    from smoothray.distillation.distiller import SymbolicDistiller
    from smoothray.metrics.smoothness import measure_smoothness
    from smoothray.penalties import PENALTIES, Network, Penalty
    from smoothray.students import RawFormula, Student
    from smoothray.study import Study, load_study
    from smoothray.teachers.finetune import smooth_finetune

__version__ = "0.2.0"
__all__ = [
    "PENALTIES",
    "Dataset",
    "Network",
    "Penalty",
    "RawFormula",
    "Student",
    "Study",
    "StudyResult",
    "SymbolicDistiller",
    "load_records",
    "load_study",
    "measure_smoothness",
    "run_study",
    "smooth_finetune",
]
_PLACES = {
    "SymbolicDistiller": "smoothray.distillation.distiller",
    "PENALTIES": "smoothray.penalties",
    "Network": "smoothray.penalties",
    "Penalty": "smoothray.penalties",
    "RawFormula": "smoothray.students",
    "Student": "smoothray.students",
    "Dataset": "smoothray.datasets",
    "Study": "smoothray.study",
    "StudyResult": "smoothray.commands.run",
    "load_records": "smoothray.commands.load",
    "load_study": "smoothray.study",
    "run_study": "smoothray.commands.run",
    "measure_smoothness": "smoothray.metrics.smoothness",
    "smooth_finetune": "smoothray.teachers.finetune",
}


def __getattr__(name: str) -> Any:
    """Loaded when it is first asked for: the command line starts without torch and scikit-learn."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'smoothray' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
