"""What kind of data set gains from smoothing: the gain on each against what the data set is like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from smoothray_analysis.arms import BASE_NAMES, EARLY, NOT_SMOOTH, completed, several_students, who
from smoothray_analysis.associations import LEAST
from smoothray_analysis.regimes import REGIMES, beside
from smoothray_analysis.statistics.correlation import spearman
from smoothray_analysis.statistics.paired import holm
from smoothray_analysis.text import count, p_text, plain_number

SCORE = "student_r2_test"
AGAINST = ("none", "direct")
MODERATORS = {
    "ahead": ("teacher's R² above the direct fit's", "the plain teacher is further ahead of the direct fit"),
    "ceiling": ("best R² of anything", "the best of all reaches a higher R²"),
    "roughness": ("plain teacher's roughness", "the plain teacher is rougher"),
    "rows": ("rows", "there are more rows"),
    "columns": ("columns", "there are more columns"),
}  # fmt: skip
"""What a data set is like, as an axis and a sentence say it."""


def moderators(chosen: pd.DataFrame) -> pd.DataFrame:
    """What each data set gains from smoothing, and what it is like.

    chosen: a row a trial, at the chosen strengths (`verdict.Evidence.chosen`). A data set's gain is the
    median over the smooth arms of an arm's median paired difference in test R² from a baseline. It is of the
    trials with even numbers, and what the data set is like of those with odd ones: a direct fit that was
    unlucky on some splits would else make both the gain over it and the teacher's lead over it large.

    Returns a row per student, regime (`stopping`), base (of AGAINST) and data set: `gain`, `trials`, and
    ahead: the plain teacher's test R² less the direct fit's, median over trials; ceiling: the highest median
    test R² of any teacher or formula, which stands for what the noise allows; roughness: log10 of the plain
    teacher's median mean squared Jacobian; rows; columns, nan where records do not tell them (`n_columns`).
    """
    known = completed(chosen)
    good = known[known["status"] == "ok"].astype({SCORE: float, "teacher_r2_test": float})
    even = good["trial"] % 2 == 0
    smooth = good[even & ~good["penalty"].isin(NOT_SMOOTH)]
    unit = ["student", "stopping", "dataset"]
    parts = []
    for base in AGAINST:
        change = smooth[SCORE] - beside(smooth, known, base, [SCORE])[SCORE].astype(float)
        pairs = smooth[[*unit, "arm"]].assign(base=base, gain=change).dropna(subset="gain")
        arms = pairs.groupby([*unit, "base", "arm"])["gain"].agg(["median", "size"])
        found = arms.groupby([*unit, "base"]).agg(gain=("median", "median"), trials=("size", "max"))
        parts.append(found.reset_index())
    gains = pd.concat(parts, ignore_index=True)
    return gains.merge(_alike(known, good[~even]), on=unit, how="left")


def _alike(known: pd.DataFrame, odd: pd.DataFrame) -> pd.DataFrame:
    """What the data sets are like: a row per student, regime and data set that has a plain teacher."""
    unit = ["student", "stopping", "dataset"]
    plain = odd[odd["penalty"] == "none"]
    plain = plain.assign(
        ahead=plain["teacher_r2_test"]
        - beside(plain, known, "direct", [SCORE])[SCORE].astype(float),
        jacobian=plain["teacher_jacobian"].astype(float),
    )
    table = plain.groupby(unit)[["ahead", "jacobian"]].median()
    table["roughness"] = np.log10(table.pop("jacobian").where(lambda value: value > 0))
    best = (
        odd.groupby(["student", "dataset", "arm"])[[SCORE, "teacher_r2_test"]].median().max(axis=1)
    )
    table = table.reset_index()
    sizes = known.groupby(["student", "dataset"]).agg(
        n_train=("n_train", "median"), n_test=("n_test", "median")
    )
    sizes["rows"] = sizes.pop("n_train") + sizes.pop("n_test")
    for extra in ("n_val", "n_columns"):
        there = known[extra].astype(float) if extra in known else pd.Series(np.nan, known.index)
        sizes[extra] = there.groupby([known["student"], known["dataset"]]).median()
    sizes["rows"] += sizes.pop("n_val").fillna(0)
    sizes = sizes.rename(columns={"n_columns": "columns"})
    sizes["ceiling"] = best.groupby(["student", "dataset"]).max()
    return table.merge(sizes.reset_index(), on=["student", "dataset"])


def moderations(
    table: pd.DataFrame, alpha: float = 0.05, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Over the data sets, the rank correlation of the gain with each of MODERATORS.

    table: of `moderators`. All rows are one family for Holm's correction. Returns `student`, `stopping`,
    `base`, `moderator`, `datasets`, `rho` with its data-set bootstrap interval `low`, `high`, the permutation
    `p`, `p_holm` and `significant`; only those with LEAST data sets and a moderator that varies.
    """
    rows: list[dict[str, Any]] = []
    names = ("student", "stopping", "base")
    for key, group in table.groupby(list(names), sort=False):
        for moderator in MODERATORS:
            both = group[["gain", moderator]].dropna()
            found = spearman(both["gain"], both[moderator], resamples=resamples, seed=seed) if (
                len(both) >= LEAST
            ) else None  # fmt: skip
            if found is not None and np.isfinite(found.rho):
                mine = dict(zip(names, key, strict=True)) | {"moderator": moderator}
                rows.append({**mine, "datasets": found.n, **found._asdict()})
    columns = [*names, "moderator", "datasets", "rho", "low", "high", "p"]
    over = pd.DataFrame(rows, columns=columns)
    over["p_holm"] = holm(over["p"].to_numpy(float))
    return over.assign(significant=over["p_holm"] <= alpha)


def moderation_lines(table: pd.DataFrame, over: pd.DataFrame) -> list[str]:
    """Which kind of data set gains, in one sentence; none where no data set has a gain.

    table: of `moderators`; over: of `moderations`.
    """
    if table.empty:
        return []
    if over.empty:
        return [f"Which kind of data set gains is not said of fewer than {LEAST} data sets."]
    clear = over[over["significant"]].sort_values("p")
    many = f"{len(over)} rank correlations of a data set's gain with what it is like"
    if clear.empty:
        first = over.sort_values("p", kind="stable").iloc[0].to_dict()
        return [
            f"Which kind of data set gains is not shown: none of {many} stands after Holm; the clearest: "
            f"{_sentence(first, over)}."
        ]
    said = "; ".join(_sentence(row, over) for row in clear.to_dict("records"))
    rest = len(over) - len(clear)
    end = f" No other of the {many} stands." if rest else ""
    return [f"Which kind of data set gains: {said}.{end}"]


def _sentence(row: dict[Any, Any], over: pd.DataFrame) -> str:
    start = who(f"the gain over {BASE_NAMES[row['base']]}", row["student"], several_students(over))
    if over["stopping"].nunique() > 1 or row["stopping"] != EARLY:
        start += f" (teachers {REGIMES[row['stopping']]})"
    between = ""
    if pd.notna(row["low"]):
        between = f" [{plain_number(row['low'], 2)}, {plain_number(row['high'], 2)}]"
    more = "larger" if row["rho"] > 0 else "smaller"
    return (
        f"{start} is {more} where {MODERATORS[row['moderator']][1]} (rank "
        f"correlation {plain_number(row['rho'], 2)}{between} over {count(row['datasets'], 'data set')}, "
        f"{p_text(row['p_holm'])} after Holm)"
    )
