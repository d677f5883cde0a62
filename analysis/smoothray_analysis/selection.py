"""One formula from each front, chosen on validation rows alone; `strengths` chooses among a penalty's.

The functions that choose are handed the columns VISIBLE (`strengths.VISIBLE_STRENGTH`) and nothing else, so
that test scores cannot move a choice. They enter afterwards, with the chosen rows.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smoothray_analysis.strengths import FAMILY, at_chosen_strength

__all__ = ["FAMILY", "Rule", "at_chosen_strength", "choose_members", "reselect"]

VISIBLE = (
    "record", "complexity", "native", "val_loss_accuracy", "val_error_accuracy",
    "val_loss_fidelity", "val_error_fidelity",
)  # fmt: skip
TAKEN = {
    "complexity": "complexity",
    "complexity_standard": "complexity_standard",
    "formula": "formula",
    **{f"r2_{part}": f"student_r2_{part}" for part in ("train", "val", "test")},
    **{f"fidelity_{part}": f"fidelity_{part}" for part in ("train", "val", "test")},
    "jacobian": "student_jacobian",
    "gradient_max": "student_gradient_max",
}
"""A front's columns and the fields of a record that the chosen member's values go to."""


@dataclass(frozen=True)
class Rule:
    """How one formula is chosen from a front.

    aim: "accuracy", "fidelity" (validation loss against the labels, the teacher) or "native", the
        student's own choice.
    best: take the smallest validation loss, rather than the simplest member within one standard
        error of it (Breiman et al., CART, 1984).
    nodes: the most nodes allowed; among those the smallest validation loss is taken.
    """

    aim: str = "accuracy"
    best: bool = False
    nodes: int | None = None

    @classmethod
    def of(cls, text: str) -> Rule:
        """A rule by its name. Raises ValueError.

        >>> Rule.of("fidelity"), Rule.of("accuracy<=15").nodes, str(Rule.of("accuracy-best"))
        (Rule(aim='fidelity', best=False, nodes=None), 15, 'accuracy-best')
        """
        parts = re.fullmatch(r"(native)|(accuracy|fidelity)(?:(-best)|<=(\d+))?", text)
        if not parts:
            raise ValueError(
                f"unknown rule '{text}'; use native, accuracy or fidelity, the latter two also with "
                "'-best' or with a number of nodes as in 'accuracy<=15'"
            )
        nodes = int(parts[4]) if parts[4] else None
        return cls(parts[1] or parts[2], bool(parts[3]), nodes)

    def __str__(self) -> str:
        return self.aim + ("-best" if self.best else f"<={self.nodes}" if self.nodes else "")


def choose_members(fronts: pd.DataFrame, rule: Rule) -> pd.Series:
    """For each record the index label in `fronts` of the chosen member.

    fronts: a row a member with the columns VISIBLE; others are not looked at. Where the loss is
    not finite for any allowed member, the record is left out. Without a teacher accuracy chooses. A member
    that is marked unsafe (a column that may lack) is left out where its record has others. The student's own,
    where it is none of these, is the last: its nearest in loss.
    """
    if rule.aim == "native":
        seen = safe_members(fronts)
        last = seen.drop_duplicates("record", keep="last")
        own = seen[seen["native"].astype(bool)].drop_duplicates("record")
        own = pd.concat([own, last[~last["record"].isin(own["record"])]]).sort_values("record")
        return pd.Series(own.index, index=own["record"])
    seen = safe_members(fronts, rule.aim)[list(VISIBLE)]
    loss = val_loss(seen, rule.aim)
    error = val_loss(seen, rule.aim, "error")
    allowed = np.isfinite(loss)
    if rule.nodes is not None:
        allowed &= seen["complexity"] <= rule.nodes
    seen, loss = seen[allowed], loss[allowed]
    if seen.empty:
        return pd.Series([], dtype="int64")
    first = loss.groupby(seen["record"]).idxmin()
    margin = pd.Series(0.0, index=first.index)
    if not rule.best and rule.nodes is None:
        spread = error.loc[first].to_numpy()
        margin[:] = np.where(np.isfinite(spread), np.maximum(spread, 0.0), 0.0)
    limit = seen["record"].map(loss.loc[first].set_axis(first.index) + margin)
    near = seen[loss <= limit].assign(loss=loss)
    order = ["complexity", "loss"]
    if rule.best or rule.nodes is not None:
        order.reverse()
    near = near.sort_values(["record", *order], kind="stable").drop_duplicates("record")
    return pd.Series(near.index, index=near["record"])


def val_loss(fronts: pd.DataFrame, aim: str, what: str = "loss") -> pd.Series:
    """Each member's validation loss (or "error") against the labels ("accuracy") or the teacher ("fidelity").

    The direct fit has no teacher to be close to: its formulas are chosen by accuracy under every rule.
    """
    loss = fronts[f"val_loss_{aim}"].astype(float)
    own = fronts[f"val_{what}_{aim}"].astype(float)
    taught = loss.notna().groupby(fronts["record"]).transform("any")
    return own.where(taught, fronts[f"val_{what}_accuracy"].astype(float))


def safe_members(fronts: pd.DataFrame, aim: str | None = None) -> pd.DataFrame:
    """The members without those that are unsafe, but for records that have no others; aim: with a finite
    validation loss."""
    if "unsafe" not in fronts:
        return fronts
    safe = ~fronts["unsafe"].astype("boolean").fillna(False).astype(bool)
    usable = safe if aim is None else safe & np.isfinite(val_loss(fronts, aim))
    return fronts[safe | ~usable.groupby(fronts["record"]).transform("any")]


def reselect(records: pd.DataFrame, fronts: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """The records as they would be, had `rule` chosen from their fronts.

    records: a row a trial. fronts: a row a member, `record` a row's label in `records`, with the
    columns VISIBLE and those of TAKEN. Fields that a front does not hold become empty where the choice
    changes, which is where another formula is chosen, or, of fronts without formulas, another member than the
    one marked `chosen`; a trial with no member that the rule allows becomes a failed one.
    """
    chosen = choose_members(fronts, rule)
    result = records.copy()
    good = result.index[(result["status"] == "ok").to_numpy()]
    chosen = chosen[chosen.index.isin(good)]
    members = fronts.loc[chosen.to_numpy()].set_index(chosen.index)
    same = members["formula"].eq(result["formula"].loc[members.index])
    if "chosen" in members:
        same |= members["formula"].isna() & members["chosen"].astype("boolean").fillna(False)
    members = members[~same.astype(bool)].copy()
    changed = members.index
    for name in ("latex", "undefined_test"):
        if name in result:
            result[name] = result[name].where(~result.index.isin(changed))
    for source, name in TAKEN.items():
        if name in result:
            values = result[name].copy()
            if source not in members:
                continue
            if source != "formula":
                values = values.astype(float)
                members[source] = members[source].astype(float)
            values.loc[changed] = members[source]
            result[name] = values
    if {"alignment", "teacher_jacobian"} <= set(result):
        ratio = result["student_jacobian"].astype(float) / result["teacher_jacobian"].astype(float)
        alignment = result["alignment"].astype(float)
        alignment.loc[changed] = (
            ratio.where((ratio > 0) & (ratio < np.inf)).loc[changed].map(math.log)
        )
        result["alignment"] = alignment
    lost = good.difference(chosen.index)
    result.loc[lost, "status"] = "failed"
    if "reason" in result:
        result["reason"] = result["reason"].astype(object)
        result.loc[lost, "reason"] = f"no formula of the front is allowed by the rule '{rule}'"
    result["selection"] = str(rule)
    return result
