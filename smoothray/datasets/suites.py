"""Named lists of data sets, and the reading of a study's `datasets` entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smoothray.datasets.sources import parse_spec
from smoothray.datasets.specs import DatasetSpec
from smoothray.datasets.table import Dataset
from smoothray.errors import DataError, did_you_mean

SUITES: dict[str, tuple[str, ...]] = {
    # 20 real-world regression sets of SRBench's black-box track (La Cava et al., 2021).
    "pmlb20": (
        "pmlb:1027_ESL",
        "pmlb:1028_SWD",
        "pmlb:1029_LEV",
        "pmlb:1030_ERA",
        "pmlb:210_cloud",
        "pmlb:225_puma8NH",
        "pmlb:227_cpu_small",
        "pmlb:230_machine_cpu",
        "pmlb:503_wind",
        "pmlb:519_vinnie",
        "pmlb:522_pm10",
        "pmlb:529_pollen",
        "pmlb:537_houses",
        "pmlb:547_no2",
        "pmlb:560_bodyfat",
        "pmlb:666_rmftsa_ladata",
        "pmlb:678_visualizing_environmental",
        "pmlb:690_visualizing_galaxy",
        "pmlb:695_chatfield_4",
        "pmlb:712_chscase_geyser1",
    ),
    # No download: sets that scikit-learn brings along or generates.
    "offline": (
        "sklearn:diabetes",
        "sklearn:friedman1",
        "sklearn:friedman2",
        "sklearn:friedman3",
        "sklearn:iris",
        "sklearn:wine",
    ),
}


Named = str | Mapping[str, object] | DatasetSpec | Dataset
"""How an entry of a study's `datasets` may be written."""


def expand(datasets: Named | Sequence[Named]) -> list[DatasetSpec | Dataset]:
    """The data sets of a study: one or a list of suites, texts, file mappings and Datasets, mixed.

    Raises:
        DataError: an entry names neither a suite nor a data set, two data sets share a name, or
            there is none.

    >>> [str(spec) for spec in expand(["sklearn:iris", "pmlb:519_vinnie"])]
    ['sklearn:iris', 'pmlb:519_vinnie']
    >>> len(expand("pmlb20"))
    20
    """
    entries = (
        [datasets] if isinstance(datasets, str | Mapping | DatasetSpec | Dataset) else datasets
    )
    specs: dict[str, DatasetSpec | Dataset] = {}
    for entry in entries:
        for spec in _specs(entry):
            if spec.name in specs:
                raise DataError(
                    f"two data sets are named '{spec.name}': {specs[spec.name]} and {spec}; "
                    "leave one out, or give one a name of its own with 'name'"
                )
            specs[spec.name] = spec
    if not specs:
        raise DataError("no data set is named; write a suite or a list of data sets")
    return list(specs.values())


def _specs(entry: Named) -> Sequence[DatasetSpec | Dataset]:
    if isinstance(entry, Dataset):
        return [entry]
    if isinstance(entry, str) and entry in SUITES:
        return [parse_spec(text) for text in SUITES[entry]]
    try:
        return [parse_spec(entry)]
    except DataError as error:
        if isinstance(entry, str) and ":" not in entry:
            hint = did_you_mean(entry, SUITES)
            raise DataError(f"{error}. The suites are {', '.join(SUITES)}{hint}") from error
        raise
