"""Defines `Engine`: a device that samples the turns of many episodes at a time, as servers do.

All turns that are under way advance together, a token each per step of the engine, and a step takes `step_s` and
`row_s` for every turn. So progress is counted in tokens since the engine's start: a turn of n tokens that begins at
progress p ends at p + n, however many others come and go, and only the nearest end has to be known.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import Final

NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Turn:
    """A turn that is asked for."""

    tokens: float
    """How many it will have."""
    read: float = 0.0
    """Seconds of reading what is new of its context, which no other turn waits for."""
    episode: int = 0
    """Whose it is."""


class Engine:
    """One device that samples.

    Args:
        step_s: seconds of a token of all turns that are under way.
        row_s: seconds of it for each of them.
        most: turns that may be under way at a time; others wait in their order.
    """

    def __init__(self, *, step_s: float, row_s: float, most: int) -> None:
        self._step_s = step_s
        self._row_s = row_s
        self._most = most
        self._clock = 0.0
        self._progress = 0.0
        self._ends: list[tuple[float, int, Turn]] = []
        self._waiting: deque[Turn] = deque()
        self._asked = 0
        self._closed_until = 0.0
        self._is_closing = False
        self.busy_s = 0.0
        """Seconds in which turns were under way."""
        self.tokens = 0.0
        """Tokens that it wrote."""

    @property
    def load(self) -> int:
        """Turns that are under way or wait."""
        return len(self._ends) + len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether no turn is under way."""
        return not self._ends

    def ask(self, turn: Turn, *, now: float) -> None:
        """Takes a turn."""
        self.advance(now)
        self._waiting.append(turn)
        self._admit()

    def close(self) -> None:
        """No turn begins until `open`: new weights are on their way, and turns under way are waited for."""
        self._is_closing = True

    def open(self, *, now: float, after: float) -> None:
        """Takes turns again once so many seconds have passed, which new weights need."""
        self.advance(now)
        self._is_closing = False
        self._closed_until = now + after
        self._admit()

    def next_event(self) -> float:
        """When a turn ends next, or waiting ones may begin."""
        if self._ends:
            return self._clock + max(0.0, self._ends[0][0] - self._progress) * self._pace
        if self._waiting and not self._is_closing:
            return max(self._clock, self._closed_until)
        return NEVER

    def advance(self, now: float) -> None:
        """Lets time pass; `finished` must be asked at every `next_event`."""
        passed = max(0.0, now - self._clock)
        if self._ends:
            tokens = passed / self._pace
            self._progress += tokens
            self.busy_s += passed
            self.tokens += tokens * len(self._ends)
        self._clock = max(self._clock, now)

    def finished(self, *, now: float) -> list[Turn]:
        """The turns that have ended by now; waiting ones take their places."""
        self.advance(now)
        ended = []
        while self._ends and self._ends[0][0] <= self._progress + 1e-6:
            ended.append(heapq.heappop(self._ends)[2])
        self._admit()
        return ended

    @property
    def _pace(self) -> float:
        """Seconds of a token at the load of now."""
        return self._step_s + self._row_s * len(self._ends)

    def _admit(self) -> None:
        if self._is_closing or self._clock < self._closed_until:
            return
        while self._waiting and len(self._ends) < self._most:
            turn = self._waiting.popleft()
            self._asked += 1
            # Reading is as long as so many tokens at the pace of now.
            pace = self._step_s + self._row_s * (len(self._ends) + 1)
            end = self._progress + turn.tokens + (turn.read / pace if pace else 0.0)
            heapq.heappush(self._ends, (end, self._asked, turn))
