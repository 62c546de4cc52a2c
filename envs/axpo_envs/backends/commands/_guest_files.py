"""Defines how the guest writes a tree into a folder, and reads what commands have left there.

The folder read is one that hostile code has filled; all of that code is dead. Every name is looked up in its folder, no
link is followed, and only regular files are opened.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

MOST_DEPTH: Final = 64
"""Folders in each other."""
_MOST_PATH: Final = 1_000
_DATE: Final = 1_767_268_800
"""When every file was changed last, as far as commands see: 2026-01-01 12:00 UTC, in seconds since 1970."""
_CHUNK: Final = 1 << 20

Header = dict[str, Any]


class TooMuchError(Exception):
    """What is in the folder cannot be kept; the message says why."""


def write_tree(top: str, entries: Sequence[Header], body: memoryview) -> None:
    """Writes entries into an empty folder.

    Args:
        top: the folder.
        entries: path, kind, mode, size and date of each, folders before what is in them.
        body: the contents, one after the other.
    """
    os.umask(0)
    at = 0
    for entry in entries:
        path = Path(top, entry["path"])
        data = body[at : at + entry["size"]]
        at += entry["size"]
        if entry["kind"] == "folder":
            path.mkdir(0o700)
        elif entry["kind"] == "link":
            path.symlink_to(os.fsdecode(bytes(data)))
        else:
            with path.open("xb", buffering=0) as file:
                while data:
                    data = data[file.write(data) :]
                os.fchmod(file.fileno(), entry["mode"])
        _date(path, entry["changed"])
    # What is in a folder changes its date, and cannot be written into one that forbids it.
    for entry in reversed(entries):
        if entry["kind"] == "folder":
            path = Path(top, entry["path"])
            _date(path, 0)
            path.chmod(entry["mode"])
    _date(Path(top), 0)


def _date(path: Path, changed: int) -> None:
    os.utime(path, (_DATE + changed, _DATE + changed), follow_symlinks=False)


class Collector:
    """Reads a folder.

    Args:
        known: digests of the contents that the host has.
        most_files: entries that may be there.
        most_bytes: bytes that they may hold.
        began: when the command did, in seconds since 1970.
        change: the number of the command's change, for the files that have a date after that.
    """

    def __init__(self, known: frozenset[str], *, most_files: int, most_bytes: int, began: float, change: int) -> None:
        self._known = known
        self._began = began
        self._change = change
        self._left = most_files
        self._bytes = most_bytes
        self._device = 0
        self.entries: list[Header] = []
        """Path, kind, mode, date and digest of each; a size, too, where its content is among the contents."""
        self.contents: list[bytes] = []
        """The contents that the host does not have, in the order of the entries."""

    def collect(self, top: str) -> None:
        """Reads everything.

        Raises:
            TooMuchError: there is more than may be.
            OSError: it cannot be read.
        """
        descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            self._device = os.fstat(descriptor).st_dev
            self._folder(descriptor, "", 0)
        finally:
            os.close(descriptor)

    def _folder(self, folder: int, path: str, depth: int) -> None:
        if depth > MOST_DEPTH:
            raise TooMuchError(f"its folders are in each other more than {MOST_DEPTH} times")
        for name in sorted(os.listdir(folder)):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if status.st_dev != self._device:
                # An installation of Python that is shown here.
                continue
            where = f"{path}/{name}" if path else name
            self._left -= 1
            if self._left < 0:
                raise TooMuchError("it holds too many files")
            if len(os.fsencode(where)) > _MOST_PATH:
                raise TooMuchError(f"it holds a path of more than {_MOST_PATH} bytes")
            kind, mode = stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode) & 0o777
            if kind == stat.S_IFLNK:
                self._add(where, status, os.fsencode(os.readlink(name, dir_fd=folder)))
            elif kind == stat.S_IFDIR:
                self.entries.append({"path": where, "kind": "folder", "mode": mode})
                inner = _opened(folder, name, os.O_DIRECTORY, mode, 0o700)
                try:
                    self._folder(inner, where, depth + 1)
                finally:
                    os.close(inner)
            elif kind == stat.S_IFREG:
                self._add(where, status, self._read(folder, name, mode, status.st_size))
            # Pipes, sockets and devices are left out: they hold nothing.

    def _read(self, folder: int, name: str, mode: int, size: int) -> bytes:
        if size > self._bytes:
            raise TooMuchError("it holds too many bytes")
        file = _opened(folder, name, 0, mode, 0o400)
        try:
            return b"".join(_chunks(file, size))
        finally:
            os.close(file)

    def _add(self, path: str, status: os.stat_result, data: bytes) -> None:
        self._bytes -= len(data)
        if self._bytes < 0:
            raise TooMuchError("it holds too many bytes")
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        link = stat.S_ISLNK(status.st_mode)
        entry: Header = {"path": path, "kind": "link" if link else "file", "digest": digest}
        entry["mode"] = stat.S_IMODE(status.st_mode) & 0o777
        entry["changed"] = self._change if status.st_mtime >= self._began else max(0, int(status.st_mtime) - _DATE)
        if digest not in self._known:
            entry["size"] = len(data)
            self.contents.append(data)
            self._known |= {digest}
        self.entries.append(entry)


def _chunks(file: int, size: int) -> Iterator[bytes]:
    while size > 0:
        data = os.read(file, min(_CHUNK, size))
        if not data:
            return
        size -= len(data)
        yield data


def _opened(folder: int, name: str, flags: int, mode: int, needed: int) -> int:
    """Opens an entry, of which its owner may have forbidden to be read."""
    if mode & needed != needed:
        os.chmod(name, mode | needed, dir_fd=folder)
    return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, dir_fd=folder)
