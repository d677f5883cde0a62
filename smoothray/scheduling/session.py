"""A Ray session: the cluster that `RAY_ADDRESS` names, or one of our own on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from smoothray.errors import StudyError


@contextmanager
def ray_session(cores: int | None = None, modules: Sequence[str] = ()) -> Iterator[None]:
    """Connect to Ray, and leave it at the end.

    cores: how many to use of this machine, all by default; a cluster's are its own. modules: files and
    package folders that all processes of the session are to find, wherever they run.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    os.environ.setdefault(
        "RAY_task_oom_retries", "4"
    )  # by default a task without memory is tried for ever
    import ray

    address = os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = (
        {"num_cpus": cores, "include_dashboard": False} if address == "local" else {}
    )
    if modules:
        options["runtime_env"] = {"py_modules": list(modules)}
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            **options,
        )
    except (ConnectionError, ValueError) as error:
        if address == "local":
            raise
        raise StudyError(f"RAY_ADDRESS is '{address}', where no Ray answers: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()
