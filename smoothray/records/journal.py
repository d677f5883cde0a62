"""The journal: a study's records on disk, each written once, as soon as it exists.

One gzip member per line of JSON, so that a study of thousands of fronts stays small, `zcat` reads it, and
a line that a crash cut short costs that line alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from smoothray.errors import StudyError

GZIP = 31
LOCK_SECONDS = 10.0
"""How long a journal is waited for: where a driver was killed, its recorder ends some seconds after it."""


def journal_folder() -> Path:
    """`$SMOOTHRAY_JOURNAL`, or `.smoothray` in the current folder."""
    return Path(os.environ.get("SMOOTHRAY_JOURNAL") or ".smoothray")


class Journal:
    """The journal of one study. Entries are mappings with a "kind": study, record, decision or delivered.

    As a context manager it is open for writing, to one process at a time.
    """

    def __init__(self, study: str) -> None:
        self.path = journal_folder() / f"{study}.jsonl.gz"
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Journal:
        """Raises StudyError if another process is running this study, or the folder cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "ab", buffering=0)
            _take_lock(self._file)
        except BlockingIOError:
            self._close()
            raise StudyError(
                f"another process is running this study (it holds {self.path}); wait for it or end it"
            ) from None
        except OSError as error:
            raise StudyError(
                f"cannot write the journal {self.path}: {error.strerror}; "
                "set SMOOTHRAY_JOURNAL to a folder that can be written"
            ) from None
        try:
            self._cut_torn_end()
        except StudyError:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        with self._lock:
            assert self._file is not None
            self._file.close()
            self._file = None

    def append(self, kind: str, **entry: Any) -> None:
        """Write one entry; it is on disk when this returns.

        Raises StudyError if the journal is closed, or cannot be written; it is then as it was.
        """
        self.extend([{"kind": kind, **entry}])

    def extend(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write entries, each with its kind, as `append` does."""
        packed = b"".join(map(_packed, entries))
        with self._lock:
            if self._file is None:
                raise StudyError(f"the journal {self.path} is not open for writing")
            before = os.fstat(self._file.fileno()).st_size
            try:
                left = memoryview(packed)
                while left:
                    left = left[self._file.write(left) :]
                os.fsync(self._file.fileno())
            except OSError as error:
                self._file.truncate(
                    before
                )  # a torn entry before a whole one would hide all that follow
                raise StudyError(
                    f"cannot write the journal {self.path}: {error.strerror}"
                ) from None

    def entries(self) -> Iterator[dict[str, Any]]:
        """All entries, oldest first; none if there is no journal. A torn last entry is left out."""
        for _, line in self._members():
            yield json.loads(line)

    def _members(self) -> Iterator[tuple[int, bytes]]:
        """The lines, each with the place in the file where it ends."""
        try:
            with open(self.path, "rb") as file:
                yield from self._lines(file)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StudyError(f"cannot read the journal {self.path}: {error.strerror}") from None

    def _lines(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        waiting = b""
        while True:
            unpacker = zlib.decompressobj(GZIP)
            line = b""
            while not unpacker.eof:
                waiting = waiting or file.read(1 << 16)
                if not waiting:
                    return
                try:
                    line += unpacker.decompress(waiting)
                except zlib.error as error:
                    raise StudyError(
                        f"the journal {self.path} is damaged before byte {file.tell()} "
                        f"({error}); move it away: what reached MLflow is not lost"
                    ) from None
                waiting = unpacker.unused_data
            yield file.tell() - len(waiting), line

    def _cut_torn_end(self) -> None:
        assert self._file is not None
        whole = max((place for place, _ in self._members()), default=0)
        if whole < self.path.stat().st_size:
            self._file.truncate(whole)


def _take_lock(file: BinaryIO) -> None:
    """Raises BlockingIOError where another process goes on holding it."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def _packed(entry: Mapping[str, Any]) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, GZIP)
    line = json.dumps(entry, separators=(",", ":")) + "\n"
    return packer.compress(line.encode()) + packer.flush()
