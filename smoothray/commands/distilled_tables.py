"""What a person is told of a formula besides its scores: its front, its units, how far to trust it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.markup import escape

from smoothray.commands.console import number, out, rows_table, share, show
from smoothray.distillation.stability import Stability
from smoothray.formulas.dimensions import UnitCheck

FEW = 3
"""How many structures are shown."""


WIDE = 100
"""Characters of a formula in a line of a table that goes to a file."""


def print_front(front: pd.DataFrame) -> None:
    """The formulas that may be picked, shortest first, and what the shorter ones lose; those that are no
    better than a shorter one are left out."""
    members = worth_their_size(front.to_dict("records"))
    best = max(member["r2_val"] for member in members)
    rows = [
        (
            "→" if member["chosen"] else "",
            str(member["complexity"]),
            number(member["r2_val"]),
            "" if member["r2_val"] == best else f"−{best - member['r2_val']:.3f}",
            str(member["formula"]),
        )
        for member in members
    ]
    table = rows_table(
        "Formulas by size, R² on validation rows; --pick NODES takes another",
        ("", "nodes", "R²", "loses", "formula"),
        rows,
    )
    if not out.is_terminal:
        table.columns[-1].max_width = WIDE
    show(table)


def worth_their_size(members: Sequence[Mapping[Any, Any]]) -> list[Mapping[Any, Any]]:
    """The members by size without those that are no better on validation rows than a shorter one, and without
    those that are unsafe, which are not picked either; the chosen one stays.

    >>> sizes = [{"complexity": n, "r2_val": r, "chosen": n == 7} for n, r in ((3, .5), (5, .4), (7, .5))]
    >>> [member["complexity"] for member in worth_their_size(sizes)]
    [3, 7]
    """
    kept: list[Mapping[Any, Any]] = []
    best = -math.inf
    for member in sorted(members, key=lambda member: (member["complexity"], -member["r2_val"])):
        if member.get("unsafe") and not member["chosen"]:
            continue
        if member["r2_val"] > best or member["chosen"]:
            kept.append(member)
        best = max(best, member["r2_val"])
    return kept


def units_text(check: UnitCheck, without: Sequence[str]) -> str:
    """Whether the units are consistent, and those of the constants. without: columns of the formula that no
    unit was given for."""
    taken = f"None given for {', '.join(without)}: taken as plain numbers. " if without else ""
    if not check.is_consistent:
        return f"{taken}Not consistent: {check.problem}."
    constants = ", ".join(f"{value:g} in {unit}" for value, unit in check.constants if unit != "1")
    return f"{taken}Consistent." + f" The constants then are {constants}." * bool(constants)


def print_stability(stability: Stability) -> None:
    """Scores over the repeats, the columns that formulas have, and the structures that recur."""
    repeats = stability.repeats
    scores = stability.scores.to_dict("index")
    rows = [
        (
            label,
            number(scores[score]["median"]),
            f"{number(scores[score]['lowest'])} to {number(scores[score]['highest'])}",
        )
        for label, score in (
            ("the formula", "r2_test"),
            ("its teacher", "teacher_r2_test"),
            ("direct fit, without a teacher", "direct_r2_test"),
        )
    ]
    title = f"The same on {len(repeats)} splits with seeds of their own: R² on test rows"
    show(rows_table(title, ("", "median", "range"), rows))
    out.print(
        f"The formula beat the direct fit in {stability.beats_direct} of {len(repeats)}; its size was "
        f"{repeats['complexity'].min()} to {repeats['complexity'].max()} nodes.",
        soft_wrap=True,
    )
    if stability.failed:
        out.print(f"{stability.failed} more gave no formula.")
    shares = ", ".join(
        f"{name} {share(part)}" for name, part in stability.columns.items() if part > 0
    )
    never = [str(name) for name, part in stability.columns.items() if part == 0]
    out.print(
        escape(
            f"Columns in these formulas: {shares}" + f"; never: {', '.join(never)}" * bool(never)
        ),
        soft_wrap=True,
    )
    structures = stability.structures
    if len(repeats) > 1 and structures["count"].iloc[0] == 1:
        out.print("No two of them have the same structure: do not read much into this one's.")
        return
    recurring: list[tuple[str, ...]] = [
        (
            str(row["count"]),
            number(row["r2_test"]),
            row["structure"],
            constants_text(row["constants"]),
        )
        for row in structures.head(FEW).to_dict("records")
    ]
    show(
        rows_table(
            f"Structures that recur ({len(structures)} different ones), constants with their ranges",
            ("times", "R²", "structure", "constants"),
            recurring,
        )
    )


def constants_text(ranges: list[tuple[float, float, float]]) -> str:
    """The constants of a structure, each with its range, if there is more than one formula.

    >>> constants_text([(2.0, 1.0, 4.5), (3.0, 3.0, 3.0)])
    'c1 2 (1 to 4.5), c2 3'
    """
    return ", ".join(
        f"c{i} {median:.4g}" + f" ({low:.4g} to {high:.4g})" * (low < high)
        for i, (median, low, high) in enumerate(ranges, start=1)
    )
