"""smoothray: smooth teachers for symbolic distillation, searched, recorded and tested."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smoothray.distillation.distiller import SymbolicDistiller
    from smoothray.metrics.smoothness import measure_smoothness
    from smoothray.penalties import PENALTIES, Network, Penalty
    from smoothray.students import RawFormula, Student
    from smoothray.teachers.finetune import smooth_finetune

__version__ = "0.2.0"
__all__ = [
    "PENALTIES",
    "Network",
    "Penalty",
    "RawFormula",
    "Student",
    "SymbolicDistiller",
    "measure_smoothness",
    "smooth_finetune",
]
_PLACES = {
    "SymbolicDistiller": "smoothray.distillation.distiller",
    "PENALTIES": "smoothray.penalties",
    "Network": "smoothray.penalties",
    "Penalty": "smoothray.penalties",
    "RawFormula": "smoothray.students",
    "Student": "smoothray.students",
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
