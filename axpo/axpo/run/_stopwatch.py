"""Defines `Stopwatch`, which measures how the time of a step is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopwatch:
    """Wall-clock seconds by phase, since its making.

    Args:
        entered: told each phase as it begins.
    """

    def __init__(self, entered: Callable[[str], None]) -> None:
        self._entered = entered
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time of the block to a phase."""
        self._entered(name)
        started = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - started)

    def add(self, name: str, seconds: float) -> None:
        """Counts time that was measured elsewhere to a phase; negative time takes away."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def metrics(self) -> dict[str, float]:
        """`seconds_<phase>` for each phase, and `seconds_step` for everything so far."""
        phases = {f"seconds_{name}": seconds for name, seconds in self._seconds.items()}
        return {**phases, "seconds_step": time.perf_counter() - self._started}
