"""Tables that a page shows in another shape than their files have: wide, a row a data set or comparison."""

from __future__ import annotations

import pandas as pd

from smoothray_analysis.arms import PLAIN, several_students, who
from smoothray_analysis.published import BEST_SMOOTH
from smoothray_analysis.report.cells import NOTHING, digits_text, is_number, signed

MEDIAN = "median over those with all"


def srbench_wide(table: pd.DataFrame) -> pd.DataFrame:
    """`published.beside_srbench` of one student as a page shows it: a row a data set, a column a method.

    Of our arms the baselines and the best smooth one; the columns are (source, method). The last row holds
    the medians over the data sets that every column has.
    """
    shown = table[(table["source"] != "here") | table["method"].isin([*PLAIN, BEST_SMOOTH])].copy()
    order = list(dict.fromkeys(zip(shown["source"], shown["method"], strict=True)))
    order.sort(key=lambda head: (head[0] != "here", head[1] == BEST_SMOOTH))
    keys = ["dataset", "source", "method"]
    full = shown[shown.groupby("dataset")["r2"].transform("count") == len(order)]
    middle = full.groupby(["source", "method"], as_index=False)[["r2", "size"]].median()
    last = f"{MEDIAN} ({full['dataset'].nunique()})"
    shown = pd.concat([shown, middle.assign(dataset=last, detail="")])
    shown["cell"] = [
        f"{digits_text(r2)} / {f'{size:,.0f}' if is_number(size) else NOTHING} {detail}".rstrip()
        for r2, size, detail in zip(shown["r2"], shown["size"], shown["detail"], strict=True)
    ]  # fmt: skip
    wide = shown.set_index(keys)["cell"].unstack(["source", "method"])
    names = [name for name in wide.index if name != last]
    return wide.loc[[*names, *({last} & set(wide.index))], order].fillna(NOTHING)


def sensitivity_wide(results: pd.DataFrame, variants: pd.DataFrame, rule: str) -> pd.DataFrame:
    """The comparisons as a page shows them: a row each, a column a way of choosing, the report's own
    first."""
    frame = pd.concat([results.assign(variant=f"{rule} (this report)"), variants])
    several = several_students(frame)
    frame["comparison"] = [
        who(f"{arm} against {base}", student, several)
        for arm, base, student in zip(frame["arm"], frame["base"], frame["student"], strict=True)
    ]
    frame["cell"] = [
        f"{signed('difference')(row)}\n{row['verdict']}" for row in frame.to_dict("records")
    ]
    wide = frame.pivot(index="comparison", columns="variant", values="cell").fillna(NOTHING)
    order = list(dict.fromkeys(frame["comparison"]))
    return wide.loc[order, list(dict.fromkeys(frame["variant"]))]
