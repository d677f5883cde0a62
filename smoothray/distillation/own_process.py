"""What holds in every process that fits formulas, of a study or of the library: its memory and its quiet."""

from __future__ import annotations

import os
import resource
from pathlib import Path

ROOM = 512 * 2**20
"""Bytes that a process may grow by however small it was when it was ready."""

START_SECONDS = 900.0
"""How long a process may take until its students are ready; PySR compiles for minutes at worst."""
FITS_AT_LEAST = 50
"""A process is replaced after so many fits at the earliest, since a new one takes seconds."""


def memory() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def outgrown(fits: int, ready: int, now: int) -> bool:
    """Whether a process has grown so much over its fits that a new one is better: by more than it held when
    it was ready, and by more than `ROOM`.

    Growth is what counts: one with Julia begins with as much as one with Operon never reaches.

    >>> MB = 2**20
    >>> outgrown(50, ready=200 * MB, now=700 * MB), outgrown(50, ready=200 * MB, now=800 * MB)
    (False, True)
    >>> outgrown(50, ready=900 * MB, now=1700 * MB), outgrown(50, ready=900 * MB, now=1900 * MB)
    (False, True)
    >>> outgrown(49, ready=200 * MB, now=900 * MB)
    False
    """
    return fits >= FITS_AT_LEAST and now - ready > max(ROOM, ready)


def hush() -> None:
    """Have nothing that this process writes to its standard output and error reach anyone, from now on.

    A program with a run-time system of its own (Julia) tells of every signal in a hundred lines, and what
    went wrong comes back as an exception anyway.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
