"""Regimes: teachers that were stopped early, and teachers that were trained to the end.

Early stopping smooths too, so that an arm is compared with the baseline of its own regime.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from smoothray_analysis.arms import EARLY, ENDING, TO_THE_END, by_baseline

REGIMES = {EARLY: "stopped early", TO_THE_END: "trained to the end"}
KIND = ["stopping", "augment", "ensemble"]
"""What an arm shares with its baseline."""


def regime_of(arm: str) -> tuple[str, str]:
    """An arm's name without its regime, and its regime.

    >>> regime_of("jacobian (trained to the end)"), regime_of("jacobian")
    (('jacobian', 'none'), ('jacobian', 'early'))
    """
    return (arm.removesuffix(ENDING), TO_THE_END) if arm.endswith(ENDING) else (arm, EARLY)


def in_order(arms: Iterable[str]) -> list[str]:
    """Arms' names with the baselines first, and beside each arm what it is in the other regime.

    >>> in_order(["jacobian", "none (trained to the end)", "none"])
    ['none', 'none (trained to the end)', 'jacobian']
    """
    known = {regime_of(arm): arm for arm in arms}
    families = by_baseline({family for family, _ in known})
    return [known[f, regime] for f in families for regime in REGIMES if (f, regime) in known]


def beside(
    rows: pd.DataFrame, records: pd.DataFrame, penalty: str, columns: Sequence[str]
) -> pd.DataFrame:
    """For each of `rows` what the baseline `penalty` has on the same student, data set and trial.

    rows, records: rows a trial of `arms.completed`. The baseline has the row's regime, augmentation and
    ensemble; where the student has none such, those nearest to them: the same regime first, then the least
    of each. Of restarts the first that `records` hold counts. Returns `columns`, indexed as `rows`; nan
    where the baseline has no trial that finished.
    """
    place = ["student", "dataset", "trial"]
    bases = records[records["penalty"] == penalty]
    kinds = {
        student: sorted(set(group[KIND].itertuples(index=False, name=None)))
        for student, group in bases.groupby("student")
    }
    # Which arm is the base is settled for the whole study, whatever trials of it failed.
    wanted = rows[["student", *KIND]].drop_duplicates()
    wanted = wanted[wanted["student"].isin(list(kinds))]
    near = [_nearest(kind, kinds[student]) for student, *kind in wanted.itertuples(index=False)]
    names = [f"base_{name}" for name in KIND]
    known = pd.concat(
        [wanted.reset_index(drop=True), pd.DataFrame(near, columns=names, dtype=object)], axis=1
    )
    good = bases[bases["status"] == "ok"].sort_values("restart", kind="stable")
    good = good.drop_duplicates([*place, *KIND])[[*place, *KIND, *columns]]
    good = good.rename(columns=dict(zip(KIND, names, strict=True)))
    for name in names:
        good[name] = good[name].astype(object)
    mine = rows[[*place, *KIND]].merge(known, on=["student", *KIND], how="left")
    return mine.merge(good, on=[*place, *names], how="left")[list(columns)].set_axis(rows.index)


def _nearest(kind: list[object], options: list[tuple[object, ...]]) -> tuple[object, ...]:
    """The first of sorted options, but the same kind before others, and the same regime before another."""
    return min(options, key=lambda option: (option != tuple(kind), option[0] != kind[0]))
