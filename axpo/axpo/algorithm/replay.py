"""Defines replay: continuations that recovered are learned from again, for some steps (after SPEAR,
arXiv:2509.22601)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import fmean, median
from typing import Final

from axpo.algorithm.batching import TrainItem, item_of
from axpo.algorithm.types import Advantage, Group
from axpo.settings.config import ReplayConfig
from axpo_envs.plumbing.data_format import read_data, write_data
from axpo_envs.plumbing.sealed import seal, unseal

_TITLE: Final = b"AXPO-REPLAY-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A stretch of a continuation that recovered its prefix."""

    step: int
    """The step that sampled it."""
    reward: float
    """What the continuation earned."""
    item: TrainItem
    """Its tokens, with the log-probabilities that they were sampled with; advantage and weight are those of `recalled`
    once it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What is known of earlier steps."""

    kept: tuple[Kept, ...] = ()
    """Oldest first."""
    baselines: tuple[tuple[int, float], ...] = ()
    """Step and mean reward of every group, oldest first."""


@dataclass(slots=True)
class ReplayMemory:
    """What a run remembers from step to step: beside the weights and the optimizer, all that a step depends on."""

    content: Remembered = field(default_factory=Remembered)
    """Replaced by each step."""

    def to_bytes(self) -> bytes:
        """Everything in it, to the bit."""
        return seal(_TITLE, write_data(self.content), key=None)

    @classmethod
    def from_bytes(cls, data: bytes) -> ReplayMemory:
        """The memory that `to_bytes` wrote; nothing in the bytes is executed.

        Raises:
            ValueError: they are no memory of this version, or are damaged.
        """
        content = read_data(unseal(_TITLE, data, key=None))
        if not isinstance(content, Remembered):
            raise ValueError(f"expected what a run remembers; got {type(content).__name__}")
        return cls(content)


def recalled(content: Remembered, step: int, config: ReplayConfig) -> tuple[TrainItem, ...]:
    """What a step learns from again: the newest `config.most` continuations of the last `config.steps` steps that
    earned more than the median group of those did on average.

    The advantage of each is r - median, in place of that among its siblings, which the policy has left behind. The
    ratio of Eq. 6 is to the policy that sampled it, and its upper bound ends what can be gained from one continuation.

    Worked value: groups with mean rewards 0, 0.25 and 0.5: a right continuation has 1 - 0.25 = 0.75.
    """
    baselines = [mean for then, mean in content.baselines if then >= step - config.steps]
    if not baselines:
        return ()
    baseline, weight = median(baselines), replay_weight(config, step)
    better = (
        replace(kept.item, advantage=kept.reward - baseline, weight=weight)
        for kept in reversed(content.kept)
        if step - config.steps <= kept.step and kept.reward > baseline
    )
    return tuple(islice(better, config.most)) if weight > 0 else ()


def replay_weight(config: ReplayConfig, step: int) -> float:
    """The weight of what a step replays: `config.weight`, reached along half a cosine in `config.warmup_steps` steps.

    Worked values: weight 1 and 4 steps: 0.146, 0.5, 0.854, 1, 1, ...
    """
    done = min(1.0, step / config.warmup_steps) if config.warmup_steps else 1.0
    return config.weight * 0.5 * (1 - math.cos(math.pi * done))


def remembered(
    content: Remembered, groups: Sequence[Group], advantages: Sequence[Advantage], step: int, config: ReplayConfig
) -> Remembered:
    """What is known after a step: its continuations with a positive advantage, and its groups' mean rewards, behind
    those that the next step can still use.

    A positive advantage among its siblings (Eq. 2) has a continuation only where some recovered and some did not. What
    is kept is what that advantage covered: the frozen prefix is not.
    """
    first = step + 1 - config.steps
    new = (Kept(step=step, reward=a.rollout.reward, item=item_of(a, weight=1.0)) for a in _gained(groups, advantages))
    means = ((step, fmean(rollout.reward for rollout in group.rollouts)) for group in groups)
    return Remembered(
        kept=(*(kept for kept in content.kept if kept.step >= first), *new),
        baselines=(*(known for known in content.baselines if known[0] >= first), *means),
    )


def _gained(groups: Sequence[Group], advantages: Sequence[Advantage]) -> Iterator[Advantage]:
    grown = {id(one) for group in groups for branch in group.branches for one in branch.continuations}
    return (a for a in advantages if a.value > 0 and id(a.rollout) in grown)
