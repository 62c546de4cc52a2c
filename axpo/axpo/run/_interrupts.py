"""Defines how a run reacts to Ctrl-C, to a polite request to end (SIGTERM) and to the loss of its terminal (SIGHUP)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from axpo.distributed.errors import Interrupted

__all__ = ["STOPPING", "Interrupted", "Interrupts"]

STOPPING: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a run to stop, as far as this platform has them."""


class Interrupts:
    """Turns SIGINT, SIGTERM and SIGHUP into `Interrupted`: at once, or behind a stretch that must not be torn apart.

    A second signal within such a stretch raises at once: somebody is in a hurry. Python delivers signals to its main
    thread only; elsewhere nothing is installed and signals keep their meaning, as do those that whoever started the
    process has told it to ignore (`nohup`).

    Args:
        held_back: called when a signal is held back, so that whoever sent it can be told.
    """

    def __init__(self, held_back: Callable[[], None]) -> None:
        self._held_back = held_back
        self._pending = False
        self._deferred = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches for signals while the block runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former: list[tuple[signal.Signals, Any]] = []
        try:
            for number in STOPPING:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    former.append((number, signal.signal(number, self._receive)))
            yield
        finally:
            for number, handler in former:
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Holds a first signal back until the block has ended."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._pending:
            self._pending = False
            raise Interrupted

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        if self._deferred and not self._pending:
            self._pending = True
            self._held_back()
            return
        raise Interrupted
