"""The teachers' actors: as many as may train at a time, ended when there is nothing to train."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from smoothray.scheduling.workers import TeacherActor
from smoothray.study import Study
from smoothray.study.plan import Job

IDLE_SECONDS = 60.0
"""How long an actor without work is kept; it may hold a share of a GPU that a cluster could give back."""


@dataclass(eq=False)
class Actor:
    """A teacher actor. on_gpu: whether it holds a share of one. idle_since: when it had its last work."""

    handle: Any
    on_gpu: bool
    idle_since: float = field(default_factory=time.monotonic)


class Teachers:
    """Actors that train banks."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.idle: list[Actor] = []
        self.working: dict[Any, Actor] = {}
        self._turn = itertools.count()

    def prepare(self, use_gpu: bool) -> None:
        """Start one actor ahead of the first bank."""
        self.idle.append(self._start(use_gpu))

    def teach(self, dataset: Any, job: Job, use_gpu: bool) -> Any:
        """Have a bank trained; the reference of its all_outputs. dataset: a reference to it."""
        for actor in [actor for actor in self.idle if actor.on_gpu != use_gpu]:
            self._end(actor)  # GPUs have come, or gone
        actor = self.idle.pop() if self.idle else self._start(use_gpu)
        reference = actor.handle.teach.remote(dataset, job)
        self.working[reference] = actor
        return reference

    def collect(self, reference: Any, trials: int) -> list[Any]:
        """The all_outputs of a bank that is done, or for each of its trials why there is none."""
        actor = self.working.pop(reference)
        try:
            all_outputs: list[Any] = ray.get(reference)
        except RayError as error:
            # It was started again and again and died each time, or may be broken: a failed kernel spoils
            # a process's GPU for good, and what fails at once would be the first to be free.
            ray.kill(actor.handle)
            reason = error.cause if isinstance(error, RayTaskError) else error
            return [f"the teachers could not be trained: {reason}"] * trials
        actor.idle_since = time.monotonic()
        self.idle.append(actor)
        return all_outputs

    def give_up_gpus(self) -> list[Any]:
        """End the actors that hold GPUs, which are there no more; the references of what they were at."""
        lost = [reference for reference, actor in self.working.items() if actor.on_gpu]
        for reference in lost:
            ray.kill(self.working.pop(reference).handle)
        for actor in [actor for actor in self.idle if actor.on_gpu]:
            self._end(actor)
        return lost

    def end_idle(self) -> None:
        """End the actors that have had nothing to do for a while."""
        for actor in list(self.idle):
            if time.monotonic() > actor.idle_since + IDLE_SECONDS:
                self._end(actor)

    def close(self) -> None:
        """End every actor."""
        for actor in [*self.idle, *self.working.values()]:
            ray.kill(actor.handle)

    def _end(self, actor: Actor) -> None:
        self.idle.remove(actor)
        ray.kill(actor.handle)

    def _start(self, use_gpu: bool) -> Actor:
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
        handle = actor.remote(self.study.augment, self.study.teacher, self.study.seed)
        return Actor(handle, use_gpu)
