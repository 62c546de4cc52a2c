"""Defines `Countdown`, which says how much of some work is left, and `duration`, a time in words."""

from __future__ import annotations

import time


class Countdown:
    """Tells how much of some work is done and how long the rest will take, if it goes on as it went so far."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, share: float) -> str:
        """The finished share (0 to 1) in words, such as `40%, about 2 min left`."""
        if not 0 < share < 1:
            return f"{share:.0%}"
        return f"{share:.0%}, about {duration((time.monotonic() - self._started) * (1 - share) / share)} left"


def duration(seconds: float) -> str:
    """A time in words.

    Worked values: 45.2 gives `45 s`, 200 gives `3 min`, 4000 gives `1 h 7 min`.
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
