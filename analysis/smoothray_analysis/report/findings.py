"""Everything that a report shows, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from smoothray_analysis.comparisons import Settings
from smoothray_analysis.formulas import best_formulas, fronts_of, median_trials
from smoothray_analysis.loading import Records
from smoothray_analysis.published import beside_srbench
from smoothray_analysis.selection import TAKEN, VISIBLE, Rule, reselect
from smoothray_analysis.variants import RULES, variant_lines, variants
from smoothray_analysis.verdict import Evidence, arm_names, evidence
from smoothray_analysis.why import (
    against_strength,
    alignment_correlations,
    alignment_over_datasets,
    over_strengths,
    why_lines,
)
from smoothray_analysis.wording import one_or_all

MEMBERS = tuple(dict.fromkeys([*VISIBLE[1:], *TAKEN]))


@dataclass(frozen=True, eq=False)
class Findings:
    """What a report is made of. Frames are empty where there is nothing to say.

    records: a row a trial, with `arm`, formulas as the rule chose them. evidence: with its verdict; lines:
    the verdict, and whether it depends on the choices. results: of `wording.one_or_all`, as a frame.
    variants: as `variants.variants`. curves, over_strengths, alignment, alignment_over: as `why`. fronts,
    formulas: as `formulas`. srbench: as `published`.
    """

    records: pd.DataFrame
    evidence: Evidence
    lines: tuple[str, ...]
    results: pd.DataFrame
    variants: pd.DataFrame
    curves: pd.DataFrame
    over_strengths: pd.DataFrame
    alignment: pd.DataFrame
    alignment_over: pd.DataFrame
    fronts: pd.DataFrame
    formulas: pd.DataFrame
    srbench: pd.DataFrame
    why: tuple[str, ...]


def find(
    records: Records,
    rule: Rule | None,
    settings: Settings,
    rules: Sequence[str] = RULES,
    say: Callable[[str], None] = lambda text: None,
) -> Findings:
    """Draw all evidence from a study's records.

    rule: what chooses formulas from the fronts; None for the recorded choice. rules: what the verdict is
    compared under. say: is told what is being done.
    """
    say("reading the fronts")
    members = records.fronts(MEMBERS)
    frame = records.frame if rule is None else reselect(records.frame, members, rule)
    frame = frame.assign(arm=arm_names(frame))
    say("comparing the arms")
    found = evidence(frame, settings=settings, warnings=records.warnings)
    results = pd.DataFrame(one_or_all(found.per_dataset, found.over_datasets))
    say("comparing ways of choosing")
    # The report's own rule is not tried again, if all formulas were chosen by it.
    others = [name for name in rules if name != found.rule]
    other = pd.DataFrame()
    if len(results):
        other = variants(records.frame, frame, members, others, settings)
    say("looking for reasons")
    curves = against_strength(frame)
    correlations = alignment_correlations(frame)
    whole = alignment_over_datasets(correlations, settings.resamples, settings.seed)
    trials = median_trials(found.chosen, found.arms)
    fronts = fronts_of(trials, records, rule)
    return Findings(
        records=frame, evidence=found, lines=(found.lines[0], *variant_lines(results, other),
        *found.lines[1:]), results=results, variants=other, curves=curves,
        over_strengths=over_strengths(curves), alignment=correlations,
        alignment_over=whole,
        fronts=fronts, formulas=best_formulas(fronts, found.chosen),
        srbench=beside_srbench(found.arms), why=why_lines(curves, whole),
    )  # fmt: skip
