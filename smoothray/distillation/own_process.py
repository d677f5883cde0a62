"""What holds in every process that fits formulas, of a study or of the library: its memory and its quiet."""

from __future__ import annotations

import os
import resource
from pathlib import Path

ROOM = 512 * 2**20
"""Bytes that a process may grow by however small it was when it was ready."""


def memory() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def outgrown(ready: int, now: int) -> bool:
    """Whether a process has grown by more than it held when it was ready, and by more than `ROOM`.

    Growth is what counts: one with Julia begins with as much as one with Operon never reaches.

    >>> outgrown(ready=200 * 2**20, now=700 * 2**20), outgrown(ready=200 * 2**20, now=800 * 2**20)
    (False, True)
    >>> outgrown(ready=900 * 2**20, now=1700 * 2**20), outgrown(ready=900 * 2**20, now=1900 * 2**20)
    (False, True)
    """
    return now - ready > max(ROOM, ready)


def hush() -> None:
    """Have nothing that this process writes to its standard output and error reach anyone, from now on.

    A program with a run-time system of its own (Julia) tells of every signal in a hundred lines, and what
    went wrong comes back as an exception anyway.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
