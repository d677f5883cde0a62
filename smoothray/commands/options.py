"""Options that are more than one number: checked here, so that a mistake is one line before any work."""

from __future__ import annotations

import math
import os

from smoothray.commands.estimate import Prices, Shape
from smoothray.errors import StudyError


def shapes_of(cores: str, gpus: str) -> list[Shape]:
    """Clusters from texts as "16,64" and "0,2"; none where both are empty.

    Raises StudyError for what is no number of these, and for more or fewer GPUs than cores.

    >>> shapes_of("16,64", "2")
    [Shape(cores=16, gpus=2.0), Shape(cores=64, gpus=2.0)]
    """
    if not cores and not gpus:
        return []
    counts = [_number("--cores", part, least=1, whole=True) for part in cores.split(",") if cores]
    counts = counts or [os.cpu_count() or 1]
    beside = [_number("--gpus", part, least=0) for part in gpus.split(",") if gpus] or [0.0]
    if len(beside) not in (1, len(counts)):
        raise StudyError(
            f"--gpus has {len(beside)} numbers and --cores {len(counts)}; give --gpus one number, or one for "
            "each of the cores"
        )
    beside = beside * len(counts) if len(beside) == 1 else beside
    return [Shape(int(c), g) for c, g in zip(counts, beside, strict=True)]


def prices_of(core: str, gpu: str, shapes: list[Shape]) -> Prices | None:
    """Prices an hour; None where none is given.

    Raises StudyError for what is no price, and where one that the shapes need is missing.

    >>> prices_of(".04", "", [Shape(16)])
    Prices(core=0.04, gpu=0.0)
    """
    amounts = {
        option: _number(option, text, least=0) if text else None
        for option, text in (("--price-core-hour", core), ("--price-gpu-hour", gpu))
    }
    if not core and not gpu:
        return None
    has_gpus = any(shape.gpus for shape in shapes)
    for option, amount in amounts.items():
        if amount is None and (option == "--price-core-hour" or has_gpus):
            raise StudyError(f"{option} is missing; give both prices, 0 for what costs nothing")
    return Prices(*(amount or 0.0 for amount in amounts.values()))


def _number(option: str, text: str, least: float, whole: bool = False) -> float:
    kind = f"a {'whole ' if whole else ''}number of {least:g} or more"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number < math.inf or (whole and not number.is_integer()):
        raise StudyError(f"{option} takes {kind}, not '{text.strip()}'")
    return number
