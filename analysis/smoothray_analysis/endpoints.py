"""What arms are compared by, named before a study is run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Endpoint:
    """A score of a trial.

    name: in tables; title: in sentences. column: of a record. sign: -1 where less is better. taught: whether
    it takes a teacher, which the direct fit has not. fraction: whether it is an R², whose practically equal
    differences are `Settings.rope`; of others they are `Settings.rope_nodes`.
    """

    name: str
    title: str
    column: str
    sign: int = 1
    taught: bool = False
    fraction: bool = True


ACCURACY = Endpoint("accuracy", "R²", "student_r2_test")
FIDELITY = Endpoint("fidelity", "fidelity", "fidelity_test", taught=True)
TEACHER = Endpoint("teacher", "the teacher's R²", "teacher_r2_test", taught=True)
NODES = Endpoint("nodes", "nodes", "complexity", sign=-1, fraction=False)
ENDPOINTS = (ACCURACY, FIDELITY, TEACHER, NODES)
"""The first is the primary one. All comparisons by all of them are one family."""
