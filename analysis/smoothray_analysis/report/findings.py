"""Everything that a report shows, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from smoothray_analysis.arms import arm_names
from smoothray_analysis.associations import association_lines, associations, associations_over
from smoothray_analysis.comparisons import Settings
from smoothray_analysis.formulas import best_formulas, fronts_of, median_trials
from smoothray_analysis.headline import first_lines
from smoothray_analysis.loading import Records
from smoothray_analysis.mechanism import against_strength, mechanism_lines, over_strengths
from smoothray_analysis.moderators import moderation_lines, moderations, moderators
from smoothray_analysis.narrative import comparison_lines, one_or_all
from smoothray_analysis.published import at_published_sizes, beside_srbench
from smoothray_analysis.runs import catastrophes, profiles
from smoothray_analysis.selection import TAKEN, VISIBLE, Rule, reselect
from smoothray_analysis.sensitivity import (
    RULES,
    chosen_alike,
    over_ropes,
    sensitivity,
    sensitivity_lines,
)
from smoothray_analysis.sizes import at_matched_sizes
from smoothray_analysis.strengths import FIXED, unnamed
from smoothray_analysis.text import and_list
from smoothray_analysis.verdict import Evidence, evidence

MEMBERS = tuple(dict.fromkeys([*VISIBLE[1:], *TAKEN, "unsafe", "chosen"]))


@dataclass(frozen=True, eq=False)
class Findings:
    """What a report is made of. Frames are empty where there is nothing to say.

    records: a row a trial, with `arm`, formulas as the rule chose them. evidence: with its verdict; lines:
    the verdict, and whether it depends on the choices; sentences: those of them that tell a comparison each.
    results: of `narrative.one_or_all`, as a frame.
    sensitivity, ropes: of `sensitivity`. sizes: of `sizes.at_matched_sizes`. curves, over_strengths: of
    `mechanism`; associations, associations_over, moderators, moderations: of the modules `associations` and
    `moderators`; mechanism: their lines. profiles, catastrophes: of `runs`. fronts, formulas: of `formulas`;
    all_fronts: whether every fit has a front.
    srbench, srbench_sizes: of `published`.
    """

    records: pd.DataFrame
    evidence: Evidence
    lines: tuple[str, ...]
    sentences: tuple[str, ...]
    results: pd.DataFrame
    sensitivity: pd.DataFrame
    ropes: pd.DataFrame
    sizes: pd.DataFrame
    curves: pd.DataFrame
    over_strengths: pd.DataFrame
    associations: pd.DataFrame
    associations_over: pd.DataFrame
    moderators: pd.DataFrame
    moderations: pd.DataFrame
    profiles: pd.DataFrame
    catastrophes: pd.DataFrame
    fronts: pd.DataFrame
    all_fronts: bool
    formulas: pd.DataFrame
    srbench: pd.DataFrame
    srbench_sizes: pd.DataFrame
    mechanism: tuple[str, ...]


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
    if settings.strengths == FIXED and (left := unnamed(records.frame, settings.fixed)):
        records = records.without(left, f"{and_list(left)} left out: no strength of it is fixed")
    say("reading the fronts")
    # Without fronts there is nothing to choose from anew, at other sizes neither.
    members = records.fronts(MEMBERS) if records.has_fronts or rule is not None else pd.DataFrame()
    recorded = records.frame[records.with_fronts]
    frame = records.frame if rule is None else reselect(recorded, members, rule)
    frame = frame.assign(arm=arm_names(frame))
    with_fronts = frame.loc[recorded.index]
    anew = bool((with_fronts["status"] == "ok").any()) and chosen_alike(
        with_fronts, frame, settings
    )
    say("comparing the arms")
    ev = evidence(
        frame, settings=settings, warnings=(*records.warnings, *_lacking(records, rule, anew))
    )
    compared = one_or_all(ev.per_dataset, ev.over_datasets)
    results = pd.DataFrame(compared)
    say("comparing ways of choosing")
    # The report's own rule is not tried again, if all formulas were chosen by it.
    others = [name for name in rules if name != ev.rule and anew]
    other = sizes = published = pd.DataFrame()
    if len(results):
        other = sensitivity(recorded, frame, members, others, settings)
    if len(results) and anew:
        named = rule.aim if rule is not None else ev.rule
        aim = "fidelity" if "fidelity" in named else "accuracy"
        sizes = at_matched_sizes(with_fronts, members, aim, settings)
        published = at_published_sizes(ev.chosen, members, aim)
    say("looking for reasons")
    # Restarts are candidates to choose from; what a strength does is asked of the first of each arm.
    first = frame[frame["restart"] == 0]
    curves = against_strength(first, ev.chosen)
    drawn = (settings.resamples, settings.seed)
    goes_with = associations(first)
    goes_with_over = associations_over(goes_with, settings.alpha, *drawn)
    kinds = moderators(ev.even)
    kinds_over = moderations(kinds, settings.alpha, *drawn)
    reasons = [*mechanism_lines(curves), *association_lines(goes_with_over)]
    trials = median_trials(ev.chosen, ev.arms)
    fronts = drawn_fronts = pd.DataFrame()
    if records.has_fronts:
        fronts = drawn_fronts = fronts_of(trials, records, rule)
    if 0 < len(with_fronts) < len(frame):
        kept = ev.chosen[ev.chosen.index.isin(with_fronts.index)]
        drawn_fronts = fronts_of(median_trials(kept, ev.arms), records, rule)
    place = len(first_lines(ev.endpoints, compared))
    return Findings(
        records=frame, evidence=ev,
        lines=(*ev.lines[:place], *sensitivity_lines(results, other), *ev.lines[place:]),
        sentences=tuple(comparison_lines(compared, settings)),
        results=results, sensitivity=other, ropes=over_ropes(ev.per_dataset, settings),
        sizes=sizes, curves=curves,
        over_strengths=over_strengths(curves), associations=goes_with,
        associations_over=goes_with_over, moderators=kinds, moderations=kinds_over,
        profiles=profiles(ev.even, *drawn), catastrophes=catastrophes(ev.even, *drawn),
        fronts=drawn_fronts, all_fronts=bool(records.with_fronts.all()),
        formulas=best_formulas(trials, ev.chosen, fronts),
        srbench=beside_srbench(ev.arms), srbench_sizes=published,
        mechanism=(*reasons, *moderation_lines(kinds, kinds_over)),
    )  # fmt: skip


def _lacking(records: Records, rule: Rule | None, anew: bool) -> list[str]:
    """What a reader should know where some fits have no front."""
    lacking, total = int((~records.with_fronts).sum()), len(records.frame)
    if lacking in (0, total):
        return []
    said = f"{lacking:,} of {total:,} fits have no front here"
    if rule is not None:
        return [f"{said}: this report is of the rest"]
    if not anew:
        return [f"{said}, so that there are no other choices of formulas, and no other sizes"]
    return [f"{said}: other choices of formulas, and other sizes, are those of the rest"]
