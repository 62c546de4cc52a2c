"""Defines `measure_pairs`, which times two ways of doing the same in turns, so that both meet the same machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

from axpo_benchmarks.speed.rows import Ratio

REPEATS: Final = 5
"""How often each way is timed where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Seconds of two ways, timed in turns: first, second, first, second, ..."""

    first: tuple[float, ...]
    """Seconds of the first way."""
    second: tuple[float, ...]
    """Seconds of the second way, as many."""

    def ratio(self, name: str, target: float | None) -> Ratio:
        """Median seconds of the first way over median seconds of the second."""
        return Ratio(name=name, ratio=median(self.first) / median(self.second), target=target)


def measure_pairs(
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    repeats: int,
    prepare: Callable[[], object] = lambda: None,
) -> Pairs:
    """Times two ways in turns.

    Args:
        first: the first way.
        second: the second way.
        repeats: how often each is timed, after one call of each that is not.
        prepare: called before every call of either; its time does not count.
    """
    timings: tuple[list[float], list[float]] = ([], [])
    for _ in range(1 + repeats):
        for action, seconds in zip((first, second), timings, strict=True):
            prepare()
            started = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - started)
    return Pairs(first=tuple(timings[0][1:]), second=tuple(timings[1][1:]))
