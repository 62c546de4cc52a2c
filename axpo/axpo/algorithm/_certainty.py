"""Defines how certain the outcome of a continuation is, from what the step's own rollouts tell."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from axpo.algorithm.types import BranchPoint, Group
from axpo_agents.types import Rollout


def certainty(groups: Sequence[Group], point: BranchPoint, success_threshold: float) -> float:
    """(2 p - 1)^2 = 1 - 4 p (1 - p): 0 where a continuation is as likely right as wrong, 1 where it is decided.

    p is the mean of two estimates, (right + 1) / (tried + 2) each: of the question's rollouts, and of all rollouts of
    the step whose first call names the same tool. (Ours: nothing is kept from earlier steps.)

    Worked value: 1 of 4 rollouts of the question is right, 5 of 8 that call the tool: p = (2/6 + 6/10) / 2 = 0.467.
    """
    source = groups[point.group].rollouts[point.rollout]
    kin = [r for group in groups for r in group.rollouts if _first_tool(r) == _first_tool(source)]
    chance = fmean(_estimate(tried, success_threshold) for tried in (groups[point.group].rollouts, kin))
    return (2 * chance - 1) ** 2


def _estimate(rollouts: Sequence[Rollout], success_threshold: float) -> float:
    right = sum(rollout.reward >= success_threshold for rollout in rollouts)
    return (right + 1) / (len(rollouts) + 2)


def _first_tool(rollout: Rollout) -> str | None:
    """The name in the first call, empty where none can be read; None without a call."""
    calls = rollout.episode.calls
    return calls[0].call.name if calls else None
