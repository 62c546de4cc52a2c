"""Defines what an audit knows of a rollout: `Transcript`, as a file tells it, and `Rollout`, as it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from axpo.diagnostics.demands import NO_DEMANDS, Attempt, Demands, Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempted tool call."""

    name: str
    """The tool's name as written; empty where none can be read."""
    readable: bool = True
    """Whether a name and arguments could be read."""
    succeeded: bool | None = None
    """Whether its execution succeeded; None where the record does not tell."""
    arguments: Any = None
    """What stands in the record as its arguments; None where the call stands in the turn's text."""
    fate: Fate | None = None
    """What the gate and the limits made of it; None where the record does not tell."""
    key: str | None = None
    """Its arguments as text, where `arguments` has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssistantTurn:
    """What the policy wrote between two inputs."""

    text: str
    """The turn without its thinking, where that is kept apart; else all of it."""
    thinking: str | None = None
    """Thinking that is kept apart; None where there is none, or it stands in the text between `<think>` tags."""
    calls: tuple[Call, ...] | None = None
    """Calls that are kept apart; None where they stand in the text."""
    results: tuple[str, ...] = ()
    """What came back, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A rollout as a file tells it."""

    question: str
    """What tells its question from others: an id, or the prompt itself."""
    turns: tuple[AssistantTurn, ...]
    """The turns."""
    reward: float | None
    """What it was rewarded; None where it was not scored."""
    step: int | None = None
    """The training step; None outside training."""
    tools: tuple[str, ...] = ()
    """Names of the tools that it was offered, where the record tells."""
    hops: int | None = None
    """Calls that the question needs at least; None where the record does not tell."""
    demands: Demands = NO_DEMANDS
    """What the question demands of acting, as far as the record tells."""
    tells_fates: bool = False
    """Whether the record tells of every call what the gate and the limits made of it."""
    cut_off: bool | None = None
    """Whether it ran into a token limit; None where the record does not tell."""
    environment: str | None = None
    """The environment, data set or family that the question is from; None where the record does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A rollout as an audit counts it."""

    question: str
    """As in `Transcript`."""
    reward: float | None
    """As in `Transcript`."""
    step: int | None
    """As in `Transcript`."""
    calls: tuple[Call, ...]
    """The attempted calls outside thinking, in order."""
    known: tuple[bool, ...]
    """For each call, whether it can be read and names a tool that was offered; all true where offers are unknown."""
    thinks: bool
    """Whether any thinking is kept."""
    mentions: bool | None
    """Whether its thinking names a tool; None where no tool is known."""
    hops: int | None
    """As in `Transcript`."""
    demands: Demands
    """As in `Transcript`."""
    attempts: tuple[Attempt, ...]
    """The calls as what a question demands looks at them."""
    fates: tuple[Fate, ...] | None
    """For each call what the gate and the limits made of it; None where the record does not tell."""
    cut_off: bool | None
    """As in `Transcript`."""
    environment: str | None
    """As in `Transcript`."""

    @property
    def used_tool(self) -> bool:
        """It opened at least one call outside its thinking."""
        return bool(self.calls)

    def useless(self, threshold: float) -> tuple[bool, ...]:
        """For each call whether it was let through and of no use; a rollout without a reward is not right.

        Args:
            threshold: a rollout with a reward below it is wrong.
        """
        right = self.reward is not None and self.reward >= threshold
        return self.demands.useless(self.attempts, right=right, hops=self.hops)
