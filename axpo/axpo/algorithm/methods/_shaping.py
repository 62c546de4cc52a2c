"""Defines `credit_of`, plain group-relative credit of rewards that a method has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from axpo.algorithm.advantages import compute_advantages
from axpo.algorithm.types import Advantage, Group
from axpo.settings.config import TrainConfig

Shape: TypeAlias = Callable[[Group, float], Sequence[float]]
"""The rewards of a group's rollouts, given what a right one has at least."""


def credit_of(shape: Shape, groups: Sequence[Group], config: TrainConfig) -> tuple[Advantage, ...]:
    """Advantages among the changed rewards; the rollouts' own stay what logs and metrics show."""
    shaped = [_with_rewards(group, shape(group, config.success_threshold)) for group in groups]
    return compute_advantages(shaped, config.advantages, success_threshold=config.success_threshold)


def _with_rewards(group: Group, rewards: Sequence[float]) -> Group:
    pairs = zip(group.rollouts, rewards, strict=True)
    return replace(group, rollouts=tuple(replace(r, episode=replace(r.episode, reward=reward)) for r, reward in pairs))
