"""Defines the copy of a scratch folder for a branch: files as they are, holes, hard links and open files included.

The folder copied is one that sandboxed code has filled, at rest meanwhile. Still, every name is looked up beneath it,
following no link of any kind and crossing no mount; only regular files are opened; and the copy yields to other
work every few milliseconds.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from axpo_envs.backends.python_sandbox import _kernel as kernel

_SLICE_S: Final = 0.002
_CHUNK: Final = 1 << 20
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY
KEPT_FLAGS: Final = os.O_ACCMODE | os.O_APPEND | os.O_NONBLOCK | os.O_SYNC | os.O_DSYNC
"""What is kept of the flags with which a file was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """A file that is open in an interpreter at rest."""

    number: int
    """Its file descriptor."""
    flags: int
    """How it was opened, of `KEPT_FLAGS`."""
    position: int
    """Where the next byte is read."""
    inode: int
    """The file's number in the scratch folder; 0 where it is not in it."""
    deleted: bool
    """It has no name any more."""


@dataclass(slots=True, kw_only=True)
class Copied:
    """What a copy of a tree has in it of what the interpreter was using: file descriptors, the holder's to close."""

    files: list[tuple[int, int]] = field(default_factory=list)
    """The copies of its open files, and the numbers they have in it."""
    folder: int | None = None
    """The copy of its working folder, where that is in the tree."""

    def close(self) -> None:
        """Closes them."""
        for descriptor, _ in self.files:
            os.close(descriptor)
        if self.folder is not None:
            os.close(self.folder)
        self.files, self.folder = [], None


@dataclass(slots=True)
class _Level:
    """A folder on the way down, and its copy."""

    source: int
    target: int
    entries: Iterator[str]
    mode: int
    times: tuple[int, int]


async def copy_tree(
    source: int, target: int, name: str, *, used: Iterable[OpenFile], folder: int, deadline: float
) -> Copied:
    """Copies what is in a folder at rest into an empty one.

    Args:
        source: a file descriptor of the folder that it is in.
        target: one of the folder that the empty one is in, which is a file system of its own.
        name: the name that both have.
        used: files that are open; those in the tree are opened again in the copy.
        folder: the number of the working folder in the tree, or 0.
        deadline: when to give up, by the monotonic clock.

    Raises:
        TimeoutError: the deadline has passed.
        OSError: it cannot be copied.
    """
    copy = _Copy(used, folder)
    try:
        await in_slices(copy.steps(source, target, name), deadline)
        return copy.copied
    except BaseException:
        copy.copied.close()
        raise
    finally:
        copy.close()


async def in_slices(steps: Iterator[None], deadline: float) -> None:
    """Does all steps, with other work in between.

    Raises:
        TimeoutError: the deadline, by the monotonic clock, has passed.
    """
    slice_end = time.monotonic() + _SLICE_S
    for _ in steps:
        now = time.monotonic()
        if now > deadline:
            raise TimeoutError("its files take too long to copy")
        if now > slice_end:
            await asyncio.sleep(0)
            slice_end = time.monotonic() + _SLICE_S


class _Copy:
    """A copy in progress.

    Folders are entered and left one by one, so that however deep they are two descriptors are open at a time.
    """

    def __init__(self, used: Iterable[OpenFile], folder: int) -> None:
        self.copied = Copied()
        self._used: dict[int, list[OpenFile]] = {}
        for file in used:
            if file.inode and not file.deleted:
                self._used.setdefault(file.inode, []).append(file)
        self._folder = folder
        self._linked: dict[int, int] = {}
        self._levels: list[_Level] = []

    def close(self) -> None:
        """Closes what is open because of the copy itself."""
        for descriptor in self._linked.values():
            os.close(descriptor)
        for level in self._levels:
            os.fchmod(level.source, level.mode)
            os.close(level.source)
            os.close(level.target)
        self._linked, self._levels = {}, []

    def steps(self, source: int, target: int, name: str) -> Iterator[None]:
        """Does the copy; what is yielded is the opportunity to do other things."""
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        self._enter(_open(source, name, _FOLDER, status), kernel.open_beneath(target, name, _FOLDER), status)
        while self._levels:
            level = self._levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                self._leave()
            else:
                yield from self._copy_entry(level, entry)
            yield

    def _enter(self, source: int, target: int, status: os.stat_result) -> None:
        times = (status.st_atime_ns, status.st_mtime_ns)
        level = _Level(source, target, iter(()), stat.S_IMODE(status.st_mode), times)
        self._levels.append(level)
        level.entries = iter(sorted(os.listdir(source)))
        if status.st_ino == self._folder:
            self.copied.folder = os.dup(target)

    def _leave(self) -> None:
        level = self._levels.pop()
        try:
            os.utime(level.target, ns=level.times)
            os.fchmod(level.target, level.mode)
            # What could not be entered before was made so for the time of the copy.
            os.fchmod(level.source, level.mode)
        finally:
            os.close(level.source)
            os.close(level.target)

    def _copy_entry(self, level: _Level, name: str) -> Iterator[None]:
        status = os.stat(name, dir_fd=level.source, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=level.source), name, dir_fd=level.target)
            times = (status.st_atime_ns, status.st_mtime_ns)
            os.utime(name, ns=times, dir_fd=level.target, follow_symlinks=False)
        elif kind == stat.S_IFDIR:
            inner = _open(level.source, name, _FOLDER, status)
            os.mkdir(name, 0o700, dir_fd=level.target)
            self._enter(inner, kernel.open_beneath(level.target, name, _FOLDER), status)
        elif kind == stat.S_IFREG:
            yield from self._copy_file(level, name, status)
        # Pipes and the like are left out: they hold nothing, but connect whoever opens them.

    def _copy_file(self, level: _Level, name: str, status: os.stat_result) -> Iterator[None]:
        if status.st_ino in self._linked:
            # By descriptor, for its first name may be deeper than a path can be long.
            first = f"/proc/self/fd/{self._linked[status.st_ino]}"
            os.link(first, name, dst_dir_fd=level.target, follow_symlinks=True)
            return
        source = _open(level.source, name, os.O_RDONLY, status)
        try:
            target = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=level.target)
            try:
                yield from copy_data(source, target, status.st_size)
                for file in self._used.get(status.st_ino, ()):
                    self.copied.files.append((reopen(target, file), file.number))
                os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
                os.fchmod(target, stat.S_IMODE(status.st_mode))
                if status.st_nlink > 1:
                    self._linked[status.st_ino] = os.dup(target)
            finally:
                os.close(target)
        finally:
            os.fchmod(source, stat.S_IMODE(status.st_mode))
            os.close(source)


def copy_data(source: int, target: int, size: int) -> Iterator[None]:
    """Copies a file's data where it has any, leaving its holes; what is yielded is as in `_Copy.steps`."""
    os.ftruncate(target, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        while at < end:
            data = os.pread(source, min(_CHUNK, end - at), at)
            if not data:
                return
            at += os.pwrite(target, data, at)
            yield


def reopen(copy: int, file: OpenFile) -> int:
    """Opens a file once more, as one was opened in an interpreter, at the same position."""
    opened = os.open(f"/proc/self/fd/{copy}", file.flags | os.O_CLOEXEC)
    os.lseek(opened, file.position, os.SEEK_SET)
    return opened


def _open(folder: int, name: str, flags: int, status: os.stat_result) -> int:
    """Opens an entry, of which its owner may have forbidden to be read: that is allowed again until it is copied."""
    needed = 0o700 if flags & os.O_DIRECTORY else 0o400
    if status.st_mode & needed != needed:
        handle = kernel.open_beneath(folder, name, os.O_PATH | flags & os.O_DIRECTORY)
        try:
            Path(f"/proc/self/fd/{handle}").chmod(stat.S_IMODE(status.st_mode) | needed)
        finally:
            os.close(handle)
    return kernel.open_beneath(folder, name, flags)
