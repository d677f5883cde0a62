"""The command line. Each command checks its input first and ends with what to type next."""

from __future__ import annotations

import gc
import sys

import typer

import smoothray
from smoothray.cli import studies, tables
from smoothray.cli.app import app
from smoothray.errors import SmoothrayError

__all__ = ["app", "main", "studies", "tables"]


@app.command(rich_help_panel="This machine")
def doctor() -> None:
    """Say which students, devices and data sources work here, and why the others do not."""
    from smoothray.commands.console import rows_table, show
    from smoothray.commands.doctor import findings

    rows = [(f.kind, f.name, "yes" if f.works else "no", f.detail) for f in findings()]
    show(rows_table(f"smoothray {smoothray.__version__}", ("", "", "works", ""), rows))


def main() -> None:
    """Run the command line; mistakes of the user's end it with their text alone."""
    try:
        app()
    except SmoothrayError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    finally:
        gc.freeze()  # at its end Python would look through all objects of torch and Ray, for a second
