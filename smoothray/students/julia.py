"""Whether Julia is there for PySR: where juliacall and juliapkg look, without loading them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

INSTALL = (
    'run: python -c "import pysr" once, where the network is open, which installs it; '
    "or put julia 1.10 or newer on PATH"
)


def julia_missing() -> str | None:
    """Why PySR would find no Julia here; None where it would.

    The order is juliacall's: an executable and a project that are given to it; then juliapkg's: an
    executable given, its own environment, juliaup, and PATH.
    """
    given, project = _option("juliacall", "exe"), _option("juliacall", "project")
    if given and project:
        return _not_executable(given, "PYTHON_JULIACALL_EXE")
    if given or project:
        return "PYTHON_JULIACALL_EXE and PYTHON_JULIACALL_PROJECT must be set together, or neither"
    given = _option("juliapkg", "exe")
    if given:
        return _not_executable(given, "PYTHON_JULIAPKG_EXE")
    if _resolved():
        return None
    if _option("juliapkg", "offline") == "yes":
        return (
            f"Julia's environment {_environment()} is not installed and PYTHON_JULIAPKG_OFFLINE is "
            f"set; unset it, then {INSTALL}"
        )
    if _installed() or shutil.which("juliaup") or shutil.which("julia"):
        return None
    return f"Julia is not installed; {INSTALL}"


def julia_versions() -> list[tuple[str, str]]:
    """The versions of Julia and of the search in it, as juliapkg has installed them; none where it has not.

    Loads nothing: juliapkg keeps what it resolved beside its environment, whose manifest names the rest.
    """
    try:
        meta = json.loads((_environment() / "pyjuliapkg" / "meta.json").read_text())
        versions = [("julia", str(meta["version"]))]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    with suppress(OSError, ValueError, KeyError, IndexError, TypeError):
        manifest = tomllib.loads((_environment() / "Manifest.toml").read_text())
        search = manifest["deps"]["SymbolicRegression"][0]["version"]
        versions.append(("SymbolicRegression.jl", str(search)))
    return versions


def _option(tool: str, name: str) -> str | None:
    value = sys._xoptions.get(f"{tool}-{name}")
    return (
        value if isinstance(value, str) else os.environ.get(f"PYTHON_{tool.upper()}_{name.upper()}")
    )


def _not_executable(path: str, variable: str) -> str | None:
    if shutil.which(path):
        return None
    return f"{variable} is {path!r}, which is no executable file; give the path of julia"


def _environment() -> Path:
    """juliapkg's project: given, or in the virtual or conda environment, or in Julia's depot."""
    given = _option("juliapkg", "project")
    if given:
        return Path(given)
    prefix = sys.prefix if sys.prefix != sys.base_prefix else os.environ.get("CONDA_PREFIX")
    if prefix:
        return Path(prefix) / "julia_env"
    depot = os.environ.get("JULIA_DEPOT_PATH", "").split(os.pathsep)[0]
    return (Path(depot) if depot else Path.home() / ".julia") / "environments" / "pyjuliapkg"


def _resolved() -> bool:
    """Whether juliapkg has installed everything before, with a Julia that is still there."""
    try:
        meta = json.loads((_environment() / "pyjuliapkg" / "meta.json").read_text())
        return shutil.which(meta["executable"]) is not None
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _installed() -> bool:
    name = "julia.exe" if os.name == "nt" else "julia"
    return (_environment() / "pyjuliapkg" / "install" / "bin" / name).exists()
