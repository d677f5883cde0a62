"""The verdict in plain English: what was shown, what was not, and what could not have been."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from smoothray_analysis.arms import (
    BASE_NAMES,
    BASES,
    NOT_SMOOTH,
    PLACEBO,
    arm_names,
    several_students,
    who,
)
from smoothray_analysis.comparisons import Settings
from smoothray_analysis.endpoints import ACCURACY
from smoothray_analysis.headline import first_lines
from smoothray_analysis.strengths import (
    OTHERS,
    TRIAL,
    Choice,
    at_chosen_strength,
    several_strengths,
    shares_chosen,
    stopped_by_a_race,
)
from smoothray_analysis.text import and_list, count, one_or_more, p_text, plain_number

LEVEL = ("no clear difference", "practically the same")
SMALL = ("power is small", "too few pairs")
"""Verdicts of what had too few data to be shown, over data sets and on one."""
FROM_ONE = ("verdict", "p", "p_holm", "low", "high", "wins", "ties", "losses")


def verdict_lines(
    records: pd.DataFrame,
    table: pd.DataFrame,
    endpoints: pd.DataFrame,
    failures: pd.DataFrame,
    settings: Settings,
    choice: Choice,
    warnings: Sequence[str] = (),
) -> tuple[str, ...]:
    """The lines, the most important first: fidelity, accuracy and teacher, controls, the placebo, the direct
    fit, each comparison, failures, warnings.

    table: on each data set; endpoints: over them, all endpoints; failures: as in `verdict.Evidence`.
    """
    lines: list[str] = []
    results: list[dict[Any, Any]] = []
    if len(table):
        results = one_or_all(table, endpoints[endpoints["endpoint"] == ACCURACY.name])
    smooth = [row for row in results if row["penalty"] not in NOT_SMOOTH]
    if smooth:
        lines += first_lines(endpoints, results)
        lines += _against_direct(smooth, results)
    else:
        lines.append(_nothing_to_compare(records))
    if results:
        lines += comparison_lines(results, settings)
        lines += _how_chosen(records, results, choice)
        lines += _limits(table, results, settings)
        lines += _unlike(results)
    lines += _failed(failures, table)
    lines += [f"Note: {text}." for text in warnings]
    return tuple(lines)


def comparison_lines(results: list[dict[Any, Any]], settings: Settings) -> list[str]:
    """A line for each comparison but the placebo's. results: of `one_or_all`."""
    return [_line(row, settings) for row in results if row["penalty"] != PLACEBO]


def one_or_all(table: pd.DataFrame, over: pd.DataFrame) -> list[dict[Any, Any]]:
    """A row a comparison: over the data sets, or where there is one alone, with the verdict on it.

    table, over: of `comparisons.Comparisons`, of one endpoint. `who` names the arm; `one` is the row of
    `table` where there is one data set alone.
    """
    if table.empty:
        return []
    several = several_students(table)
    rows = over.to_dict("records")
    for row in rows:
        row["who"] = who(row["arm"], row["student"], several)
        row["one"] = None
        if row["datasets"] == 1:
            mine = table[(table["student"] == row["student"]) & (table["arm"] == row["arm"])]
            mine = mine[(mine["base"] == row["base"]) & (mine["pairs"] > 0)]
            row["one"] = mine.iloc[0].to_dict()
            unequal = row["candidates"] != row["base_candidates"]
            for name in FROM_ONE:
                row[name] = row["one"][name]
            if unequal and row["verdict"] in ("better", "worse"):
                more = row["candidates"] > row["base_candidates"]
                row["verdict"] = (
                    "unequal budgets" if more == (row["verdict"] == "better") else row["verdict"]
                )
    order = list(BASE_NAMES)
    return sorted(rows, key=lambda row: (row["penalty"] in NOT_SMOOTH, order.index(row["base"])))


def _against_direct(smooth: list[dict[Any, Any]], results: list[dict[Any, Any]]) -> list[str]:
    """Which smooth arms do not beat the direct fit, or that all do; and whether it takes smoothing."""
    rows = [row for row in smooth if row["base"] == "direct"]
    if not rows:
        return [
            "There is no direct fit in this study: it cannot say whether a teacher is worth having."
        ]
    behind = [row for row in rows if row["verdict"] != "better"]
    ahead = [_placed(row) for row in rows if row["verdict"] == "better"]
    plain = [row["who"] for row in results if row["base"] == "direct"
             and row["penalty"] == "none" and row["verdict"] == "better"]  # fmt: skip
    too = ""
    if ahead and plain:
        too = f"; so {one_or_more(plain, 'does', 'do')} {and_list(plain)}, without a penalty"
    if not behind:
        every = "Every smooth arm beats" if len(rows) > 1 else "The smooth arm beats"
        return [f"{every} the direct fit: {and_list(ahead)}{too}."]
    said = {
        ("worse",): ("is worse", "are worse"),
        ("practically the same",): ("is practically the same", "are practically the same"),
        ("no clear difference",): ("is not shown to beat it", "are not shown to beat it"),
        ("unequal budgets",): ("was chosen from more candidates, which shows nothing",
                               "were chosen from more candidates, which shows nothing"),
        SMALL: ("is not shown to beat it (power is small)", "are not shown to beat it (power is small)"),
        ("no pairs",): ("has no trial in common with it", "have no trial in common with it"),
    }  # fmt: skip
    parts = []
    for verdicts, (one, more) in said.items():
        arms = [row["who"] for row in behind if row["verdict"] in verdicts]
        parts += [f"{and_list(arms)} {one_or_more(arms, one, more)}"] if arms else []
    worse = any(row["verdict"] == "worse" for row in behind)
    start = "Not every smooth arm beats the direct fit"
    if len(behind) == len(rows):
        start = "No smooth arm beats" if worse else "No smooth arm is shown to beat"
        start += " the direct fit"
    if ahead:
        parts.append(f"{and_list(ahead)} {one_or_more(ahead, 'beats', 'beat')} it")
    return [f"{start}: {'; '.join(parts)}{too}."]


def _placed(row: dict[Any, Any]) -> str:
    """An arm's name, with the data set where it was compared on one alone."""
    return row["who"] if row["one"] is None else f"{row['who']} on {row['one']['dataset']}"


def _line(row: dict[Any, Any], settings: Settings) -> str:
    start = f"{row['who']} against {BASE_NAMES[row['base']]}: "
    if row["verdict"] == "no pairs":
        return start + "no trial that both finished, so nothing can be said."
    of = " of what is unexplained" if settings.rope_relative else " R²"
    words = {
        "practically the same": f"practically the same (within {settings.rope:g}{of})",
        "power is small": "the power is small",
        "too few pairs": "the power is small",
        "unequal budgets": "unequal budgets, so that the difference shows nothing",
    }.get(row["verdict"], row["verdict"])
    if row["one"] is not None:
        one = row["one"]
        percent = _percent(words, one["relative"], one["low"], one["high"], "")
        text = (
            f"{words}, on the one data set {one['dataset']}. Median difference in R² "
            f"{plain_number(one['difference'])} {_interval(one['low'], one['high'])}over "
            f"{count(one['pairs'], 'paired trial')}{percent}: {_outcome(one)}; {p_text(one['p_holm'])} "
            "after Holm, by a test that allows for overlapping splits"
        )
        return start + text + "."
    where = (
        "" if row["relative_datasets"] == row["datasets"]
        else f" on the {row['relative_datasets']} data sets where it can be given"
    )  # fmt: skip
    text = (
        f"{words}. Median difference in R² {plain_number(row['difference'])} "
        f"{_interval(row['low'], row['high'])}over {row['datasets']} data sets"
        f"{_percent(words, row['relative'], row['low'], row['high'], where)}: {_outcome(row)}, "
        f"by more than {settings.rope:g}{of} on {row['above']} and {row['below']}, surely on "
        f"{row['surely_better']} and {row['surely_worse']}; "
        f"{p_text(row['p_holm'])} after Holm; {row['nodes']:.0f} nodes against {row['base_nodes']:.0f}"
    )
    if row["verdict"] == "no clear difference" and np.isfinite(row["detectable"]):
        text += (
            f"; one of about {row['detectable']:.2g} would have been found (power .8, if normal)"
        )
    return start + text + "."


def _outcome(row: dict[Any, Any]) -> str:
    return f"{row['wins']} better, {row['ties']} level, {row['losses']} worse"


def _percent(words: str, part: float, low: float, high: float, where: str) -> str:
    """A relative difference, only of what is better or worse with an interval that leaves out 0."""
    if words not in ("better", "worse") or not np.isfinite(part) or not low * high > 0:
        return ""
    return f" ({plain_number(100 * part, 1)} % relative{where})"


def _interval(low: float, high: float) -> str:
    there = np.isfinite([low, high]).all()
    return f"[{plain_number(low)}, {plain_number(high)}] " if there else ""


def _how_chosen(records: pd.DataFrame, results: list[dict[Any, Any]], choice: Choice) -> list[str]:
    """Which strengths were chosen on the other data sets, and what comes of a choice that was not made on
    these."""
    lines = _shares(records, choice)
    if choice.why:
        lines.append(f"Strengths are chosen for each trial by itself: {choice.why}.")
    if choice.rule != TRIAL:
        return lines
    unequal = sorted(
        {
            f"{row['who']} from {row['candidates']}, {BASE_NAMES[row['base']]} from {row['base_candidates']}"
            for row in results
            if row["candidates"] != row["base_candidates"]
        }
    )
    if unequal:
        lines.append(
            f"Unequal budgets: of each trial the best was chosen, of {'; of '.join(unequal)}. The best of "
            "more is better by luck alone, so such an advantage is not called better. Restarts of the "
            "baselines, or penalties of as many strengths, make budgets equal."
        )
    if stopped_by_a_race(records):
        lines.append(
            "A race stopped strengths by the scores of a data set's own trials, whose validation rows are "
            "other trials' test rows: what is left may look better there than it is."
        )
    return lines


def _shares(records: pd.DataFrame, choice: Choice) -> list[str]:
    """Which strengths the halves of the data sets chose for one another."""
    if choice.rule != OTHERS:
        return []
    tried = records[several_strengths(records)]
    shares = shares_chosen(at_chosen_strength(tried, choice))
    if shares.empty:
        return []
    named = shares.assign(arm=arm_names(shares))
    several = several_students(records)
    parts = []
    for (student, arm), mine in named.groupby(["student", "arm"]):
        chosen = zip(mine["strength"], mine["share"], strict=True)
        times = and_list([f"{at:g} ({share:.0%})" for at, share in chosen])
        parts.append(f"{who(str(arm), str(student), several)} {times}")
    return [
        "Strengths, each trial's chosen by one half of the data sets for the other: "
        + "; ".join(parts)
        + "."
    ]


def _limits(table: pd.DataFrame, results: list[dict[Any, Any]], settings: Settings) -> list[str]:
    """Where the study was too small to show anything, and what single data sets show."""
    lines = []
    small = [row for row in results if row["one"] is None and row["verdict"] == "power is small"]
    if small:
        tests = small[0]["tests"]
        lines.append(
            f"Over the data sets the power is small in {count(len(small), 'comparison')}: so many data sets "
            f"cannot give p below {min(row['smallest_p'] for row in small):.2g}, and the clearest of "
            f"{count(tests, 'test')}, all endpoints among them, would need {settings.alpha / tests:.2g}. "
            "An effect that is there would not show."
        )
    if table["dataset"].nunique() == 1:
        lines.append("This is one data set: nothing here says how the arms compare on another one.")
    tested = table[table["p"].notna() & table["in_family"]]
    few = int((table["verdict"] == "too few pairs").sum())
    if few:
        lines.append(
            f"Per data set {count(few, 'comparison')} of {len(table)} had too few pairs to be tested."
        )
    if len(tested) and tested["dataset"].nunique() > 1:
        better, worse = (int((tested["verdict"] == word).sum()) for word in ("better", "worse"))
        lines.append(
            f"Per data set, {better} of {len(tested)} comparisons are better and {worse} worse "
            "after Holm over all of them, by a test that allows for overlapping splits."
        )
    return lines


def _unlike(results: list[dict[Any, Any]]) -> list[str]:
    unlike = sorted({f"{row['who']} and {row['base']}" for row in results if not row["same"]})
    if not unlike:
        return []
    return [f"Augmentation or ensemble differ between {'; '.join(unlike)}: no like base was run."]


def _failed(failures: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    trials, failed = int(failures["trials"].sum()), int(failures["failed"].sum())
    if not failed:
        return []
    worst = (
        failures.assign(part=failures["failed"] / failures["trials"]).nlargest(1, "part").iloc[0]
    )
    text = (
        f"{failed:,} of {trials:,} trials failed, at worst {worst['arm']} on {worst['dataset']} "
        f"({worst['failed']} of {worst['trials']})"
    )
    if not table.empty:
        text += f"; {count(int(table['dropped'].sum()), 'pair')} left out of the comparisons for it"
        gone = int((table["pairs"] == 0).sum())
        if gone:
            text += f", and {count(gone, 'comparison')} on a data set left without any"
    lines = [text + "."]
    if failed >= trials / 4:
        lines.append(
            "So many failures can bias the rest: the trials that finished may be the easy ones."
        )
    return lines


def _nothing_to_compare(records: pd.DataFrame) -> str:
    arms = sorted(records["arm"].unique())
    if len(arms) == 1:
        return f"The study has one arm, {arms[0]}: there is nothing to compare it with."
    if not set(records["penalty"]) - set(NOT_SMOOTH):
        return f"The study has no smooth arm, only {and_list(arms)}: there is nothing to judge."
    if not set(records["penalty"]) & set(BASES):
        return (
            f"The study has no baseline beside {and_list(arms)}: "
            "add 'baselines: [none, direct]' and run it again."
        )
    return "No smooth arm shares a data set and a student with a baseline."
