"""The verdict in plain English: what was shown, what was not, and what could not have been."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from smoothray_analysis.arms import BASE_NAMES, BASES, several_students, who
from smoothray_analysis.comparisons import SURE, Settings
from smoothray_analysis.text import and_list, count, one_or_more, p_text, plain_number

OUTCOME = ("wins", "ties", "losses")
LEVEL = ("no clear difference", "practically the same")


def verdict_lines(
    records: pd.DataFrame,
    table: pd.DataFrame,
    over: pd.DataFrame,
    failures: pd.DataFrame,
    settings: Settings,
    warnings: Sequence[str] = (),
) -> tuple[str, ...]:
    """The lines, the most important first: the direct fit, each comparison, failures, warnings.

    table, over, failures: as in `verdict.Evidence`.
    """
    lines: list[str] = []
    if table.empty:
        lines.append(_nothing_to_compare(records))
    else:
        results = one_or_all(table, over)
        lines += _against_direct(results, settings)
        lines += _against_plain(results)
        lines += [_line(row, settings) for row in results]
        lines += _limits(table, results, settings)
        lines += _unlike(results)
    lines += _failed(failures, table)
    lines += [f"Note: {text}." for text in warnings]
    return tuple(lines)


def one_or_all(table: pd.DataFrame, over: pd.DataFrame) -> list[dict[Any, Any]]:
    """A row a comparison: over the data sets, or where there is one alone, with the verdict on it.

    table, over: of `comparisons.per_dataset` and `over_datasets`. `who` names the arm; `one` is the row of
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
            for name in ("verdict", "p", "p_holm", "smallest_p", "low", "high", *OUTCOME):
                row[name] = row["one"][name]
    return sorted(rows, key=lambda row: BASES.index(row["base"]))


def _against_direct(results: list[dict[Any, Any]], settings: Settings) -> list[str]:
    """What is said first: which smooth arms do not beat the direct fit, or that all do."""
    rows = [row for row in results if row["base"] == "direct"]
    if not rows:
        return [
            "There is no direct fit in this study: it cannot say whether a teacher is worth having."
        ]
    behind = [row for row in rows if row["verdict"] != "better"]
    ahead = [_placed(row) for row in rows if row["verdict"] == "better"]
    slight = all(row["probably_same"] >= SURE for row in rows if row["verdict"] == "better")
    by = f", by less than {settings.rope:g} R²" if ahead and slight else ""
    if not behind:
        every = "Every smooth arm beats" if len(rows) > 1 else "The smooth arm beats"
        return [f"{every} the direct fit{by}: {and_list(ahead)}."]
    worse = [row["who"] for row in behind if row["verdict"] == "worse"]
    small = [row["who"] for row in behind if row["verdict"] == "power is small"]
    none = [row["who"] for row in behind if row["verdict"] == "no pairs"]
    level = [row["who"] for row in behind if row["verdict"] in LEVEL]
    parts = []
    if worse:
        parts.append(f"{and_list(worse)} {one_or_more(worse, 'is', 'are')} worse")
    if level:
        parts.append(f"{and_list(level)} {one_or_more(level, 'is', 'are')} not shown to beat it")
    if small:
        parts.append(
            f"{and_list(small)} {one_or_more(small, 'is', 'are')} not shown to beat it (power is small)"
        )
    if none:
        parts.append(
            f"{and_list(none)} {one_or_more(none, 'has', 'have')} no trial in common with it"
        )
    start = "No smooth arm beats the direct fit" if len(behind) == len(rows) else (
        "Not every smooth arm beats the direct fit"
    )  # fmt: skip
    if len(behind) == len(rows) and not worse:
        start = "No smooth arm is shown to beat the direct fit"
    if ahead:
        parts.append(f"{and_list(ahead)} {one_or_more(ahead, 'beats', 'beat')} it{by}")
    return [f"{start}: {'; '.join(parts)}."]


def _placed(row: dict[Any, Any]) -> str:
    """An arm's name, with the data set where it was compared on one alone."""
    return row["who"] if row["one"] is None else f"{row['who']} on {row['one']['dataset']}"


def _against_plain(results: list[dict[Any, Any]]) -> list[str]:
    """What smoothing itself changed: the smooth arms beside plain distillation."""
    rows = [row for row in results if row["base"] == "none" and row["verdict"] != "no pairs"]
    words = {
        "better": "better than", "worse": "worse than", "practically the same": "practically the same as",
        "no clear difference": "not clearly different from",
        "power is small": "",
    }  # fmt: skip
    parts = []
    for verdict, text in words.items():
        arms = [_placed(row) for row in rows if row["verdict"] == verdict]
        if arms and verdict == "power is small":
            parts.append(f"too few data to tell {and_list(arms)} from plain distillation")
        elif arms:
            verb = one_or_more(arms, "is", "are")
            parts.append(f"{and_list(arms)} {verb} {text} plain distillation")
    return [f"Smoothing the teacher: {'; '.join(parts)}."] if parts else []


def _line(row: dict[Any, Any], settings: Settings) -> str:
    start = f"{row['who']} against {BASE_NAMES[row['base']]}: "
    if row["verdict"] == "no pairs":
        return start + "no trial that both finished, so nothing can be said."
    words = {
        "better": "better",
        "worse": "worse",
        "no clear difference": "no clear difference",
        "practically the same": f"practically the same (within {settings.rope:g} R²)",
        "power is small": "the power is small",
    }[row["verdict"]]
    if row["verdict"] in ("better", "worse") and row["probably_same"] >= SURE:
        words += f", but by less than {settings.rope:g} R²"
    if row["one"] is not None:
        one = row["one"]
        percent = _percent(words, one["relative"], one["low"], one["high"], "")
        text = (
            f"{words}, on the one data set {one['dataset']}. Median difference in R² "
            f"{plain_number(one['difference'])} {_interval(one['low'], one['high'])}over "
            f"{count(one['pairs'], 'paired trial')}{percent}: {one['wins']} better, {one['ties']} level, "
            f"{one['losses']} worse; {p_text(one['p_holm'])} after Holm"
        )
        if np.isfinite(one["t_p_holm"]):
            text += f"; corrected t-test {p_text(one['t_p_holm'])}"
        return start + text + "."
    where = (
        "" if row["relative_datasets"] == row["datasets"]
        else f" on the {row['relative_datasets']} data sets where it can be given"
    )  # fmt: skip
    text = (
        f"{words}. Median difference in R² {plain_number(row['difference'])} "
        f"{_interval(row['low'], row['high'])}over {row['datasets']} data sets"
        f"{_percent(words, row['relative'], row['low'], row['high'], where)}: "
        f"{row['wins']} better, {row['ties']} level, {row['losses']} worse; "
        f"{p_text(row['p_holm'])} after Holm; {row['nodes']:.0f} nodes against {row['base_nodes']:.0f}"
    )
    return start + text + "."


def _percent(words: str, part: float, low: float, high: float, where: str) -> str:
    """A relative difference, only of what is better or worse with an interval that leaves out 0."""
    if words not in ("better", "worse") or not np.isfinite(part) or not low * high > 0:
        return ""
    return f" ({plain_number(100 * part, 1)} % relative{where})"


def _interval(low: float, high: float) -> str:
    there = np.isfinite([low, high]).all()
    return f"[{plain_number(low)}, {plain_number(high)}] " if there else ""


def _limits(table: pd.DataFrame, results: list[dict[Any, Any]], settings: Settings) -> list[str]:
    """Where the study was too small to show anything."""
    lines = []
    several = [row for row in results if row["one"] is None and row["datasets"] > 1]
    small = [row for row in several if row["power_small"]]
    if small:
        tests = sum(bool(np.isfinite(row["p"])) for row in results)
        lines.append(
            f"Over the data sets the power is small in {count(len(small), 'comparison')}: so many data sets "
            f"cannot give p below {min(row['smallest_p'] for row in small):.2g}, and the clearest of "
            f"{tests} comparisons would need {settings.alpha / tests:.2g}. "
            "An effect that is there would not show."
        )
    if table["dataset"].nunique() == 1:
        lines.append("This is one data set: nothing here says how the arms compare on another one.")
    tested = table[table["p"].notna()]
    weak = tested[tested["power_small"]]
    if len(weak):
        lines.append(
            f"Per data set the power is small in {len(weak)} of {len(tested)} tests: "
            f"at most {int((weak['pairs'] - weak['zeros']).max())} pairs that differ cannot be the clearest "
            "result among that many."
        )
    elif len(tested) and tested["dataset"].nunique() > 1:
        better, worse = (int((table["verdict"] == word).sum()) for word in ("better", "worse"))
        lines.append(
            f"Per data set, {better} of {len(tested)} comparisons are better and {worse} worse "
            "after Holm over all of them."
        )
    clear = tested[tested["verdict"].isin(["better", "worse"])]
    lost = int((clear["t_p_holm"] > settings.alpha).sum())
    if lost:
        lines.append(
            f"{lost} of these {count(len(clear), 'result')} per data set would not stand by the "
            "corrected t-test, which allows for overlapping splits."
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
    if not set(records["penalty"]) - set(BASES):
        return f"The study has no smooth arm, only {and_list(arms)}: there is nothing to judge."
    if not set(records["penalty"]) & set(BASES):
        return (
            f"The study has no baseline beside {and_list(arms)}: "
            "add 'baselines: [none, direct]' and run it again."
        )
    return "No smooth arm shares a data set and a student with a baseline."
