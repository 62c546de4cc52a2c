"""Defines GRPO with a penalty for calls in the reward, as in OTC-GRPO (arXiv:2504.14870): a right answer earns less the
further its calls are from the fewest that a right answer of its group took."""

from __future__ import annotations

import math
from functools import partial
from typing import Final

from axpo.algorithm.methods._shaping import credit_of
from axpo.algorithm.methods.method import Method
from axpo.algorithm.types import Group

SMOOTHING: Final = 4
"""How slowly the reward falls where no call was needed (the c of OTC)."""


def tool_efficiency(calls: int, fewest: int) -> float:
    """OTC-GRPO's factor of the reward of a right answer, 0 to 1; 1 for the fewest calls.

    With m calls and n the fewest: 1 where both are 0; cos(m pi / (2 m + c)) where n is 0; else sin(f pi / (2 n)) with
    f = 2 n m / (m + n).

    Worked values: m = 2, n = 0, c = 4: cos(pi / 4) = 0.707. m = 3, n = 1: f = 1.5, sin(0.75 pi) = 0.707.
    """
    if calls == fewest:
        return 1.0
    if fewest == 0:
        return math.cos(calls * math.pi / (2 * calls + SMOOTHING))
    return math.sin(calls / (calls + fewest) * math.pi)


def penalized_rewards(group: Group, success_threshold: float) -> list[float]:
    """The rewards of right rollouts times their efficiency; wrong ones keep theirs. Every attempted call counts.

    Nothing is kept from earlier steps, in which a right answer may have taken fewer calls.
    """
    right = [rollout for rollout in group.rollouts if rollout.reward >= success_threshold]
    fewest = min((len(rollout.episode.calls) for rollout in right), default=0)
    return [
        rollout.reward * tool_efficiency(len(rollout.episode.calls), fewest)
        if rollout.reward >= success_threshold
        else rollout.reward
        for rollout in group.rollouts
    ]


TOOL_PENALTY: Final = Method(
    name="tool_penalty", label="GRPO, tool penalty", credit=partial(credit_of, penalized_rewards)
)
"""A right answer is worth less the more calls it took; compared with GRPO, of which it changes the reward alone.

A comparison row of AXPO (arXiv:2605.28774, ablations), whose own form of the penalty is not stated."""
