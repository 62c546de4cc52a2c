"""Defines `Retries`: how often a request to a service is tried, and how long is waited in between.

A value that users set and settings hold, and one formula. Turns of episodes are tried again by it as well as requests,
so that no one loop runs all attempts, which is what tenacity would bring.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from axpo_envs.errors import EnvConfigError

_MOST_DOUBLED: Final = 1000
"""Doublings of a wait that a float holds: what fails for days is far beyond the longest wait by then."""
# A generator of its own: drawing from the module's would disturb a program that seeded it.
_RANDOM: Final = random.Random()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a request is tried, and how long is waited in between."""

    attempts: int = 5
    """Attempts in all, at least 1."""
    first_wait_s: float = 0.5
    """Seconds after the first failure, doubled by every further one; half of it is drawn at random."""
    longest_wait_s: float = 60.0
    """No wait is longer. A service that asks for more (`Retry-After`) is given up at once."""
    sleep: Callable[[float], None] = time.sleep
    """Waits that many seconds."""
    jitter: Callable[[], float] = _RANDOM.random
    """Draws from [0, 1), so that clients that failed together do not return together."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_wait_s < 0 or self.longest_wait_s < 0:
            raise EnvConfigError(f"expected attempts >= 1 and waits >= 0 seconds; got {self}")

    def wait_s(self, failures: int, asked_s: float = 0.0) -> float:
        """Seconds to wait after that many failures: what the service asked for, or more."""
        whole = min(self.first_wait_s * 2.0 ** min(failures - 1, _MOST_DOUBLED), self.longest_wait_s)
        return max(asked_s, whole * (0.5 + 0.5 * self.jitter()))


def asked_seconds(retry_after: str) -> float:
    """A `Retry-After` header in seconds: it is a number or an HTTP date; 0 for anything else."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
