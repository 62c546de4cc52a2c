"""Defines `Cost`, how much was sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from axpo.algorithm.types import Group


class Cost(NamedTuple):
    """How much was sampled; costs are subtracted and added field by field."""

    rollouts: int = 0
    """Episodes, continuations included."""
    tokens: int = 0
    """Tokens that were sampled in them; a frozen prefix counts once."""

    def plus(self, other: Cost) -> Cost:
        """Both together."""
        return Cost(self.rollouts + other.rollouts, self.tokens + other.tokens)

    def minus(self, other: Cost) -> Cost:
        """What is left without the other."""
        return Cost(self.rollouts - other.rollouts, self.tokens - other.tokens)


def cost_of(groups: Sequence[Group]) -> Cost:
    """What the groups' rollouts and continuations cost."""
    grown = [(c, branch.point) for group in groups for branch in group.branches for c in branch.continuations]
    whole = [rollout for group in groups for rollout in group.rollouts]
    tokens = sum(len(turn.ids) for rollout in whole for turn in rollout.completions)
    tokens += sum(sum(len(turn.ids) for turn in one.completions[p.turn :]) - p.token - len(p.added) for one, p in grown)
    return Cost(len(whole) + len(grown), tokens)
