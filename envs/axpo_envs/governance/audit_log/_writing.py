"""Defines `AuditLog`, to which decisions are appended: whole lines, chained by hashes, by any number of writers.

A record has left the process when `append` returns: killing the process loses none. It is on the disk after the next
`fsync`, which comes after `sync_records` records or `sync_seconds` seconds, whichever is first, and at once where a
record is urgent. So a power cut loses at most so many records of a process, none of them older than that.

Threads take turns by a lock; processes by the file `.lock` in the log's folder, which they hold while they append one
record. Whoever appends goes on from the head; what a writer left behind that was killed between its line and its head
is read first, and a line that it left torn is cut off, which a record of its own tells.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import filelock

from axpo_envs.governance.audit_log._chain import (
    FORMAT,
    HEAD,
    AuditLogError,
    Head,
    file_name,
    file_number,
    files_of,
    written,
)
from axpo_envs.governance.audit_log._files import LogFiles
from axpo_envs.governance.audit_log._processes import keep_track
from axpo_envs.governance.audit_log._recovery import read_head, recover

_LOGGER: Final = logging.getLogger(__name__)
_WAIT_S: Final = 60.0
_MOST_SECONDS: Final = 31_536_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How an audit log is written."""

    sync_records: int = 64
    """Records after which what was written is put on the disk."""
    sync_seconds: float = 1.0
    """Seconds after which it is."""
    rotate_bytes: int = 64 << 20
    """Size that no file passes, unless a single record does."""

    def __post_init__(self) -> None:
        if self.sync_records < 1 or not 0 <= self.sync_seconds <= _MOST_SECONDS or self.rotate_bytes < 1:
            raise AuditLogError(
                f"audit log: expected records >= 1, seconds from 0 to {_MOST_SECONDS} and bytes >= 1; got {self}"
            )


class AuditLog:
    """An append-only log in a folder.

    Args:
        folder: where it lies; it is made, and may hold a log already, which is gone on with.
        settings: when it is put on the disk, and how large its files become.

    Raises:
        AuditLogError: the folder cannot be made or written, or holds something else.
    """

    def __init__(self, folder: Path, settings: LogSettings | None = None) -> None:
        self.folder: Final = folder.absolute()
        self._settings = settings or LogSettings()
        self.forget_files()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            foreign = sorted(path.name for path in self.folder.iterdir() if not _is_own(path.name))
            if foreign:
                raise AuditLogError(f"audit log: expected an empty folder, or a log; {folder} holds {foreign[0]}")
            with self._turn():
                self._write_pending(self._head())
        except OSError as error:
            raise AuditLogError(f"audit log: cannot write {folder}: {error}") from error
        keep_track(self)

    def append(self, record: Mapping[str, Any], *, urgent: bool = False) -> int:
        """Adds a record; returns its number.

        Args:
            record: JSON; `n`, `time`, `prev` and `hash` are added.
            urgent: it is on the disk when this returns.

        Raises:
            OSError: it cannot be written, and is not in the log; or, what was written before, or an urgent record,
                cannot be put on the disk.
        """
        with self._lock:
            self._check_sync()
            with self._turn():
                head = self._write(record, self._write_pending(self._head()))
                if urgent:
                    self._sync()
            self._count()
            return head.n

    def append_later(self, record: Mapping[str, Any]) -> None:
        """Adds a record now, or, where that fails, before the next that can be written."""
        try:
            self.append(record)
        except OSError as error:
            with self._lock:
                self._pending.append({**record, "late": str(error)})

    def tell_lost(self) -> None:
        """Counts a record that could not be written; the next that can is preceded by one that tells how many."""
        with self._lock:
            self._lost += 1

    def sync(self) -> None:
        """Puts everything on the disk.

        Raises:
            OSError: that is not possible.
        """
        with self._lock, self._turn():
            if self._pending or self._lost:
                self._write_pending(self._head())
            self._sync()

    def close(self) -> None:
        """Puts everything on the disk and lets go of the files; a later `append` opens them again.

        Raises:
            OSError: that is not possible.
        """
        try:
            self.sync()
        finally:
            with self._lock:
                self._files.let_go()

    def forget_files(self) -> None:
        """Begins with locks and files of its own, in a process that was forked; nothing of the other's is written."""
        self._lock = threading.RLock()
        self._between = filelock.FileLock(self.folder / ".lock", timeout=_WAIT_S, thread_local=False)
        self._pending: list[Mapping[str, Any]] = []
        self._lost = 0
        self._files = LogFiles(self.folder)
        self._timer: threading.Timer | None = None
        self._sync_error: OSError | None = None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            with self._between:
                yield
        except filelock.Timeout as error:
            raise OSError(f"{self.folder}: another writer has held the log for {_WAIT_S:g} s") from error

    def _write_pending(self, head: Head) -> Head:
        if self._lost:
            head = self._write({"kind": "lost", "records": self._lost}, head)
            self._lost = 0
        while self._pending:
            head = self._write(self._pending[0], head)
            del self._pending[0]
        return head

    def _write(self, record: Mapping[str, Any], head: Head) -> Head:
        """Appends one record behind the head, and returns the new head; the turn is this writer's."""
        line, own = self._line(record, head)
        if not head.file or (head.size > 0 and head.size + len(line) > self._settings.rotate_bytes):
            head = self._begin_file(head)
            line, own = self._line(record, head)
        return self._files.put(line, replace(head, size=head.size + len(line), n=head.n + 1, hash=own))

    @staticmethod
    def _line(record: Mapping[str, Any], head: Head) -> tuple[bytes, str]:
        return written({**record, "n": head.n + 1, "time": _now()}, head.hash)

    def _begin_file(self, head: Head) -> Head:
        """Begins the next file, which says what writes it."""
        if head.file:
            self._sync()
        name = file_name(file_number(head.file) + 1)
        versions = {"axpo": own_version(), "python": ".".join(map(str, sys.version_info[:3]))}
        opening = {"kind": "file", "format": FORMAT, "log": head.log, "versions": versions}
        line, own = self._line(opening, head)
        self._files.begun = True
        return self._files.put(line, replace(head, file=name, size=len(line), n=head.n + 1, hash=own))

    def _head(self) -> Head:
        """Where the log ends, what killed writers left behind taken in or cut off."""
        said = read_head(self.folder)
        if said is not None and said.file and self._is_at(said):
            return said
        if said is not None and not said.file and not files_of(self.folder):
            return said
        found = recover(self.folder, said)
        self._files.put_head(found.head)
        for what in found.told:
            _LOGGER.warning("audit log %s: %s", self.folder, what["what"])
        self._pending[:0] = [{"kind": "repair", **what} for what in found.told]
        return found.head

    def _is_at(self, head: Head) -> bool:
        """Whether the head's file is as the head says, and is the newest."""
        number = file_number(head.file)
        if not number or os.path.exists(f"{self.folder}/{file_name(number + 1)}"):  # noqa: PTH110 - before every record
            return False
        try:
            return os.stat(f"{self.folder}/{head.file}").st_size == head.size  # noqa: PTH116
        except FileNotFoundError:
            return False

    def _count(self) -> None:
        if self._files.unsynced >= self._settings.sync_records:
            self._sync_in_time()
        elif self._files.unsynced and self._timer is None:
            self._timer = threading.Timer(self._settings.sync_seconds, self._sync_in_time)
            self._timer.daemon = True
            self._timer.start()

    def _sync_in_time(self) -> None:
        with self._lock:
            try:
                self._sync()
            except OSError as error:
                self._sync_error = error

    def _check_sync(self) -> None:
        error, self._sync_error = self._sync_error, None
        if error is not None:
            raise error

    def _sync(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._files.sync()


def _is_own(name: str) -> bool:
    return name in (HEAD, ".lock") or bool(file_number(name))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@functools.cache
def own_version() -> str:
    """The version of this distribution."""
    try:
        return version("axpo")
    except PackageNotFoundError:
        return "unknown"
