"""The report's tables: for programs as CSV, for papers as LaTeX, for readers as text."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from smoothray_analysis.published import BEST_SMOOTH
from smoothray_analysis.report.findings import Findings
from smoothray_analysis.wording import p_text, plain_number

Cell = Callable[[dict[Any, Any]], str]


@dataclass(frozen=True, eq=False)
class Table:
    """A table by its file's name. frame: all columns with full precision; shown: text, `left` of its
    columns are words."""

    name: str
    caption: str
    frame: pd.DataFrame
    shown: pd.DataFrame
    left: int


def tables(found: Findings) -> dict[str, Table]:
    """All tables that have rows, by name."""
    ev = found.evidence
    several = ev.chosen["student"].nunique() > 1
    who: dict[str, Cell] = {"student": _text("student")} if several else {}
    verdict: dict[str, Cell] = {"after Holm": _p("p_holm"), "verdict": _text("verdict")}
    difference: dict[str, Cell] = {
        "difference": _signed("difference"),
        "95 % interval": lambda row: _interval(row["low"], row["high"]),
    }
    made = [
        _table(
            "comparisons",
            "Each smooth arm against each baseline, the data set as the unit: median of the data sets' "
            "median paired differences in test R².",
            found.results.drop(columns=["who", "one"], errors="ignore"),
            {**who, "arm": _text("arm"), "against": _text("base")},
            {
                "data sets": _whole("datasets"), **difference, "+/=/−": _counts,
                "nodes": lambda row: f"{row['nodes']:.0f} / {row['base_nodes']:.0f}", **verdict,
                "better / same / worse": lambda row: " / ".join(
                    _format(row[f"probably_{name}"], 2) for name in ("better", "same", "worse")
                ),
            },
        ),
        _table(
            "per_dataset",
            "The same on each data set, paired over its trials. A12: probability that a trial of the "
            "arm beats "
            "one of the base; r: rank-biserial correlation of the pairs; corrected t: p of the check for "
            "overlapping splits.",
            ev.per_dataset,
            {"data set": _text("dataset"), **who, "arm": _text("arm"), "against": _text("base")},
            {
                "λ": _strength("strength"), "pairs": _whole("pairs"), "median": _number("median"),
                "base": _number("base_median"), "nodes": _number("nodes", 0), **difference,
                "+/=/−": _counts, "A12": _number("a12", 2),
                "r": _number("rank_biserial", 2), "p": _p("p"), **verdict,
                "corrected t": _p("t_p_holm"),
            },
        ),
        _table(
            "arms",
            "Medians over the trials at the chosen strengths.",
            ev.arms.rename(columns={"student_r2_test": "r2_test", "student_r2_val": "r2_val"}),
            {"data set": _text("dataset"), **who, "arm": _text("arm")},
            {
                "λ": _strength("strength"), "trials": _whole("trials"), "failed": _whole("failed"),
                "teacher R²": _number("teacher_r2_test"), "fidelity": _number("fidelity_test"),
                "R²": _number("r2_test"), "IQM of R²": _number("iqm"),
                "validation R²": _number("r2_val"), "nodes": _number("complexity", 0),
                "alignment": _signed("alignment", 2),
            },
        ),
        _table(
            "ranks",
            "Mean ranks over the data sets that every arm has (1 is best), and the interquartile mean "
            "(IQM) of "
            "test R² over all trials on them with its stratified bootstrap interval.",
            _ranks(ev.ranks, ev.iqm),
            {**who, "arm": _text("arm")},
            {
                "mean rank": _number("mean_rank", 2), "data sets": _whole("datasets"),
                "IQM": _number("iqm"), "95 % interval": lambda row: _plain_interval(row["low"], row["high"]),
            },
        ),
        _table(
            "friedman",
            "Friedman's test that all arms are alike, and Iman and Davenport's F.",
            ev.friedman[ev.friedman["p"].notna()] if len(ev.friedman) else ev.friedman,
            who,
            {
                "data sets": _whole("n"), "arms": _whole("k"), "chi²": _number("chi2", 2), "p": _p("p"),
                "F": _number("f", 2), "p of F": _p("f_p"), "data sets left out": _whole("left_out"),
            },
        ),
        _table(
            "pairwise",
            "Signed-rank tests between all arms of the data sets' median paired differences, Holm over "
            "all of "
            "these pairs: more of them than named comparisons, so each counts for less.",
            ev.pairwise,
            {**who, "first": _text("first"), "second": _text("second")},
            {
                "data sets": _whole("datasets"), "difference": _signed("difference"), "+/=/−": _counts,
                "p": _p("p"), "after Holm": _p("p_holm"),
                "significant": lambda row: "yes" if row["significant"] else "no",
            },
        ),
        _table(
            "variants",
            "The same comparisons under other rules of choosing formulas, and with strengths chosen the "
            "other "
            "way.",
            found.variants,
            {**who, "arm": _text("arm"), "against": _text("base"), "chosen by": _text("variant")},
            {
                "data sets": _whole("datasets"), "difference": _signed("difference"), **verdict,
            },
        ),
        _table(
            "strengths",
            "Medians over the data sets of the change from plain distillation at each strength.",
            found.over_strengths,
            {**who, "arm": _text("arm"), "measure": _measure},
            {
                "λ": _strength("strength"), "data sets": _whole("datasets"),
                "median": _signed("median"),
                "quartiles": lambda row: _interval(row["low"], row["high"]),
            },
        ),
        _table(
            "strengths_per_dataset",
            "Medians over the trials at every strength, chosen or not.",
            found.curves,
            {"data set": _text("dataset"), **who, "arm": _text("arm")},
            {
                "λ": _strength("strength"), "trials": _whole("trials"),
                "chosen": lambda row: "yes" if row["chosen"] else "",
                "teacher R²": _number("teacher_r2_test"), "fidelity": _number("fidelity_test"),
                "R²": _number("student_r2_test"), "nodes": _number("complexity", 0),
                "alignment": _signed("alignment", 2),
            },
        ),
        _table(
            "alignment",
            "On each data set, the rank correlation of smoothness alignment with test R².",
            found.alignment,
            {"data set": _text("dataset"), **who},
            {"fits": _whole("n"), "correlation": _signed("rho", 2)},
        ),
        _table(
            "srbench",
            "Our medians and SRBench's published ones.",
            found.srbench,
            {"data set": _text("dataset"), **who, "source": _text("source"), "method": _method},
            {"R²": _number("r2"), "size": _number("size", 0)},
        ),
        _table(
            "formulas",
            "The best arm's formula, from its median trial.",
            found.formulas.drop(columns="mathml"),
            {"data set": _text("dataset"), **who, "arm": _text("arm"), "formula": _text("formula")},
            {"λ": _strength("strength"), "R²": _number("r2_test"), "nodes": _whole("complexity")},
        ),
        _table(
            "failures",
            "Trials that failed, at all strengths.",
            ev.failures[ev.failures["failed"] > 0],
            {"data set": _text("dataset"), **who, "arm": _text("arm")},
            {"trials": _whole("trials"), "failed": _whole("failed")},
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


MEDIAN = "median over those with all"
LATEX = {
    "²": "$^2$", "λ": "$\\lambda$", "−": "$-$", "–": "--", "×": "$\\times$", "≤": "$\\leq$", "…": "\\dots{}",
}  # fmt: skip


def srbench_wide(table: pd.DataFrame) -> pd.DataFrame:
    """`published.beside_srbench` of one student as a page shows it: a row a data set, a column a method.

    Of our arms the baselines and the best smooth one; the columns are (source, method). The last row holds
    the medians over the data sets that every column has.
    """
    shown = table[
        (table["source"] != "here") | table["method"].isin(["direct", "none", BEST_SMOOTH])
    ].copy()
    order = list(dict.fromkeys(zip(shown["source"], shown["method"], strict=True)))
    order.sort(key=lambda head: (head[0] != "here", head[1] == BEST_SMOOTH))
    keys = ["dataset", "source", "method"]
    full = shown[shown.groupby("dataset")["r2"].transform("count") == len(order)]
    middle = full.groupby(["source", "method"], as_index=False)[["r2", "size"]].median()
    last = f"{MEDIAN} ({full['dataset'].nunique()})"
    shown = pd.concat([shown, middle.assign(dataset=last, detail="")])
    shown["cell"] = [
        f"{_format(r2, 3)} / {f'{size:,.0f}' if _known(size) else '–'}" + (f" {detail}" if detail else "")
        for r2, size, detail in zip(shown["r2"], shown["size"], shown["detail"], strict=True)
    ]  # fmt: skip
    wide = shown.set_index(keys)["cell"].unstack(["source", "method"])
    names = [name for name in wide.index if name != last]
    return wide.loc[[*names, *({last} & set(wide.index))], order].fillna("–")


def variants_wide(results: pd.DataFrame, variants: pd.DataFrame, rule: str) -> pd.DataFrame:
    """The comparisons as a page shows them: a row each, a column a way of choosing, the report's own
    first."""
    frame = pd.concat([results.assign(variant=f"{rule} (this report)"), variants])
    several = frame["student"].nunique() > 1
    frame["comparison"] = [
        f"{row.arm} against {row.base}" + (f" ({row.student})" if several else "")
        for row in frame.itertuples()
    ]
    frame["cell"] = [
        f"{_signed('difference')(row)}\n{row['verdict']}" for row in frame.to_dict("records")
    ]
    wide = frame.pivot(index="comparison", columns="variant", values="cell").fillna("–")
    order = list(dict.fromkeys(frame["comparison"]))
    return wide.loc[order, list(dict.fromkeys(frame["variant"]))]


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


def _text(column: str) -> Cell:
    return lambda row: "" if row[column] is None else str(row[column])


def _whole(column: str) -> Cell:
    return lambda row: f"{int(row[column]):,}" if pd.notna(row.get(column)) else "–"


def _number(column: str, digits: int = 3) -> Cell:
    return lambda row: _format(row.get(column), digits)


def _p(column: str) -> Cell:
    def cell(row: dict[Any, Any]) -> str:
        return p_text(row[column])[2:].removeprefix("= ") if _known(row[column]) else "–"

    return cell


def _signed(column: str, digits: int = 3) -> Cell:
    return lambda row: plain_number(row[column], digits) if _known(row.get(column)) else "–"


def _strength(column: str) -> Cell:
    return lambda row: f"{row[column]:.3g}" if _known(row[column]) else "–"


def _format(value: Any, digits: int) -> str:
    if not _known(value):
        return "–"
    if abs(value) >= 1e6:
        return f"{value:.2g}".replace("-", "−")
    return f"{value:.{digits}f}".replace("-", "−")


def _known(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _interval(low: float, high: float) -> str:
    return f"[{plain_number(low)}, {plain_number(high)}]" if _known(low) and _known(high) else "–"


def _plain_interval(low: float, high: float) -> str:
    return f"[{_format(low, 3)}, {_format(high, 3)}]" if _known(low) and _known(high) else "–"


def _counts(row: dict[Any, Any]) -> str:
    return f"{row['wins']:.0f}/{row['ties']:.0f}/{row['losses']:.0f}"


def _measure(row: dict[Any, Any]) -> str:
    names = {
        "change_teacher_r2_test": "teacher R²",
        "change_fidelity_test": "fidelity",
        "change_student_r2_test": "R²",
        "change_complexity": "nodes",
        "change_log_jacobian": "log10 of the teacher's mean squared Jacobian",
    }
    return names[row["measure"]]


def _method(row: dict[Any, Any]) -> str:
    return f"{row['method']} ({row['detail']})" if row["detail"] else str(row["method"])
