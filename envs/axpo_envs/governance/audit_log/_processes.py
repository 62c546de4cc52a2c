"""Defines `keep_track`, by which logs are put on the disk when a process ends, and begin anew in forked ones."""

from __future__ import annotations

import atexit
import os
import weakref
from contextlib import suppress
from typing import Final, Protocol


class Tracked(Protocol):
    """A log."""

    def close(self) -> None:
        """Puts everything on the disk."""
        ...

    def forget_files(self) -> None:
        """Begins with locks and files of its own."""
        ...


_LOGS: Final[weakref.WeakSet[Tracked]] = weakref.WeakSet()


def keep_track(log: Tracked) -> None:
    """Sees to a log from now on, as long as there is one."""
    _LOGS.add(log)


def _at_exit() -> None:
    for log in list(_LOGS):
        # What is written is written, whether or not the disk can take it now.
        with suppress(OSError):
            log.close()


def _after_fork() -> None:
    for log in list(_LOGS):
        log.forget_files()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
