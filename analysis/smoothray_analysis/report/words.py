"""The words that a report is written in, said to who has not seen one before."""

from __future__ import annotations

import pandas as pd

from smoothray_analysis.arms import PLAIN, TO_THE_END, by_baseline

WORDS = {
    "teacher": "a neural network that is trained on the data. A formula is then fitted to what it predicts, "
    "not to the data themselves: that is distillation.",
    "fidelity": "R² of a formula against its teacher (1: it says the same); R² without another word is "
    "against the data. Both are of test rows, which nothing was fitted to or chosen by.",
    "nodes": "the size of a formula: each number, column and operation counts one, so x + 2·y has 5",
}
IN_UNITS = "; counted in the formula as it is shown, in the data's own units."
STANDARD = "; counted before columns are put back into their units, which may add a number or two."
PENALTIES = {
    "direct": "no teacher: the formula is fitted to the data.",
    "none": "plain distillation: the teacher is trained without a penalty.",
    "jacobian": "the teacher is trained to have small slopes at the training rows.",
    "jacobian_between": "the teacher is trained to have small slopes between the training rows, too.",
    "placebo": "a penalty too weak to do anything: what is found of it is a false alarm.",
    "lipschitz": "the teacher is trained to have a small bound on its slope, wherever one looks.",
    "lipschitz_sampled": "the teacher is trained to have no steep slope at any training row.",
    "weight_decay": "the teacher is trained to have small weights: a control, which smooths without looking "
    "at the function.",
}
OTHER = "a penalty of this study's own on the teacher's training."


def words(records: pd.DataFrame) -> list[tuple[str, str]]:
    """Each word of the report that needs saying, with its meaning: those of this study's arms among them.

    records: a row a trial.
    """
    names = list(records["penalty"].unique())
    said = [("teacher", WORDS["teacher"])]
    said += [(name, PENALTIES.get(name, OTHER)) for name in by_baseline(names)]
    if set(names) - set(PLAIN):
        said.append(
            ("λ", "a penalty's strength; 0 would be none. The larger, the smoother the teacher.")
        )
    if records["stopping"].eq(TO_THE_END).any():
        said.append(
            (
                "trained to the end",
                "the teacher is not stopped early, when validation rows say so, which smooths it too.",
            )
        )
    if records["augment"].gt(0).any():
        said.append(
            (
                "+4×points",
                "the teacher also labels new points, here 4 per training row, for the formula's fit.",
            )
        )
    if records["ensemble"].gt(1).any():
        said.append(("5 networks", "the teacher is the mean of so many networks."))
    in_units = "complexity_standard" in records and bool(
        (
            records["complexity_standard"].notna()
            & records["complexity"].ne(records["complexity_standard"])
        ).any()
    )
    nodes = WORDS["nodes"] + (IN_UNITS if in_units else STANDARD)
    return [*said, ("fidelity", WORDS["fidelity"]), ("nodes", nodes)]
