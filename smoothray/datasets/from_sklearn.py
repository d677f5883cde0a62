"""Regression sets that scikit-learn brings along or generates: no download, the same everywhere.

Sources: diabetes, Efron et al., "Least Angle Regression", 2004; iris, Fisher, 1936; wine, Forina
et al., 1991; friedman1 to 3, Friedman, "Multivariate Adaptive Regression Splines", 1991, with
noise of a third of the signal's standard deviation in the last two.
scikit-learn is loaded when one of them is read: half a second that other processes do without.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from smoothray.datasets.specs import DatasetSpec
from smoothray.errors import DataError, did_you_mean
from smoothray.seeds import seed

ROWS = 300  # of each generated set
CIRCUIT = ["resistance", "frequency", "inductance", "capacitance"]  # of friedman2 and friedman3


def _diabetes() -> tuple[pd.DataFrame, str]:
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True, scaled=False).frame
    return frame.rename(columns={"target": "progression"}), "progression"


def _iris() -> tuple[pd.DataFrame, str]:
    from sklearn.datasets import load_iris

    bunch = load_iris(as_frame=True)
    frame = bunch.frame.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    species = pd.Series(bunch.target_names[bunch.target], name="species")
    return pd.concat([frame.drop(columns="target"), species], axis=1), "petal_width"


def _wine() -> tuple[pd.DataFrame, str]:
    from sklearn.datasets import load_wine

    return load_wine(as_frame=True).frame.drop(columns="target"), "alcohol"


def _friedman1() -> tuple[pd.DataFrame, str]:
    random_state = seed("sklearn", "friedman1")
    from sklearn.datasets import make_friedman1

    X, y = make_friedman1(n_samples=ROWS, noise=1.0, random_state=random_state)
    return pd.DataFrame(X, columns=[f"x{i}" for i in range(1, 11)]).assign(y=y), "y"


def _friedman2() -> tuple[pd.DataFrame, str]:
    random_state = seed("sklearn", "friedman2")
    from sklearn.datasets import make_friedman2

    X, y = make_friedman2(n_samples=ROWS, noise=125.0, random_state=random_state)
    return pd.DataFrame(X, columns=CIRCUIT).assign(impedance=y), "impedance"


def _friedman3() -> tuple[pd.DataFrame, str]:
    random_state = seed("sklearn", "friedman3")
    from sklearn.datasets import make_friedman3

    X, y = make_friedman3(n_samples=ROWS, noise=0.1, random_state=random_state)
    return pd.DataFrame(X, columns=CIRCUIT).assign(phase=y), "phase"


LOADERS: dict[str, Callable[[], tuple[pd.DataFrame, str]]] = {
    "diabetes": _diabetes,
    "iris": _iris,
    "wine": _wine,
    "friedman1": _friedman1,
    "friedman2": _friedman2,
    "friedman3": _friedman3,
}


def check(spec: DatasetSpec) -> None:
    """Raise DataError unless `spec` names one of `LOADERS`."""
    if spec.name not in LOADERS:
        hint = did_you_mean(spec.name, LOADERS)
        raise DataError(
            f"data set '{spec}': no such set; there are {', '.join(sorted(LOADERS))}{hint}"
        )


def read(spec: DatasetSpec) -> tuple[pd.DataFrame, str]:
    """The table and its target column."""
    return LOADERS[spec.name]()
