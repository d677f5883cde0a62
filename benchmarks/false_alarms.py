"""How often the analysis cries wolf, and how often it sees a wolf that is there.

Simulated studies on the real rows of the 20 data sets go through the analysis's own `evidence`. A fit is a
least-squares "teacher" and a "student" fitted to it, so that trials have real, overlapping splits. All arms
are alike: a candidate (a penalty's strength, or a baseline's restart) differs from the others by luck alone,
which is of two kinds:

    rows  noise columns of its own, the same in all trials of a data set: what they happen to explain is
          shared by all of its trials, validation rows of the one being test rows of the other
    luck  columns that a fit drops by chance: its quality is shared by its validation and its test rows
    both  both

Printed is the part of the studies in which anything is called better where nothing is, for each way of
choosing strengths, and with an effect planted at one strength of one penalty how often that is found.

    python benchmarks/false_alarms.py [--studies 300] [--kinds rows luck both] [--effects 0 0.01] [--noise 2]
        [--out FILE]

With more noise columns (--noise 8) the choice by a data set's own trials (own), which reports do not have,
must be seen to fail. Studies are added to the CSV file one by one; started again, it goes on.

    python benchmarks/false_alarms.py --same 500

How often arms are called practically the same that are not: the differences of 20 data sets, whose median is
at the edge of what counts as the same, scattered by a normal or a heavy-tailed distribution.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binomtest
from smoothray_analysis.comparisons import Settings, equivalence
from smoothray_analysis.endpoints import ACCURACY, ENDPOINTS
from smoothray_analysis.verdict import Evidence, evidence

from smoothray.datasets import expand, load_dataset

SMOOTH, STRENGTHS = ("jacobian", "lipschitz"), (0.001, 0.01, 0.03, 0.1, 0.3)
PLANTED = (SMOOTH[0], STRENGTHS[2])
FIXED = dict.fromkeys((*SMOOTH, "weight_decay"), STRENGTHS[2])
NOISE = 2
"""Noise columns of a candidate, if no others are asked for."""
KEPT = 0.8
"""The part of the columns that a fit keeps, where it may drop some."""
ROWS, COLUMNS = 160, 8
"""At most so many of a data set, drawn anew for each study."""
KINDS = ("rows", "luck", "both")
ALPHA = Settings().alpha
RULES = ("others", "trial", "fixed", "own")
"""How strengths are chosen: as `smoothray report` can, and by a data set's own trials, which it cannot."""
Array = NDArray[np.float64]


class Found(NamedTuple):
    """What one study's evidence says.

    significant: whether anything in the family is, towards better, over data sets; over: whether anything is
    called better there, which "practically the same" comes before; dataset: whether on a single data set;
    placebo: whether it is called better or worse. Of the arm with the planted effect, against plain
    distillation in test R²: seen, whether it is significant; planted, whether it is called better;
    difference, its median difference.
    """

    significant: bool
    over: bool
    dataset: bool
    placebo: bool
    seen: bool
    planted: bool
    difference: float


def candidates(restarts: int = len(STRENGTHS)) -> pd.DataFrame:
    """The fits of a trial: a row a penalty, strength and restart."""
    rows = [(name, strength, 0) for name in (*SMOOTH, "weight_decay") for strength in STRENGTHS]
    rows += [(name, np.nan, restart) for name in ("none", "direct") for restart in range(restarts)]
    rows += [("placebo", 1e-9, 0)]
    return pd.DataFrame(rows, columns=["penalty", "strength", "restart"])


def fits(
    X: Array,
    y: Array,
    count: int,
    trials: int,
    kind: str,
    rng: np.random.Generator,
    columns: int = NOISE,
) -> tuple[pd.DataFrame, int, int]:
    """Scores of `count` candidates in each trial of one data set, a row a trial and candidate; rows of train
    and test."""
    n = len(y)
    noise = columns if kind in ("rows", "both") else 0
    design = np.concatenate(
        [np.broadcast_to(np.c_[np.ones(n), X], (count, n, X.shape[1] + 1)),
         rng.normal(size=(count, n, noise))], axis=2,
    )  # fmt: skip
    n_test = n // 4
    n_val = (n - n_test) // 5
    parts = []
    for trial in range(trials):
        order = rng.permutation(n)
        test, val, train = np.split(order, [n_test, n_test + n_val])
        dropped = np.zeros((2, count, design.shape[2]), dtype=bool)
        if kind in ("luck", "both"):
            dropped[:, :, 1:] = rng.random((2, count, design.shape[2] - 1)) > KEPT
        target = np.broadcast_to(y, (count, n))
        teacher = _fit(design, target, train, dropped[0])
        student = _fit(design, teacher, train, dropped[1])
        parts.append(
            pd.DataFrame(
                {
                    "trial": trial,
                    "candidate": np.arange(count),
                    "student_r2_val": _r2(target, student, val),
                    "student_r2_test": _r2(target, student, test),
                    "fidelity_test": _r2(teacher, student, test),
                    "teacher_r2_test": _r2(target, teacher, test),
                    "complexity": 2 * (~dropped[1]).sum(axis=1) - 1,
                }
            )
        )
    return pd.concat(parts, ignore_index=True), len(train), n_test


def _fit(
    design: Array, target: Array, train: NDArray[np.int_], dropped: NDArray[np.bool_]
) -> Array:
    """Predictions on all rows of least squares on `train`, dropped columns without a weight."""
    rows = design[:, train]
    gram = rows.transpose(0, 2, 1) @ rows
    side = (rows.transpose(0, 2, 1) @ target[:, train, None])[..., 0]
    place = np.arange(gram.shape[1])
    gram[:, place, place] += 1e-3 + 1e9 * dropped
    weights = np.linalg.solve(gram, side[..., None])
    return (design @ weights)[..., 0]


def _r2(target: Array, predicted: Array, rows: NDArray[np.int_]) -> Array:
    y, rest = target[:, rows], target[:, rows] - predicted[:, rows]
    return 1 - (rest**2).mean(axis=1) / np.maximum(y.var(axis=1), 1e-9)


def study(
    tables: Sequence[tuple[str, Array, Array]],
    trials: int,
    kind: str,
    rng: np.random.Generator,
    restarts: int = len(STRENGTHS),
    noise: int = NOISE,
) -> pd.DataFrame:
    """The records of one simulated study, without its fronts."""
    arms = candidates(restarts)
    parts = []
    for name, X, y in tables:
        rows = rng.permutation(len(y))[:ROWS]
        columns = rng.permutation(X.shape[1])[:COLUMNS]
        own, target = X[np.ix_(rows, columns)], y[rows]
        own = (own - own.mean(0)) / np.maximum(own.std(0), 1e-9)
        target = (target - target.mean()) / target.std()
        scores, n_train, n_test = fits(own, target, len(arms), trials, kind, rng, noise)
        parts.append(
            scores.merge(arms, left_on="candidate", right_index=True)
            .assign(dataset=name, n_train=n_train, n_test=n_test)
        )  # fmt: skip
    records = pd.concat(parts, ignore_index=True).drop(columns="candidate")
    direct = records["penalty"] == "direct"
    records.loc[direct, ["fidelity_test", "teacher_r2_test"]] = np.nan
    return records.assign(
        student="least squares", augment=0, ensemble=1, stopping="early", status="ok", formula="x",
        alignment=np.nan,
    )  # fmt: skip


def planted(records: pd.DataFrame, effect: float) -> pd.DataFrame:
    """The records with an effect on the R² of PLANTED, on validation and test rows alike."""
    here = (records["penalty"] == PLANTED[0]) & (records["strength"] == PLANTED[1])
    names = ["student_r2_val", "student_r2_test"]
    return records.assign(**{name: records[name] + effect * here for name in names})


def own_best(records: pd.DataFrame) -> pd.DataFrame:
    """The records with the strength of the best median validation R² over a data set's own trials under the
    name of FIXED: the choice that leaks."""
    family = ["dataset", "penalty"]
    searched = records[records["penalty"].isin(list(FIXED))]
    scores = searched.groupby([*family, "strength"])["student_r2_val"].median().reset_index()
    best = scores.sort_values("student_r2_val").drop_duplicates(family, keep="last")
    own = records.merge(best[[*family, "strength"]], on=family, how="left", suffixes=("", "_best"))
    middle, strength, top = STRENGTHS[2], own["strength"], own["strength_best"]
    swapped = strength.mask(strength == top, middle).mask(
        (strength == middle) & (top != middle), top
    )
    return own.assign(strength=swapped.where(top.notna(), strength)).drop(columns="strength_best")


def evidence_of(records: pd.DataFrame, rule: str) -> Evidence:
    """What the analysis makes of these records, strengths chosen by this rule."""
    if rule == "own":
        records, rule = own_best(records), "fixed"
    settings = Settings(strengths=rule, fixed=FIXED if rule == "fixed" else {})
    return evidence(records, settings=settings)


def told(ev: Evidence) -> Found:
    """What the evidence says is there."""
    over, table = ev.endpoints, ev.per_dataset
    family = table["in_family"]
    signs = over["endpoint"].map({endpoint.name: endpoint.sign for endpoint in ENDPOINTS})
    up = (over["p_holm"] <= ALPHA) & (over["rank_biserial"] * signs > 0)
    better = over["verdict"] == "better"
    mine = (over["arm"] == PLANTED[0]) & (over["base"] == "none")
    mine &= over["endpoint"] == ACCURACY.name
    return Found(
        significant=bool((over["in_family"] & up).any()),
        over=bool((over["in_family"] & better).any()),
        dataset=bool((family & (table["verdict"] == "better")).any()),
        placebo=bool((~over["in_family"] & over["verdict"].isin(["better", "worse"])).any()),
        seen=bool((mine & up).any()),
        planted=bool((mine & better).any()),
        difference=float(over.loc[mine, "difference"].iloc[0]),
    )


SCATTER = {
    "normal": lambda rng: rng.normal(size=20),
    "t with 3 degrees of freedom": lambda rng: rng.standard_t(3, 20),
}


def called_the_same(studies: int, scatter: float, kind: str, seed: int = 0) -> float:
    """The share of comparisons over 20 data sets that are called practically the same, although the median
    difference is as large as the region of practical equivalence. kind: of SCATTER, which is the
    differences'."""
    settings, rng = Settings(), np.random.default_rng(seed)
    calls = [
        equivalence(settings.rope + scatter * SCATTER[kind](rng), settings.rope, settings)[3]
        for _ in range(studies)
    ]
    return float(np.mean(calls))


def tables() -> list[tuple[str, Array, Array]]:
    """The 20 data sets: name, columns and target."""
    loaded = [load_dataset(spec) for spec in expand("pmlb20")]
    return [(data.name, np.asarray(data.X, float), np.asarray(data.y, float)) for data in loaded]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--rules", nargs="+", default=RULES, choices=RULES)
    parser.add_argument("--effects", type=float, nargs="+", default=[0.0, 0.01])
    parser.add_argument("--noise", type=int, default=NOISE)
    parser.add_argument(
        "--same", type=int, help="so many comparisons at the region's edge, and no studies"
    )
    parser.add_argument("--out", type=Path, default=Path("false_alarms.csv"))
    options = parser.parse_args()
    if options.same:
        for kind in SCATTER:
            for scatter in (0.001, 0.003, 0.01, 0.03):
                same = called_the_same(options.same, scatter, kind)
                print(f"scatter {scatter:g}, {kind}: {100 * same:.1f} % called the same")
        return
    data = tables()
    key = ["kind", "noise", "trials", "effect", "rule", "number"]
    head = [*key, *Found._fields]
    done = set()
    if options.out.exists():
        done = set(pd.read_csv(options.out)[key].itertuples(index=False, name=None))
    else:
        options.out.write_text(",".join(head) + "\n")
    for number in range(options.studies):
        for kind in options.kinds:
            wanted = [
                (kind, options.noise, options.trials, effect, rule, number)
                for effect in options.effects
                for rule in options.rules
            ]
            left = [row for row in wanted if row not in done]
            if not left:
                continue
            rng = np.random.default_rng([number, KINDS.index(kind)])
            records = study(data, options.trials, kind, rng, noise=options.noise)
            for row in left:
                *_, effect, rule, _ = row
                result = told(evidence_of(planted(records, effect), rule))
                with options.out.open("a", newline="") as file:
                    csv.writer(file).writerow([*row, *result])
    show(pd.read_csv(options.out))


def show(results: pd.DataFrame) -> None:
    """Print the shares of the studies, and how large those of false alarms may be."""
    groups = results.groupby(["kind", "noise", "trials", "effect", "rule"])
    studies = groups.size()
    table = pd.DataFrame(
        {
            name: [share(k, n) for k, n in zip(groups[name].sum(), studies, strict=True)]
            for name in ("significant", "over", "dataset", "placebo")
        },
        index=studies.index,
    )
    for name in ("seen", "planted"):
        table[name] = groups[name].mean().mul(100).round(1)
    table["difference"] = groups["difference"].median().round(4)
    print(table.assign(studies=studies).to_string())
    print(
        "% of the studies (at most so much, with 95 % confidence: Clopper and Pearson, one-sided):\n"
        "something significant over data sets, called better there, called better on one, placebo found;\n"
        "planted effect significant, called better; median difference of its arm"
    )


def share(count: int, studies: int) -> str:
    """In %, with its upper bound."""
    test = binomtest(count, studies, alternative="less")
    return f"{100 * test.statistic:.1f} (≤ {100 * test.proportion_ci(method='exact').high:.1f})"


if __name__ == "__main__":
    main()
