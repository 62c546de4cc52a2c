"""Defines the algorithm's vocabulary: branch points, branches, groups and advantages."""

from __future__ import annotations

from dataclasses import dataclass, replace

from axpo_agents.types import Rollout
from axpo_envs.snapshot import Snapshot
from axpo_envs.types import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchPoint:
    """A moment of a rollout from which continuations are sampled."""

    group: int
    """Index of the group within the step."""
    rollout: int
    """Index of the source within its group's rollouts."""
    turn: int
    """The turn that is cut."""
    token: int
    """Number of that turn's sampled tokens that stay frozen; 0 resamples the whole turn."""
    confidence: float
    """What the candidates were ranked by, 0 to 1: mean sampling probability of the first call's tokens; under
    `Cut.NO_TOOL`, and behind a result, of tokens behind the cut; under `Ranking.VALUE`, how certain the outcome is."""
    snapshot: Snapshot
    """The environment before that turn."""
    continuations: int = 4
    """How many continuations grow from it (K)."""
    added: tuple[int, ...] = ()
    """Token ids that the continuations begin with behind the frozen ones, which the source does not have."""
    added_logprobs: tuple[float, ...] = ()
    """Their log-probabilities there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """The continuations grown from one point."""

    point: BranchPoint
    """Where they start."""
    continuations: tuple[Rollout, ...]
    """Whole rollouts: the turns before the point are the source's, the frozen tokens count as `forced`. Fewer than
    `point.continuations` where infrastructure faults took some for good; never none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rollouts of one question in one step."""

    question: Question
    """The question."""
    rollouts: tuple[Rollout, ...]
    """The N rollouts."""
    branches: tuple[Branch, ...] = ()
    """Branches grown from some of them."""

    def with_branches(self, branches: tuple[Branch, ...]) -> Group:
        """The same group with these branches."""
        return replace(self, branches=branches)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advantage:
    """The advantage of a stretch of one rollout's sampled tokens."""

    rollout: Rollout
    """The rollout it applies to."""
    value: float
    """The advantage (dimensionless)."""
    start: int
    """First position it applies to, in `rollout.sequence().ids`; positions not sampled in between are never trained."""
    stop: int
    """One past the last position."""
    group: int
    """Index of the group within the batch; mini-batches keep groups whole."""
