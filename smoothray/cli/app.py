"""The program itself: what its commands share, and how it ends."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

import smoothray

app = typer.Typer(
    help="Smooth teachers for symbolic distillation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
INTERRUPTED = 130


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smoothray {smoothray.__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def this_program() -> str:
    """How to type this program's name where it was started from."""
    program = Path(sys.argv[0])
    if program.name == "submit.py":
        return str(program)
    if program.name == "smoothray" and not shutil.which(program.name):
        return os.path.relpath(program)
    return "smoothray"
