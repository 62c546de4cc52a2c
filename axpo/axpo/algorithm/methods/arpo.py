"""Defines ARPO, agentic reinforced policy optimization (arXiv:2507.19849): branches behind uncertain tool results."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from axpo.algorithm.methods.method import Method, Rounds
from axpo.algorithm.types import BranchPoint, Group
from axpo.settings.config import TrainConfig
from axpo_agents.types import Completion, Rollout

TOKENS: Final = 20
"""The first tokens of a turn, by which its entropy is estimated."""
SLOPE: Final = 0.2
"""How much the entropy counts in the decision to branch."""
THRESHOLD: Final = 0.5
"""A draw of at most this, less the entropy's share, branches."""
VOCABULARY: Final = 151_936
"""Tokens whose logarithm makes the entropy a share: Qwen3's, whatever the model."""


def entropy_of(completion: Completion) -> float:
    """The entropy at the beginning of a turn, as a share of its greatest: the mean of -log pi over its first 20 tokens,
    divided by log 151,936; 0 for a turn without tokens."""
    first = completion.logprobs[:TOKENS]
    return -math.fsum(first) / len(first) / math.log(VOCABULARY) if first else 0.0


def branches_at(rollout: Rollout, turn: int, draw: float) -> bool:
    """Whether a rollout branches before a turn: clip(u - 0.2 dH, 0, 1) <= 0.5, dH being the turn's entropy less that of
    the first turn.

    Worked values: dH = 0.5: u = 0.6 branches (0.6 - 0.1 = 0.5), u = 0.61 does not.
    """
    change = entropy_of(rollout.completions[turn]) - entropy_of(rollout.completions[0])
    return min(max(draw - SLOPE * change, 0.0), 1.0) <= THRESHOLD


def _first_half(config: TrainConfig) -> int:
    return max(1, config.sampling.group_size // 2)


def _branch(rounds: Rounds) -> tuple[Group, ...]:
    """Grows one more rollout behind each result that is uncertain enough, and fills what is left with fresh ones."""
    rng = random.Random(rounds.seed("branching"))
    size, groups = rounds.config.sampling.group_size, rounds.groups
    deepest = max((len(rollout.completions) for group in groups for rollout in group.rollouts), default=0)
    for turn in range(1, deepest):
        points = [p for index, group in enumerate(groups) for p in _points(index, group, turn, rng, _left(group, size))]
        groups = rounds.attempt(groups, points)
    fresh = [
        _point(index, 0, group.rollouts[0], turn=0, continuations=_left(group, size))
        for index, group in enumerate(groups)
        if _left(group, size) > 0
    ]
    return rounds.attempt(groups, fresh)


def _points(index: int, group: Group, turn: int, rng: random.Random, left: int) -> Iterator[BranchPoint]:
    for number, rollout in enumerate(group.rollouts):
        if len(rollout.completions) > turn and branches_at(rollout, turn, rng.random()) and left > 0:
            left -= 1
            yield _point(index, number, rollout, turn=turn, continuations=1)


def _point(group: int, number: int, rollout: Rollout, *, turn: int, continuations: int) -> BranchPoint:
    return BranchPoint(
        group=group,
        rollout=number,
        turn=turn,
        token=0,
        confidence=1.0 - entropy_of(rollout.completions[turn]),
        snapshot=rollout.snapshots[turn],
        continuations=continuations,
    )


def _left(group: Group, size: int) -> int:
    """How many of a group's slots are empty."""
    return size - len(group.rollouts) - sum(len(branch.continuations) for branch in group.branches)


def _configure(config: TrainConfig) -> TrainConfig:
    return replace(config, advantages=replace(config.advantages, separate_groups=False))


ARPO: Final = Method(name="arpo", label="ARPO", configure=_configure, first_rollouts=_first_half, refine=_branch)
"""GRPO over N rollouts of which half start at the question and the rest behind tool results (beam 2), or at the
question where too few results are uncertain.

Compared with GRPO at the same N, and with AXPO, whose cut lies before the call. Shared tokens are trained with each
rollout that has them, as in the paper. Unlike there the entropy is estimated by the tokens that were sampled, not by
the ten most probable ones; whole turns are sampled before it is decided; what has branched off does not branch again.
"""
