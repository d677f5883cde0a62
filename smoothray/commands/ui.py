"""The ui command: MLflow's own pages, opened where the study's runs are."""

from __future__ import annotations

import errno
import os
import socket
import sys

from smoothray.commands.console import say
from smoothray.errors import StudyError
from smoothray.records.connection import shown, there_is_a_database, tracking_uri
from smoothray.records.tracker import pages

SHOWN = 5
"""The studies, newest first, whose addresses are printed."""


def ui(host: str, port: int) -> None:
    """Say where each study's table of runs is, and become MLflow's server. Raises StudyError."""
    uri = tracking_uri()
    if uri.startswith("http"):
        say(f"The runs are on a server already: {shown(uri)}")
        _show(shown(uri).rstrip("/"))
        return
    if not there_is_a_database(uri):
        raise StudyError(
            f"there is no {shown(uri)} yet; run a study first, or go to the folder it ran in"
        )
    _refuse_taken(host, port)
    # Not on the command line, which others can read: it may hold a password.
    os.environ["MLFLOW_BACKEND_STORE_URI"] = uri
    command = [sys.executable, "-m", "mlflow", "ui"]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    # What a page of runs does not need only delays it.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    say(f"MLflow's pages will be at http://{host}:{port} in some seconds. Ctrl-C ends them.")
    _show(f"http://{host}:{port}")
    os.execv(sys.executable, command)


def _show(address: str) -> None:
    studies = pages()
    for name, page in studies[:SHOWN]:
        say(f"The runs of {name}: {address}/{page}")
    if len(studies) > SHOWN:
        say(f"and {len(studies) - SHOWN} more studies, which the first page lists.")


def _refuse_taken(host: str, port: int) -> None:
    """Raise StudyError at once where something else listens: MLflow would say it in thirty lines."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        reason = (
            "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        )
        raise StudyError(
            f"port {port} of {host} {reason}; give another with --port, such as {port + 1}"
        ) from None
