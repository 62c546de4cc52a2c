"""Defines `Heartbeat`, which says at intervals that work goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from axpo.run.countdown import duration

FIRST_S: Final = 15.0
"""Seconds without a line after which one is written."""
LONGEST_S: Final = 60.0
"""The same for work that has been going on for long."""


class Heartbeat:
    """Writes a line whenever none was written for a while. A context manager: it beats while the block runs.

    Args:
        write: writes a line; called from a thread of its own.
        first_s: seconds without a line after which one is written, at first.
    """

    def __init__(self, write: Callable[[str], None], *, first_s: float = FIRST_S) -> None:
        self._write = write
        self._first_s = first_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._state = ""
        self._began = self._entered = self._spoken = time.monotonic()

    def doing(self, state: str) -> None:
        """Tells what is being done from now on, in a few words."""
        if state != self._state:
            self._state, self._entered = state, time.monotonic()

    def spoke(self) -> None:
        """Tells that a line was written elsewhere."""
        self._spoken = time.monotonic()

    def __enter__(self) -> Self:
        self._stopped.clear()
        self._began = time.monotonic()
        self.spoke()
        self._thread = threading.Thread(target=self._beat, name="axpo-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _beat(self) -> None:
        while not self._stopped.wait(max(0.01, self._spoken + self._pause_s() - time.monotonic())):
            now = time.monotonic()
            if now >= self._spoken + self._pause_s():
                self._spoken = now
                self._write(f"{self._state or 'working'}, {duration(now - self._entered)} so far")

    def _pause_s(self) -> float:
        return min(max(LONGEST_S, self._first_s), max(self._first_s, (time.monotonic() - self._began) / 20))
