"""The Penn Machine Learning Benchmarks: a package that downloads each set once, into a cache.

Source: Romano et al., "PMLB v1.0: an open-source dataset collection for benchmarking machine
learning methods", Bioinformatics 38(3), 2022.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from functools import lru_cache
from pathlib import Path

import pandas as pd

from smoothray.datasets.specs import DatasetSpec
from smoothray.errors import DataError, did_you_mean

TARGET = "target"


def cache_folder() -> Path:
    """Where PMLB sets are kept: $SMOOTHRAY_DATA, or ~/.cache/smoothray/pmlb."""
    folder = os.environ.get("SMOOTHRAY_DATA")
    return Path(folder).expanduser() if folder else Path.home() / ".cache" / "smoothray" / "pmlb"


@lru_cache(maxsize=1)
def regression_names() -> tuple[str, ...]:
    """The names of PMLB's regression sets, as the installed `pmlb` package lists them."""
    from pmlb import regression_dataset_names  # slow to import, so only when it is needed

    return tuple(regression_dataset_names)


def _cached_file(name: str) -> Path:
    return cache_folder() / name / f"{name}.tsv.gz"


def check(spec: DatasetSpec) -> None:
    """Raise DataError unless `spec` is in the cache or among PMLB's regression sets."""
    if _cached_file(spec.name).is_file() or spec.name in regression_names():
        return
    hint = did_you_mean(spec.name, regression_names())
    raise DataError(f"data set '{spec}': PMLB has no regression set of this name{hint}")


def read(spec: DatasetSpec) -> tuple[pd.DataFrame, str]:
    """The table and its target column, downloaded first if the cache has it not.

    Raises:
        DataError: the download failed, or the cached file is damaged.
    """
    file = _cached_file(spec.name)
    if not file.is_file():
        _download(spec, file)
    from pmlb import fetch_data

    try:
        # Gaps are kept here, to be counted and reported with those of every other source.
        frame = fetch_data(spec.name, local_cache_dir=str(cache_folder()), dropna=False)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise DataError(
            f"data set '{spec}': {file} is damaged ({error}); delete it and start again"
        ) from error
    return frame, TARGET


def can_download() -> bool:
    """Whether the place that PMLB is downloaded from answers."""
    import requests
    from pmlb.pmlb import GITHUB_URL

    try:
        requests.head(GITHUB_URL, timeout=3)
    except requests.RequestException:
        return False
    return True


def _download(spec: DatasetSpec, file: Path) -> None:
    """Fetch into a folder of its own, then move: a download cut short leaves nothing behind."""
    from pmlb import fetch_data

    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            fetch_data(spec.name, local_cache_dir=folder, dropna=False)
            file.parent.mkdir(exist_ok=True)
            os.replace(Path(folder) / spec.name / file.name, file)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise DataError(
            f"data set '{spec}' is not in {cache_folder()} and could not be downloaded there "
            f"({type(error).__name__}). Connect to the network, or set SMOOTHRAY_DATA to a folder "
            f"that holds {spec.name}/{file.name}"
        ) from error
