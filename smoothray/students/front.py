"""Candidates and their Pareto front, loss against complexity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from sympy import Expr


@dataclass(frozen=True)
class Candidate:
    """A formula of a student's front.

    expr: in x0 .. x{d-1}, of standardised inputs and target.
    complexity: nodes of its SymPy tree.
    loss: mean squared error on the rows it was fitted to; with slopes to match, `sobolev_error` there.
    preferred: the student's own choice; one member of a front is.
    """

    expr: Expr
    complexity: int
    loss: float
    preferred: bool = False


Kind = TypeVar("Kind", bound=Candidate)


def pareto_front(candidates: Iterable[Kind]) -> list[Kind]:
    """The candidates that no other one equals or beats in both complexity and loss, by complexity.

    Where the preferred candidate is beaten, or there is none, the preferred member is the largest
    one that is no larger than it, or than the largest candidate.
    """
    ordered = sorted(candidates, key=lambda c: (c.complexity, c.loss))
    front: list[Kind] = []
    for candidate in ordered:
        if not front or candidate.loss < front[-1].loss:
            front.append(candidate)
    wanted = [c.complexity for c in ordered if c.preferred] or [c.complexity for c in ordered]
    chosen = [member for member in front if wanted and member.complexity <= max(wanted)][-1:]
    return [replace(member, preferred=member in chosen) for member in front]
