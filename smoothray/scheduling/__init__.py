"""The only code that imports ray: teachers as tasks, students as long-lived actors, one loop for both."""

from __future__ import annotations

import os

# A thread that outlives its session must not connect to whatever other Ray there is on the machine.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")

from smoothray.scheduling.runner import run_search
from smoothray.scheduling.session import ray_session

__all__ = ["ray_session", "run_search"]
