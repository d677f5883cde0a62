"""The desk: where Tune's trials hand in what they want done, and wait until it is."""

from __future__ import annotations

import asyncio
from typing import Any

import ray


# On the head, beside the driver: what a node takes with it when it is lost can be done again, this cannot.
@ray.remote(num_cpus=0, resources={"node:__internal_head__": 0.001})
class Desk:
    """Requests from Tune's trials to the driver's loop, and answers back; both know turns by number."""

    def __init__(self) -> None:
        self._new: list[int] = []
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._arrival = asyncio.Event()

    async def ask(self, number: int) -> float:
        """An arm's score, when its turn is done."""
        self._answers[number] = asyncio.get_running_loop().create_future()
        self._new.append(number)
        self._arrival.set()
        answer: float = await self._answers[number]
        return answer

    async def take(self) -> list[int]:
        """All new requests, as soon as there is one."""
        await self._arrival.wait()
        self._arrival.clear()
        taken, self._new = self._new, []
        return taken

    async def answer(self, number: int, score: float) -> None:
        self._answers.pop(number).set_result(score)
