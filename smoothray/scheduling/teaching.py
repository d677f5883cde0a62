"""The teachers' actors: as many as may train at a time, ended when there is nothing to train."""

from __future__ import annotations

import itertools
import time
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from smoothray.plan import Job
from smoothray.scheduling.workers import TeacherActor
from smoothray.study import Study

IDLE_SECONDS = 60.0
"""How long an actor without work is kept; it may hold a share of a GPU that a cluster could give back."""


class Teachers:
    """Actors that train banks."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.idle: list[tuple[Any, float]] = []
        self.working: dict[Any, Any] = {}
        self._turn = itertools.count()

    def prepare(self, use_gpu: bool) -> None:
        """Start one actor ahead of the first bank."""
        self.idle.append((self._start(use_gpu), time.monotonic()))

    def teach(self, dataset: Any, job: Job, use_gpu: bool) -> Any:
        """Have a bank trained; the reference of its lessons. dataset: a reference to it."""
        actor = self.idle.pop()[0] if self.idle else self._start(use_gpu)
        reference = actor.teach.remote(dataset, job)
        self.working[reference] = actor
        return reference

    def collect(self, reference: Any, trials: int) -> list[Any]:
        """The lessons of a bank that is done, or for each of its trials why there is none."""
        actor = self.working.pop(reference)
        try:
            lessons: list[Any] = ray.get(reference)
        except RayTaskError as error:
            self.idle.append((actor, time.monotonic()))
            return [f"the teachers could not be trained: {error.cause}"] * trials
        except RayError as error:
            # It has been started again and again, and died each time.
            ray.kill(actor)
            return [f"the teachers could not be trained: {error}"] * trials
        self.idle.append((actor, time.monotonic()))
        return lessons

    def end_idle(self) -> None:
        """End the actors that have had nothing to do for a while."""
        for actor, since in list(self.idle):
            if time.monotonic() > since + IDLE_SECONDS:
                self.idle.remove((actor, since))
                ray.kill(actor)

    def close(self) -> None:
        """End every actor."""
        for actor in [*(actor for actor, _ in self.idle), *self.working.values()]:
            ray.kill(actor)

    def _start(self, use_gpu: bool) -> Any:
        options: dict[str, Any] = {}
        if use_gpu:
            options["num_gpus"] = self.study.teacher.gpu_share
        else:
            # Where there are cores, one node after the other: Ray would put what asks for none onto any.
            nodes = [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU")]
            if nodes:
                node = nodes[next(self._turn) % len(nodes)]["NodeID"]
                options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=True)
        actor = TeacherActor.options(**options)  # type: ignore[attr-defined]
        return actor.remote(self.study.augment, self.study.teacher, self.study.seed)
