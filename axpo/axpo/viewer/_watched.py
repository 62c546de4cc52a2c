"""Defines `Watched`: what was read from files, kept for as long as they do not change."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")
Stamp: TypeAlias = tuple[int, int, int] | None


def stamp_of(path: Path) -> Stamp:
    """What tells a file's content from an earlier one: number, size and time of change; None where it is missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class Watched(Generic[T]):
    """Values by key, each with what it was made of; the ones that were asked for last are kept.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[Hashable, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, made_of: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made anew where it was made of something else. Two threads may make one at a time."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None and found[0] == made_of:
                self._kept.move_to_end(key)
                return found[1]
        value = make()
        with self._lock:
            self._kept[key] = (made_of, value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value
