"""The only code that imports ray: teachers as tasks, students as long-lived actors, one loop for both."""

from __future__ import annotations

from smoothray.scheduling.runner import run_search
from smoothray.scheduling.session import ray_session

__all__ = ["ray_session", "run_search"]
