"""The report's tables: for programs as CSV, for papers as LaTeX, for readers as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from smoothray_analysis.arms import several_students
from smoothray_analysis.report.cells import (
    Cell,
    counts,
    digits_text,
    interval,
    number,
    p_value,
    signed,
    signed_interval,
    strength,
    text,
    whole,
)
from smoothray_analysis.report.findings import Findings


@dataclass(frozen=True, eq=False)
class Table:
    """A table by its file's name. frame: all columns with full precision; shown: text, `left` of its
    columns are words."""

    name: str
    caption: str
    frame: pd.DataFrame
    shown: pd.DataFrame
    left: int


def tables(findings: Findings) -> dict[str, Table]:
    """All tables that have rows, by name."""
    ev = findings.evidence
    several = several_students(ev.chosen)
    student: dict[str, Cell] = {"student": text("student")} if several else {}
    verdict: dict[str, Cell] = {"after Holm": p_value("p_holm"), "verdict": text("verdict")}
    difference: dict[str, Cell] = {
        "difference": signed("difference"),
        "95 % interval": signed_interval,
    }
    made = [
        _table(
            "comparisons",
            "Each smooth arm against each baseline, the data set as the unit: median of the data sets' "
            "median paired differences in test R². Beyond +/−: data sets that are better or worse by more "
            "than what is practically the same; surely +/−: by their own test after Holm over all of them; "
            "would show: about the smallest difference that would have been found, as the clearest of all, "
            "with a power of .8, if differences were normal.",
            findings.results.drop(columns=["who", "one"], errors="ignore"),
            {**student, "arm": text("arm"), "against": text("base")},
            {
                "data sets": whole("datasets"), **difference, "+/=/−": counts,
                "nodes": lambda row: f"{row['nodes']:.0f} / {row['base_nodes']:.0f}", **verdict,
                "beyond +/−": _beyond,
                "surely +/−": _surely, "would show": number("detectable"),
                "better / same / worse": lambda row: " / ".join(
                    digits_text(row[f"probably_{name}"], 2) for name in ("better", "same", "worse")
                ),
            },
        ),
        _table(
            "endpoints",
            "Every comparison by every endpoint, one family: Holm is over all of them but the placebo's, "
            "which are by themselves. Better is a higher R² or fidelity, and fewer nodes.",
            ev.endpoints,
            {"endpoint": text("endpoint"), **student, "arm": text("arm"), "against": text("base")},
            {
                "data sets": whole("datasets"), **difference,
                "quartiles": lambda row: signed_interval({"low": row["lower"], "high": row["upper"]}),
                "+/=/−": counts, "p": p_value("p"), **verdict, "would show": number("detectable"),
            },
        ),
        _table(
            "sizes",
            "The same comparisons at the same size: test R² of the formula with at most so many nodes that "
            "validation rows choose, and the mean of that over all sizes (the area under the front, R² "
            "below 0 counting as 0). Beside the family of endpoints; Holm within each measure.",
            findings.sizes,
            {"measure": text("measure"), **student, "arm": text("arm"), "against": text("base")},
            {
                "data sets": whole("datasets"), **difference, "+/=/−": counts, "p": p_value("p"), **verdict,
            },
        ),
        _table(
            "ropes",
            "How sure it is that arms are practically the same in test R², for other regions that count as "
            "the same: differences up to so much R², or up to so much of what the base leaves unexplained, "
            "1 − R². Within: the interval of the median lies in the region, and the probability is 95 % or "
            "more.",
            findings.ropes,
            {**student, "arm": text("arm"), "against": text("base"), "region": _region},
            {
                "better": number("better", 2), "same": number("same", 2), "worse": number("worse", 2),
                "within": lambda row: "yes" if row["within"] else "no",
            },
        ),
        _table(
            "per_dataset",
            "The same on each data set, paired over its trials. A12: probability that a trial of the arm "
            "beats one of the base; r: rank-biserial correlation of the pairs. Interval and p: of the "
            "trimmed mean, corrected for overlapping splits. λ: where it is one for all trials.",
            ev.per_dataset,
            {"data set": text("dataset"), **student, "arm": text("arm"), "against": text("base")},
            {
                "λ": strength("strength"), "pairs": whole("pairs"), "median": number("median"),
                "base": number("base_median"), "nodes": number("nodes", 0), **difference,
                "+/=/−": counts, "A12": number("a12", 2),
                "r": number("rank_biserial", 2), "p": p_value("p"), **verdict,
            },
        ),
        _table(
            "arms",
            "Medians over the trials at the chosen strengths; λ: where it is one for all of them.",
            ev.arms.rename(columns={"student_r2_test": "r2_test", "student_r2_val": "r2_val"}),
            {"data set": text("dataset"), **student, "arm": text("arm")},
            {
                "λ": strength("strength"), "trials": whole("trials"), "failed": whole("failed"),
                "teacher R²": number("teacher_r2_test"), "fidelity": number("fidelity_test"),
                "R²": number("r2_test"), "IQM of R²": number("iqm"),
                "validation R²": number("r2_val"), "nodes": number("complexity", 0),
                "alignment": signed("alignment", 2),
            },
        ),
        _table(
            "ranks",
            "Mean ranks over the data sets that every arm has (1 is best), and the interquartile mean (IQM) "
            "of test R² over all trials on them with its stratified bootstrap interval, which knows the "
            "scatter between trials alone. Trials are those that every arm finished.",
            _ranks(ev.ranks, ev.iqm),
            {**student, "arm": text("arm")},
            {
                "mean rank": number("mean_rank", 2), "data sets": whole("datasets"),
                "IQM": number("iqm"), "95 % interval": interval,
            },
        ),
        _table(
            "friedman",
            "Friedman's test that all arms are alike, and Iman and Davenport's F.",
            ev.friedman[ev.friedman["p"].notna()] if len(ev.friedman) else ev.friedman,
            student,
            {
                "data sets": whole("n"), "arms": whole("k"), "chi²": number("chi2", 2), "p": p_value("p"),
                "F": number("f", 2), "p of F": p_value("f_p"), "data sets left out": whole("left_out"),
            },
        ),
        _table(
            "pairwise",
            "Signed-rank tests between all arms of the data sets' median paired differences, Holm over "
            "all of these pairs: more of them than named comparisons, so each counts for less.",
            ev.pairwise,
            {**student, "first": text("first"), "second": text("second")},
            {
                "data sets": whole("datasets"), "difference": signed("difference"), "+/=/−": counts,
                "p": p_value("p"), "after Holm": p_value("p_holm"),
                "significant": lambda row: "yes" if row["significant"] else "no",
            },
        ),
        _table(
            "variants",
            "The same comparisons under other rules of choosing formulas, with strengths chosen the other "
            "way or fixed ones, and with failed fits counted as the worst of their data set.",
            findings.sensitivity,
            {**student, "arm": text("arm"), "against": text("base"), "chosen by": text("variant")},
            {
                "data sets": whole("datasets"), "difference": signed("difference"), **verdict,
            },
        ),
        _table(
            "strengths",
            "Medians over the data sets of the change from plain distillation at each strength.",
            findings.over_strengths,
            {**student, "arm": text("arm"), "measure": _measure},
            {
                "λ": strength("strength"), "data sets": whole("datasets"),
                "median": signed("median"),
                "quartiles": signed_interval,
            },
        ),
        _table(
            "strengths_per_dataset",
            "Medians over the trials at every strength, chosen or not.",
            findings.curves,
            {"data set": text("dataset"), **student, "arm": text("arm")},
            {
                "λ": strength("strength"), "trials": whole("trials"),
                "chosen": lambda row: f"{100 * row['share']:.0f} %" if row["share"] else "",
                "teacher R²": number("teacher_r2_test"), "fidelity": number("fidelity_test"),
                "R²": number("student_r2_test"), "nodes": number("complexity", 0),
                "alignment": signed("alignment", 2),
            },
        ),
        _table(
            "srbench",
            "Our medians and SRBench's published ones.",
            findings.srbench,
            {"data set": text("dataset"), **student, "source": text("source"), "method": _method},
            {"R²": number("r2"), "size": number("size", 0)},
        ),
        _table(
            "srbench_sizes",
            "Our formulas at the sizes of SRBench's symbolic methods: of at most so many nodes, on the "
            "standard scale, as the method's published median on the data set; medians over the data sets, "
            "and on how many of them ours is higher. Not more than max_size nodes of ours in the data's own "
            "units, whatever theirs.",
            findings.srbench_sizes,
            {"SRBench": text("method"), **student, "here": text("arm")},
            {
                "data sets": whole("datasets"), "nodes": number("size", 0),
                "R² published": number("published"), "R² here": number("r2"), "higher": whole("above"),
            },
        ),
        _table(
            "formulas",
            "The best arm's formula, from its median trial.",
            findings.formulas.drop(columns="mathml"),
            {"data set": text("dataset"), **student, "arm": text("arm"), "formula": text("formula")},
            {"λ": strength("strength"), "R²": number("r2_test"), "nodes": whole("complexity")},
        ),
        _table(
            "failures",
            "Trials that failed, at all strengths.",
            ev.failures[ev.failures["failed"] > 0],
            {"data set": text("dataset"), **student, "arm": text("arm")},
            {"trials": whole("trials"), "failed": whole("failed")},
        ),
    ]  # fmt: skip
    return {table.name: table for table in made if len(table.frame)}


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write `name`.csv with every column and `name`.tex as a booktabs table."""
    csv, tex = folder / f"{table.name}.csv", folder / f"{table.name}.tex"
    table.frame.to_csv(csv, index=False, lineterminator="\n")
    words = "l" * table.left + "r" * (table.shown.shape[1] - table.left)
    body = table.shown.to_latex(
        index=False, escape=True, column_format=words, caption=table.caption,
        label=f"tab:{table.name.replace('_', '-')}", longtable=len(table.shown) > 40,
    )  # fmt: skip
    for sign, command in LATEX.items():
        body = body.replace(sign, command)
    tex.write_text(body, encoding="utf-8")
    return [csv, tex]


LATEX = {
    "²": "$^2$", "λ": "$\\lambda$", "−": "$-$", "–": "--", "×": "$\\times$", "≤": "$\\leq$", "…": "\\dots{}",
}  # fmt: skip


def _table(
    name: str, caption: str, frame: pd.DataFrame, words: dict[str, Cell], numbers: dict[str, Cell]
) -> Table:
    cells = {**words, **numbers}
    rows = frame.to_dict("records")
    shown = pd.DataFrame({head: [cell(row) for row in rows] for head, cell in cells.items()})
    return Table(name, caption, frame, shown, len(words))


def _ranks(ranks: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    if ranks.empty:
        return means
    both = ranks.merge(means, on=["student", "arm"], how="outer")
    return both.sort_values(["student", "mean_rank"], kind="stable")


def _measure(row: dict[Any, Any]) -> str:
    names = {
        "change_teacher_r2_test": "teacher R²",
        "change_fidelity_test": "fidelity",
        "change_student_r2_test": "R²",
        "change_complexity": "nodes",
        "change_log_jacobian": "log10 of the teacher's mean squared Jacobian",
    }
    return names[row["measure"]]


def _beyond(row: dict[Any, Any]) -> str:
    return f"{row['above']:.0f}/{row['below']:.0f}"


def _surely(row: dict[Any, Any]) -> str:
    return f"{row['surely_better']:.0f}/{row['surely_worse']:.0f}"


def _region(row: dict[Any, Any]) -> str:
    return f"{row['rope']:g} of 1 − R²" if row["relative"] else f"{row['rope']:g} R²"


def _method(row: dict[Any, Any]) -> str:
    return f"{row['method']} ({row['detail']})" if row["detail"] else str(row["method"])
