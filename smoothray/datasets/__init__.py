"""Data sets: where they come from, the checks they must pass, their splits and scalers."""

from __future__ import annotations

from smoothray.datasets.augment import augment
from smoothray.datasets.encoding import Encoding
from smoothray.datasets.from_pmlb import cache_folder
from smoothray.datasets.scaling import Scaler, TargetScaler
from smoothray.datasets.sources import SOURCES, check_spec, load_dataset, parse_spec
from smoothray.datasets.specs import DatasetSpec
from smoothray.datasets.splits import MAX_TRAIN, Split, split
from smoothray.datasets.suites import SUITES, expand
from smoothray.datasets.table import Dataset, from_frame

__all__ = [
    "MAX_TRAIN",
    "SOURCES",
    "SUITES",
    "Dataset",
    "DatasetSpec",
    "Encoding",
    "Scaler",
    "Split",
    "TargetScaler",
    "augment",
    "cache_folder",
    "check_spec",
    "expand",
    "from_frame",
    "load_dataset",
    "parse_spec",
    "split",
]
