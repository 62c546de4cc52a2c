"""Defines Pixel-Reasoner's curiosity (arXiv:2505.15966): calls are rewarded while they are rare, and many cost."""

from __future__ import annotations

from functools import partial
from typing import Final

from axpo.algorithm.methods._shaping import credit_of
from axpo.algorithm.methods.method import Method
from axpo.algorithm.types import Group

CURIOSITY: Final = 0.5
"""What a call is worth for each share that the group's rate of calling is short of `RATE` (the paper's alpha)."""
RATE: Final = 0.3
"""The rate of calling from which calls are no longer rewarded."""
PENALTY: Final = 0.05
"""What every call beyond `CALLS` costs (the paper's beta)."""
CALLS: Final = 1
"""Calls that cost nothing."""


def curious_rewards(group: Group, _success_threshold: float) -> list[float]:
    """r + 0.5 max(0.3 - rate, 0) - 0.05 max(calls - 1, 0) for rollouts that call a tool, right or wrong; r for others.

    The rate is the share of the group that calls; every attempted call counts.

    Worked value: of 10 rollouts one calls, 3 times: it earns 0.5 * 0.2 - 0.05 * 2 = 0 more.
    """
    rate = sum(rollout.used_tool for rollout in group.rollouts) / len(group.rollouts)
    bonus = CURIOSITY * max(RATE - rate, 0.0)
    return [
        rollout.reward + bonus - PENALTY * max(len(rollout.episode.calls) - CALLS, 0)
        if rollout.used_tool
        else rollout.reward
        for rollout in group.rollouts
    ]


PIXEL_REASONER: Final = Method(
    name="pixel_reasoner", label="GRPO, curiosity", credit=partial(credit_of, curious_rewards)
)
"""GRPO with a bonus for calls as long as few of the group call, whatever came of them, and a cost of repeated ones.

Compared with GRPO, of which it changes the reward alone, and with `tool_bonus`, which rewards right answers only."""
