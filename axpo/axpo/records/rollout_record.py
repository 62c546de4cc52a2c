"""Defines `RolloutRecord`, a line of `rollouts.jsonl`: a rollout as it was, and where it belongs (docs/rollouts.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from axpo_agents.types import Completion, Rollout
from axpo_envs.images import ImageRef
from axpo_envs.parsing import parse_turn
from axpo_envs.tool.marks import Mark
from axpo_envs.turn_format.tags import CALL_OPEN
from axpo_envs.types import Question, StopReason, Turn

VERSION: Final = 2
"""Of the schema; rises with every change that an older reader would misread."""


class Kind(StrEnum):
    """How a rollout came about."""

    ROLLOUT = "rollout"
    """Sampled from the question: one of its group's N."""
    CONTINUATION = "continuation"
    """Sampled after the frozen prefix of a source: one of a branch's K."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where a source was cut."""

    turn: int
    """The turn that is cut; the turns before it are frozen whole."""
    token: int
    """How many of its tokens stay frozen."""
    confidence: float
    """What the source was ranked by (0 to 1)."""

    def characters(self, text: str) -> int:
        """How many characters of the cut turn's text its frozen tokens are.

        Up to the end of the first call's opening tag; in a turn without a call, its thinking.
        """
        if self.token == 0:
            return 0
        turn = parse_turn(text)
        if turn.calls:
            return turn.calls[0].span.start + len(CALL_OPEN)
        return turn.thinking_spans[-1].stop if turn.thinking_spans else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GrownBranch:
    """What grew from a source, saved or not."""

    cut: Cut
    """Where the source was cut."""
    rewards: tuple[float, ...]
    """The rewards of the continuations, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a continuation came from."""

    rollout: int
    """Index of its source within the group."""
    cut: Cut
    """Where the source was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """A rollout as it was, and where it belongs."""

    version: int = VERSION
    """The schema's version."""
    step: int
    """The training step."""
    group: int
    """Index of the group within the step."""
    index: int
    """Index within the group's rollouts, or within the branch's continuations."""
    origin: Origin | None = None
    """A continuation's source; None for other rollouts."""
    branches: tuple[GrownBranch, ...] = ()
    """What grew from this rollout."""
    rollout: Rollout
    """The episode with its tokens; without its snapshots, which playing the turns again makes anew."""
    marks: tuple[tuple[Mark, ...], ...] = ()
    """For each call of the episode, the regions of images that it asked for, as its tool says; empty where no tool said
    any."""

    @property
    def kind(self) -> Kind:
        """How it came about."""
        return Kind.ROLLOUT if self.origin is None else Kind.CONTINUATION

    @property
    def question(self) -> Question:
        """What was asked."""
        return self.rollout.episode.question

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every turn."""
        return self.rollout.episode.turns

    @property
    def completions(self) -> tuple[Completion, ...]:
        """The turns' tokens; empty for agents that write text."""
        return self.rollout.completions

    @property
    def stop(self) -> StopReason:
        """Why it ended."""
        return self.rollout.episode.stop

    @property
    def reward(self) -> float:
        """Sum of the terms."""
        return self.rollout.reward

    @property
    def used_tool(self) -> bool:
        """It opened at least one call outside its thinking."""
        return self.rollout.used_tool

    @property
    def shown(self) -> tuple[ImageRef, ...]:
        """The prompt's images as the policy saw them; empty for agents that read no tokens."""
        return self.completions[0].context.images if self.completions else ()


def without_snapshots(rollout: Rollout) -> Rollout:
    """The rollout as a record holds it."""
    return replace(rollout, snapshots=())
