"""A Ray session: the cluster that `RAY_ADDRESS` names, or one of our own on this machine."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from smoothray.errors import StudyError

CONNECT_SECONDS = 10.0
DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # those of what is given up when a study ends
    "RAY_task_oom_retries": "4",  # by default a task without memory is tried for ever
    "RAY_NUM_REDIS_GET_RETRIES": "5",  # seconds that a head which refuses us is asked again
}


@contextmanager
def ray_session(
    cores: int | None = None,
    modules: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[None]:
    """Connect to Ray, and leave it at the end; one that this process is connected to is used as it is.

    cores: how many to use of this machine, all by default; a cluster's are its own. modules: files and
    package folders that all processes of the session are to find, wherever they run. say: is told where the
    dashboard is, if there is one.

    Raises StudyError where `RAY_ADDRESS` names no Ray that takes us, or Ray does not start here.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if modules:
        options["runtime_env"] = {"py_modules": list(modules)}
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _connect(address, options)
        else:
            dashboard = _has_dashboard()
            try:
                context = ray.init(
                    address="local", num_cpus=cores, include_dashboard=dashboard,
                    dashboard_host="127.0.0.1", **options,
                )  # fmt: skip
            except Exception as error:  # of any kind, even a bare one
                raise StudyError(f"Ray does not start on this machine: {_first(error)}") from None
            if dashboard and context.dashboard_url:
                say(f"Ray's dashboard: http://{context.dashboard_url}")
        yield
    finally:
        with hushed():  # its processes say how they end
            ray.shutdown()


def _connect(address: str, options: Mapping[str, Any]) -> None:
    import ray

    _reach(address)
    with hushed() as said:
        try:
            ray.init(address=address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _refused(address, said(), error) from None


def _reach(address: str) -> None:
    """Raise StudyError at once where nothing listens: Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # "auto", which Ray looks up
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise StudyError(
            f"RAY_ADDRESS is '{address}', where no Ray answers ({error.strerror or error}); "
            "start it, or unset RAY_ADDRESS to use this machine alone"
        ) from None


def _refused(address: str, said: str, error: Exception) -> StudyError:
    if "AuthToken" in said or "nauthenticated" in said + str(error):
        return StudyError(
            f"the Ray at RAY_ADDRESS '{address}' refuses this token; set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to those of its head"
        )
    return StudyError(f"RAY_ADDRESS is '{address}', where no Ray answers: {_first(error)}")


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _has_dashboard() -> bool:
    """Whether ray[default] is installed, which has the dashboard."""
    with suppress(ImportError):
        import aiohttp_cors  # noqa: F401
        import opencensus  # noqa: F401

        return True
    return False


@contextmanager
def hushed() -> Iterator[Callable[[], str]]:
    """Keep back what native code writes to standard error; the function gives it."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield lambda: ""
        return
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        os.dup2(file.fileno(), 2)

        def said() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
