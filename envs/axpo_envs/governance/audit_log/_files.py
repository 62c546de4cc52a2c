"""Defines `LogFiles`, an audit log's head and the file that is written: whole lines, put on the disk when asked."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from axpo_envs.governance.audit_log._chain import HEAD, HEAD_BYTES, Head

_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class LogFiles:
    """What one writer has open of a log; no two may write at a time.

    Args:
        folder: where the log lies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._open_name = ""
        self.unsynced = 0
        """Lines that were written and are not on the disk yet, for all that is known."""
        self.begun = False
        """Whether a file was begun since."""

    def put(self, line: bytes, after: Head) -> Head:
        """Writes a line, and then the head, which it returns; or neither.

        Raises:
            OSError: it cannot be written.
        """
        file = self._opened(after.file)
        before = after.size - len(line)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(file, rest) :]
            self.put_head(after)
        except BaseException:
            # Where this fails, too, the next writer finds a torn line.
            with suppress(OSError):
                os.ftruncate(file, before)
            raise
        self.unsynced += 1
        return after

    def put_head(self, head: Head) -> None:
        """Writes the head.

        Raises:
            OSError: it cannot be written.
        """
        file = os.open(self._folder / HEAD, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
        try:
            if os.write(file, head.to_bytes()) != HEAD_BYTES:
                raise OSError(f"{self._folder / HEAD} could not be written")
            if os.fstat(file).st_size != HEAD_BYTES:
                # Something else had been written there, which would make it no head for good.
                os.ftruncate(file, HEAD_BYTES)
        finally:
            os.close(file)

    def sync(self) -> None:
        """Puts what was written on the disk.

        Raises:
            OSError: that is not possible.
        """
        if self._file is not None and self.unsynced:
            os.fsync(self._file)
            _sync_path(self._folder / HEAD)
            if self.begun and os.name == "posix":
                # Else a new file might have no name after a power cut.
                _sync_path(self._folder)
            self.begun = False
        self.unsynced = 0

    def let_go(self) -> None:
        """Closes the file; the next line opens it again."""
        if self._file is not None:
            os.close(self._file)
        self._file, self._open_name = None, ""

    def _opened(self, name: str) -> int:
        # A file that was removed or renamed would take records that nobody ever reads.
        if self._file is not None and (self._open_name != name or not self._is_there(self._file, name)):
            os.close(self._file)
            self._file = None
        if self._file is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _FLAGS
            self._file, self._open_name = os.open(self._folder / name, flags, 0o644), name
        return self._file

    def _is_there(self, file: int, name: str) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(f"{self._folder}/{name}"))  # noqa: PTH116
        except FileNotFoundError:
            return False


def _sync_path(path: Path) -> None:
    file = os.open(path, (os.O_RDONLY if path.is_dir() else os.O_RDWR) | _FLAGS)
    try:
        os.fsync(file)
    finally:
        os.close(file)
