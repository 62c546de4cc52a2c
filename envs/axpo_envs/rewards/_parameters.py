"""Defines the checks of rewards' parameters."""

from __future__ import annotations

import math
from typing import Any

from axpo_envs.errors import EnvConfigError


def check_number(name: str, value: Any, *, at_least: float) -> None:
    """Makes sure that a parameter is a finite number and large enough.

    Raises:
        EnvConfigError: it is not.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < at_least:
        raise EnvConfigError(f"reward: expected {name} to be a number from {at_least:g}; got {value!r}")
