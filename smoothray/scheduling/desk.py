"""The desk: where Tune's trials hand in what they want done, and wait until it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import ray

from smoothray.search import Turn


@dataclass(frozen=True)
class Request:
    """A turn that the Tune trial with this number waits for."""

    number: int
    turn: Turn


# On the head, beside the driver: what a node takes with it when it is lost can be done again, this cannot.
@ray.remote(num_cpus=0, resources={"node:__internal_head__": 0.001})
class Desk:
    """Requests from Tune's trials to the driver's loop, and answers back."""

    def __init__(self) -> None:
        self._new: list[Request] = []
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        self._arrival = asyncio.Event()

    async def ask(self, turn: Turn) -> float:
        """An arm's score, when its turn is done."""
        self._count += 1
        number = self._count
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._new.append(Request(number, turn))
        self._arrival.set()
        answer: float = await self._answers[number]
        return answer

    async def take(self) -> list[Request]:
        """All new requests, as soon as there is one."""
        await self._arrival.wait()
        self._arrival.clear()
        taken, self._new = self._new, []
        return taken

    async def answer(self, number: int, score: float) -> None:
        self._answers.pop(number).set_result(score)
