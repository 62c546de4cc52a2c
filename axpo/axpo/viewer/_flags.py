"""Defines `FLAGS`, what groups and rollouts can be looked for, each as a measure of the diagnostics counts it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from axpo.diagnostics.metric import Asked, Grown
from axpo.diagnostics.registry import metric_named
from axpo.records.rollout_record import GrownBranch
from axpo_envs.types import Episode


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """Something that a group or a rollout shows."""

    name: str
    """What links call it."""
    title: str
    """What people read."""
    metric: str
    """The measure that counts it."""
    of_group: bool = False
    """A group shows it as a whole; otherwise single rollouts do."""

    @property
    def meaning(self) -> str:
        """The measure's own words."""
        return metric_named(self.metric).meaning


FLAGS: Final = (
    Flag(name="all_wrong", title="All-wrong tool subgroup", metric="all_wrong_tool_subgroups", of_group=True),
    Flag(name="recovered", title="Recovered", metric="recovery_rate"),
    Flag(name="mention", title="Mention without call", metric="mention_without_call"),
    Flag(name="premature", title="Premature stop", metric="premature_stop"),
    Flag(name="failed_to_act", title="Failed to act", metric="failed_to_act"),
    Flag(name="forbidden", title="Forbidden attempt", metric="forbidden_attempt"),
    Flag(name="over_acting", title="Over-acting", metric="over_acting"),
    Flag(name="cut_off", title="Cut off", metric="cut_off_rate"),
)
"""In the order in which they are offered."""


def rollout_flags(
    episode: Episode,
    branches: Sequence[GrownBranch],
    *,
    thinking_of_tools: Callable[[Episode], bool] | None,
    success_threshold: float,
) -> frozenset[str]:
    """The names of what a rollout shows; of a branch the rewards are enough, its continuations need not be saved."""
    grown = tuple(
        Grown(source=episode, continuations=tuple(replace(episode, reward=reward) for reward in branch.rewards))
        for branch in branches
    )
    asked = Asked(
        question=episode.question,
        episodes=(episode,),
        grown=grown,
        thinking_of_tools=thinking_of_tools,
        success_threshold=success_threshold,
    )
    return frozenset(flag.name for flag in FLAGS if not flag.of_group and _shows(flag, asked))


def group_flags(episodes: Sequence[Episode], *, success_threshold: float) -> frozenset[str]:
    """The names of what the rollouts of one question show together."""
    if not episodes:
        return frozenset()
    asked = Asked(question=episodes[0].question, episodes=tuple(episodes), success_threshold=success_threshold)
    return frozenset(flag.name for flag in FLAGS if flag.of_group and _shows(flag, asked))


def _shows(flag: Flag, asked: Asked) -> bool:
    counted = metric_named(flag.metric).counted
    return counted is not None and counted(asked).part > 0
