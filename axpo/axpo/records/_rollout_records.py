"""Defines the records of saved rollouts: what one line of `rollouts.jsonl` holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from axpo_envs.types import CallOutcome, Label, RewardTerm, StopReason, ToolStatus


class Kind(StrEnum):
    """How a rollout came about."""

    ROLLOUT = "rollout"
    """Sampled from the question: one of its group's N."""
    CONTINUATION = "continuation"
    """Sampled after the frozen prefix of a source: one of a branch's K."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedImage:
    """An image of a saved rollout; its pixels are in `images/<digest>.png`."""

    digest: str
    """Hash of the pixels, `ImageRef.digest`."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""


SavedParts: TypeAlias = tuple[str | SavedImage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedQuestion:
    """What was asked."""

    id: str
    """Its id."""
    prompt: SavedParts
    """Text and images, the images at original size."""
    shown: tuple[SavedImage, ...]
    """The prompt's images as the policy saw them; empty for agents that read no tokens."""
    answer: str
    """The reference answer."""
    hops: int | None
    """Tool calls needed at least."""
    labels: tuple[Label, ...]
    """Demands beyond the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCall:
    """One attempted call."""

    name: str
    """The tool's name as written."""
    arguments: str
    """Raw JSON, or the raw text between the tags where it is none."""
    outcome: CallOutcome
    """How far it got."""
    status: ToolStatus
    """How its execution ended."""
    content: SavedParts
    """What the policy read of it."""
    seconds: float
    """Wall-clock time of the execution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedTurn:
    """One assistant turn and what the environment answered."""

    text: str
    """The turn, tags and thinking included."""
    answer: str | None
    """The final answer, if it gave one."""
    calls: tuple[SavedCall, ...]
    """The attempted calls."""
    observation: SavedParts
    """What the environment answered."""
    sampled_tokens: int
    """Tokens of the turn, frozen ones included; 0 for agents that write no tokens."""
    forced_tokens: int
    """How many of them were a frozen prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCut:
    """Where a source was cut."""

    turn: int
    """The turn that is cut; the turns before it are frozen whole."""
    token: int
    """How many of its tokens stay frozen."""
    characters: int
    """How many characters of its text these are."""
    confidence: float
    """What the source was ranked by (0 to 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedBranch:
    """What grew from a source."""

    cut: SavedCut
    """Where it was cut."""
    rewards: tuple[float, ...]
    """The rewards of its continuations, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedOrigin:
    """Where a continuation came from."""

    rollout: int
    """Index of its source within the group."""
    cut: SavedCut
    """Where the source was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRollout:
    """One line of `rollouts.jsonl`."""

    step: int
    """The training step."""
    group: int
    """Index of the group within the step."""
    index: int
    """Index within the group's rollouts, or within the branch's continuations."""
    kind: Kind
    """How it came about."""
    origin: SavedOrigin | None
    """A continuation's source; None for other rollouts."""
    branches: tuple[SavedBranch, ...]
    """What grew from this rollout, saved or not."""
    question: SavedQuestion
    """What was asked."""
    turns: tuple[SavedTurn, ...]
    """Every turn."""
    stop: StopReason
    """Why it ended."""
    reward: float
    """Sum of the terms."""
    terms: tuple[RewardTerm, ...]
    """The named parts of the reward."""
    sampled_tokens: int
    """Tokens that the policy wrote, frozen ones included."""
    context_tokens: int
    """Tokens that it read."""

    @property
    def used_tool(self) -> bool:
        """It opened at least one call outside its thinking."""
        return any(turn.calls for turn in self.turns)
