"""Defines GRPO with a bonus for calls in the reward: r + 0.1 calls, if the answer is right.

The form of PyVision-RL, and of DeepEyes (arXiv:2505.14362), whose bonus does not grow with the calls; a comparison row
of AXPO (arXiv:2605.28774, ablations).
"""

from __future__ import annotations

from functools import partial
from typing import Final

from axpo.algorithm.methods._shaping import credit_of
from axpo.algorithm.methods.method import Method
from axpo.algorithm.types import Group

BONUS: Final = 0.1
"""What a call adds to the reward of a right answer."""


def bonus_rewards(group: Group, success_threshold: float) -> list[float]:
    """r + 0.1 calls for right rollouts, r for wrong ones; every attempted call counts.

    Worked value: rewards (1, 1, 0) with (0, 2, 3) calls become (1, 1.2, 0).
    """
    return [
        rollout.reward + BONUS * len(rollout.episode.calls) * (rollout.reward >= success_threshold)
        for rollout in group.rollouts
    ]


TOOL_BONUS: Final = Method(name="tool_bonus", label="GRPO, tool bonus", credit=partial(credit_of, bonus_rewards))
"""A right answer is worth more if it took calls; compared with GRPO, of which it changes the reward alone."""
