"""Defines `StepOutcome`: what a training step did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from axpo.algorithm._importance import Drift
from axpo.algorithm.types import BranchPoint, Group
from axpo.algorithm.update import UpdateStats
from axpo_agents.rolling import Lost


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """What a step did."""

    groups: tuple[Group, ...]
    """The groups it learned from, with the branches that grew."""
    points: tuple[BranchPoint, ...]
    """The prefixes that were selected."""
    given_up_prefixes: int
    """How many of them grew nothing, because infrastructure faults took all their continuations."""
    stats: UpdateStats
    """What the update did."""
    lr: float
    """The learning rate."""
    replayed: int
    """Stretches of earlier continuations that it learned from again."""
    discarded_rollouts: int
    """Rollouts and continuations that were sampled, and that the method, or dynamic sampling, did not learn from."""
    discarded_tokens: int
    """Tokens that were sampled in them."""
    lost_rollouts: Sequence[Lost]
    """Rollouts that infrastructure faults took for good."""
    lost_continuations: Sequence[Lost]
    """Continuations that they took."""
    drift: Drift | None = None
    """How far sampler and learner were apart; None where they are one."""
    staleness: tuple[int, ...] = ()
    """Updates that the weights of each sampled turn were behind the learner's, where they are not one."""
    dropped_groups: int = 0
    """Groups that were too stale to learn from."""
