"""Defines `EnvRow`: one environment of the table, the agents that are measured in it, and what they must reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from axpo_agents.policy import TextAgent
from axpo_envs.env import ToolEnv

AgentMaker = Callable[[Any], TextAgent]
"""Makes an agent of an environment."""

COLUMNS: Final = ("expert", "floor", "blind", "single-query", "one-hop-short", "over-actor", "refuser", "probe")
"""Names of the columns that are shares of right answers, in the order shown; `snapshot` is measured of every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a share must reach, or stay below."""

    at_least: float | None = None
    """Smallest share; None for any."""
    below: float | None = None
    """Share that is not reached; None for any."""

    def holds(self, share: float) -> bool:
        """Whether a share keeps to it."""
        return (self.at_least is None or share >= self.at_least) and (self.below is None or share < self.below)

    def __str__(self) -> str:
        return f">= {self.at_least:.0%}" if self.at_least is not None else f"< {self.below or 1:.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A measured share of right answers, where no episode is played: that of a trained probe, say."""

    right: int
    """Right answers."""
    n: int
    """Answers."""
    note: str = ""
    """What must be known to read it: the guessing level, what it was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvRow:
    """One environment of the table.

    To add one, write a module with a `ROW` and name it in `axpo_benchmarks.envs._rows`.
    """

    name: str
    """What the row is called: the environment's id, with the setting where there are several."""
    env_id: str
    """Gymnasium id."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of `gymnasium.make`; the questions that are asked must be held out."""
    agents: Mapping[str, AgentMaker]
    """By column: the agent whose share of right answers stands there. Columns left out are empty."""
    expert: str = "expert"
    """The column whose episodes the cost of snapshots is measured in."""
    probe: Callable[[ToolEnv, int], Share] | None = None
    """Trains a probe and measures it on so many held-out questions; None without one."""
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    """By column: what must hold."""
