"""What a Tune trial does: it asks the desk for an arm's block and waits. Light, so that it starts soon."""

from __future__ import annotations

from typing import Any

import ray
from ray.tune import Trainable


class ArmTrial(Trainable):
    """A block of an arm's trials on a data set: one step. config: the desk, and the turn's number."""

    def setup(self, config: dict[str, Any]) -> None:
        self.config_now = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        desk, number = self.config_now["desk"], self.config_now["number"]
        return {"score": ray.get(desk.ask.remote(number)), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: an arm's state is its records."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing."""
