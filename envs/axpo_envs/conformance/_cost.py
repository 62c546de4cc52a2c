"""Defines `check_cost`, the conformance check that a snapshot costs the same whatever the images and the history."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from axpo_envs.conformance._invariants import Invariant, fail
from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef
from axpo_envs.types import EpisodeState, Turn

_SMALL: Final = 16
_LARGE: Final = 2048
_TURNS: Final = 2000
_FEWEST: Final = 5
_MOST: Final = 500
_LIMIT_S: Final = 0.1
_CLOCK_S: Final = 1e-6
_SLOWER: Final = 20.0
"""A copy of the large state takes more than a thousand times as long as one of the small one."""
_BYTES: Final = 16_384
"""Beyond what the small state takes; the large state has 12 MB of pixels."""


class _Cost(NamedTuple):
    seconds: float
    """Of a snapshot and a restore, the quickest of many."""
    memory: int
    """Bytes that they take at most while they run."""


def check_cost(env: ToolEnv) -> None:
    """Takes and restores snapshots of an episode with a small image and no history, and of one with a large image and
    thousands of turns, and compares what both cost, as a ratio.

    Args:
        env: the environment; it is reset.

    Raises:
        ConformanceError: the second costs more than the first by more than measuring is uncertain.
    """
    env.reset(seed=0)
    state = env.state
    small = _cost(env, _with(state, side=_SMALL, turns=0))
    large = _cost(env, _with(state, side=_LARGE, turns=_TURNS))
    env.reset(seed=0)
    if large.seconds > _SLOWER * small.seconds or large.memory > small.memory + _BYTES:
        fail(
            Invariant.SNAPSHOT_CHEAP,
            f"With an image of {_LARGE} x {_LARGE} pixels and {_TURNS} turns before it, it took "
            f"{large.seconds / small.seconds:.0f} times as long as with {_SMALL} x {_SMALL} pixels and none, and "
            f"{large.memory} bytes instead of {small.memory}.",
        )


def _with(state: EpisodeState, *, side: int, turns: int) -> EpisodeState:
    image = ImageRef(np.zeros((side, side, 3), np.uint8))
    question = replace(state.question, prompt=(image, state.question.text))
    # Every turn is an object of its own, as in an episode that was played.
    history = tuple(Turn(text=f"turn {number}", observation=("read", image)) for number in range(turns))
    return replace(state, question=question, turns=history)


def _cost(env: ToolEnv, state: EpisodeState) -> _Cost:
    env.restore(env.snapshot_of(state))

    def there_and_back() -> None:
        env.restore(env.snapshot())

    return _Cost(seconds=_quickest(there_and_back), memory=_peak(there_and_back))


def _quickest(action: Callable[[], None]) -> float:
    """Seconds of the quickest of many, or of a few where one takes long."""
    times: list[float] = []
    while len(times) < _FEWEST or (len(times) < _MOST and sum(times) < _LIMIT_S):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return max(min(times), _CLOCK_S)


def _peak(action: Callable[[], None]) -> int:
    """Bytes taken at most, beyond what was taken before."""
    running = tracemalloc.is_tracing()
    if not running:
        tracemalloc.start()
    try:
        action()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        action()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not running:
            tracemalloc.stop()
