"""Where MLflow is, and how it is reached."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from smoothray.errors import SmoothrayError, StudyError, TrackingError

QUIET = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # The recorder tries again by itself, and a study should not wait for a server that is away.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
ROOT = re.compile(
    r"(?:\[Errno -?\d+\] |\b)(Connection refused|Name or service not known|(?:\w+ )?timed out)"
)
"""What a connection failed for, in the long texts of the libraries under MLflow."""
REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
"""How MLflow's errors name HTTP's 401 and 403."""


def tracking_uri() -> str:
    """`$MLFLOW_TRACKING_URI`, or a database in the current folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def shown(text: str) -> str:
    """An address, or what tells of one, as it may be printed and kept: without its password.

    >>> shown("postgresql://ada:secret@db.example/mlflow"), shown("sqlite:///mlflow.db")
    ('postgresql://ada:…@db.example/mlflow', 'sqlite:///mlflow.db')
    """
    return re.sub(r"(?<=://)([^/@:\s]*):[^/\s]*@", r"\1:…@", text)


def client_of(uri: str) -> Any:
    """MLflow's client for an address, whose database is made where there is none.

    Raises StudyError for an address that MLflow does not take, TrackingError where it is away.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    if uri.partition(":")[0] in ("file", uri):
        raise StudyError(
            f"MLFLOW_TRACKING_URI is '{shown(uri)}', a folder, which MLflow no longer takes; "
            "use a database such as sqlite:///mlflow.db, or a server's address"
        )
    try:
        if not there_is_a_database(uri):
            _make_database(database_file(uri))
        return MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        raise StudyError(f"MLflow cannot use '{shown(uri)}': {error.message}") from None
    except Exception as error:
        raise unreachable(uri, error) from None


@contextmanager
def reaching(uri: str, otherwise: str = "does not answer") -> Iterator[None]:
    """Whatever MLflow raises within, as the error that says so. otherwise: what MLflow does instead."""
    try:
        yield
    except SmoothrayError:
        raise
    except Exception as error:
        raise unreachable(uri, error, otherwise) from None


def unreachable(uri: str, error: Exception, otherwise: str = "does not answer") -> SmoothrayError:
    """The error that says so, of what MLflow said; in its first line."""
    root = ROOT.search(str(error))
    first = root[1] if root else next(iter(str(error).splitlines()), type(error).__name__)
    first = shown(first)
    if uri.startswith("sqlite:"):
        return StudyError(f"MLflow cannot use the database '{shown(uri)}': {first[:300]}")
    if getattr(error, "error_code", None) in REFUSED:
        return StudyError(
            f"MLflow at {shown(uri)} refuses this user; give one as MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or in ~/.mlflow/credentials"
        )
    return TrackingError(f"MLflow at {shown(uri)} {otherwise}: {first[:300]}")


def there_is_a_database(uri: str) -> bool:
    """Whether an address may hold runs: a server, or a file that exists. MLflow would make an empty one."""
    if not uri.startswith("sqlite:///"):
        return True
    return database_file(uri).exists()


def artifact_location(uri: str, experiment: str) -> str | None:
    """Where the files of a new experiment go: beside a database that is a file here, where MLflow by itself
    would take the current folder; None where a server knows.
    """
    if not uri.startswith("sqlite:///"):
        return None
    name = re.sub(r"[^\w.-]+", "-", experiment)
    return str(database_file(uri).absolute().parent / "mlruns" / name)


def database_file(uri: str) -> Path:
    """The file of an SQLite database."""
    return Path(unquote(uri.removeprefix("sqlite:///")).partition("?")[0])


def _make_database(file: Path) -> None:
    """An empty database, whole or not at all: one that was left half made could never be used."""
    from mlflow import MlflowClient

    draft = file.with_name(f"{file.name}.{uuid4().hex[:8]}.new")
    try:
        MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments()
        try:
            os.link(draft, file)
        except FileExistsError:
            pass  # another process was faster
        except OSError:  # a file system without links
            if not file.exists():
                draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
