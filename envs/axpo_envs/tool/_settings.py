"""Defines `ToolSettings`, the arguments of `@tool(...)`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from axpo_envs.engine._frozen import ADVICE, find_mutable
from axpo_envs.errors import EnvConfigError
from axpo_envs.tool.protocol import Effects


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSettings:
    """What `@tool(...)` says of a function beyond its signature and docstring.

    Raises:
        EnvConfigError: they cannot be used.
    """

    name: str | None = None
    """The tool's name; the function's by default."""
    description: str | None = None
    """What it does; the docstring without its sections by default."""
    effects: Effects | str | None = None
    """What executing it does: "pure", "stateful" or "external"; by default stateful with an initial state, else
    pure."""
    initial_state: Any = None
    """Immutable data, or a function that makes it of the question; None for a tool that keeps no state."""
    timeout_s: float | None = None
    """Seconds after which a call is stopped (see `Tool.timeout_s`); None for no limit."""
    errors: tuple[type[Exception], ...] = ()
    """Exception types of the function that are the policy's to read."""

    def __post_init__(self) -> None:
        if self.effects is not None and self.effects not in tuple(Effects):
            raise EnvConfigError(f"expected effects to be one of {', '.join(Effects)}; got {self.effects!r}")
        if (self.chosen_effects is Effects.STATEFUL) != self.keeps_state and self.effects != Effects.EXTERNAL:
            raise EnvConfigError(
                "a tool keeps a state if and only if it has an initial_state and is stateful or external; "
                f"got initial_state {self.initial_state!r}, effects {self.effects!r}"
            )
        if isinstance(self.initial_state, type):
            raise EnvConfigError(
                f"expected initial_state to be a value or a function of the question; got {self.initial_state!r}"
            )
        if not callable(self.initial_state) and (problem := find_mutable(self.initial_state)):
            raise EnvConfigError(f"initial_state: {problem}; {ADVICE}")
        if self.timeout_s is not None and not 0 < self.timeout_s < math.inf:
            raise EnvConfigError(f"expected timeout_s > 0 seconds or None; got {self.timeout_s}")
        kinds = self.errors if isinstance(self.errors, tuple) else (None,)
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise EnvConfigError(f"expected errors to be a tuple of exception types; got {self.errors!r}")

    @property
    def keeps_state(self) -> bool:
        """Whether there is an initial state."""
        return self.initial_state is not None

    @property
    def chosen_effects(self) -> Effects:
        """The effects, or their default."""
        if self.effects is None:
            return Effects.STATEFUL if self.keeps_state else Effects.PURE
        return Effects(self.effects)
