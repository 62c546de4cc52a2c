"""Defines `BufferContent`, everything that a `GroupBuffer` holds, and `Collecting`, a group that it waits for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from axpo.algorithm.types import Group
from axpo_agents.types import Rollout
from axpo_envs.types import Question


@dataclass(slots=True, kw_only=True)
class Collecting:
    """A group with slots that are still wanted."""

    question: Question
    size: int
    rollouts: dict[int, Rollout] = field(default_factory=dict)
    losses: dict[int, int] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)

    def written(self) -> tuple[Any, ...]:
        """Its fields as immutable data, which `of` takes."""
        rollouts, losses = tuple(self.rollouts.items()), tuple(self.losses.items())
        return self.question, self.size, rollouts, losses, frozenset(self.given_up)

    @classmethod
    def of(
        cls,
        question: Question,
        size: int,
        rollouts: Iterable[tuple[int, Rollout]],
        losses: Iterable[tuple[int, int]],
        given_up: Iterable[int],
    ) -> Collecting:
        return cls(question=question, size=size, rollouts=dict(rollouts), losses=dict(losses), given_up=set(given_up))

    def wanted(self) -> list[int]:
        return [index for index in range(self.size) if index not in self.rollouts and index not in self.given_up]


@dataclass(slots=True, kw_only=True)
class BufferContent:
    """Everything a buffer holds and has counted."""

    collecting: dict[int, Collecting] = field(default_factory=dict)
    ready: dict[int, Group] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)
    next_ticket: int = 0
    version: int = 0
    dropped_faulty: int = 0
    dropped_stale: int = 0


def oldest(group: Group, default: int) -> int:
    """The oldest weights that sampled a turn of the group."""
    continuations = (continuation for branch in group.branches for continuation in branch.continuations)
    rollouts = (*group.rollouts, *continuations)
    return min((turn.policy_version for rollout in rollouts for turn in rollout.completions), default=default)
