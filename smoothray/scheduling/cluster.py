"""What the cluster has now, and how much work should be under way on it."""

from __future__ import annotations

import math
import os
import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

LOOK_SECONDS = 2.0
"""Seconds between looks at the cluster: nodes come and go."""
STUDENT_CORES, TEACHER_CORES, PLACES = 0.98, 0.005, 4
"""A student works on a core for the whole study. What it leaves of it lets Ray place the teachers beside
students, PLACES on a core: neither kind of work may wait for the other."""


class Cluster:
    """The cores and GPUs that there are, looked up now and then."""

    def __init__(self) -> None:
        self._looked = -math.inf
        self._resources: dict[str, float] = {}

    @property
    def cores(self) -> int:
        return max(1, int(self._look().get("CPU", 1)))

    @property
    def gpus(self) -> float:
        return float(self._look().get("GPU", 0.0))

    def _look(self) -> dict[str, float]:
        if time.monotonic() > self._looked + LOOK_SECONDS:
            self._looked = time.monotonic()
            self._resources = ray.cluster_resources()
        return self._resources


def on_cluster() -> bool:
    """Whether nodes may be added: not on a Ray of our own on this machine."""
    return bool(os.environ.get("RAY_ADDRESS"))


def teachers_at_once(cores: int, gpus: float, gpu_share: float, fits: int) -> int:
    """How many teacher settings should be under way, on GPUs if there are any.

    fits: of one setting. Enough that the students have two fits each while the next banks are trained.

    >>> teachers_at_once(cores=2, gpus=0, gpu_share=0.25, fits=10)
    3
    """
    training = 2 * int(gpus / gpu_share) if gpus else cores
    return min(1 + max(-(-2 * cores // fits), training), PLACES * cores)


def here() -> dict[str, Any]:
    """Options of an actor that stays on the driver's node, which is the head's: it outlives the others."""
    node = ray.get_runtime_context().get_node_id()
    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
