"""Defines how advantages become training items, mini-batches of whole groups, and micro-batches that fit."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from axpo.algorithm.loss import Targets
from axpo.algorithm.types import Advantage
from axpo.settings.config import Aggregation, LossConfig, OptimConfig
from axpo_agents.passes import Pass, plan_rows
from axpo_agents.types import Rollout, TokenSequence
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch


class Plan(Protocol):
    """Deals sequences out to passes through a model; see `Scorer.plan`."""

    def __call__(self, sequences: Sequence[TokenSequence], *, tokens: int) -> Sequence[Pass]:
        """Passes of at most so many tokens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainItem:
    """One sequence to score and the stretch of it to train.

    Worked value: a source `[7, 8 | 3, 4, 5, 6]` whose prefix `3, 4` has advantage 1.5 becomes the sequence
    (7, 8, 3, 4) with trained (True, True); what lies behind the cut is not even scored. A continuation
    `[7, 8 | 3, 4, 9]` frozen up to 4 becomes (7, 8, 3, 4, 9) with trained (False, False, True).
    """

    sequence: TokenSequence
    """Everything up to the last trained token; holds the sampler's log-probabilities."""
    trained: tuple[bool, ...]
    """For each sampled token of `sequence`, whether it is trained."""
    advantage: float
    """Advantage of every trained token."""
    question: str = ""
    """Id of the question, for people."""
    weight: float
    """Share of each trained token in its mini-batch's mean. The shares of a mini-batch add up to 1, counting the
    stretches left out for their zero advantage; not under `sequence_sum`, which divides by a constant. Those of what is
    replayed come on top."""
    learner_logprobs: tuple[float, ...] | None = None
    """Log-probability of each sampled token under the learner before the update, which the loss's ratio is to; None
    where it is to the sampler."""
    importance: tuple[float, ...] | None = None
    """What the policy gradient of each sampled token is multiplied with; None for 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniBatch:
    """The items of one optimizer step."""

    micro_batches: tuple[tuple[TrainItem, ...], ...]
    """One forward and backward pass each; at least one, none empty."""
    trained_tokens: int
    """Tokens the mean runs over, those left out for their zero advantage included."""
    scored_tokens: int
    """Tokens that pass through the model, contexts included, padding excluded; what a tree shares counts once."""
    sequence_tokens: int
    """The same with every sequence counted whole."""


def build_batch(
    advantages: Sequence[Advantage],
    loss: LossConfig,
    optim: OptimConfig,
    *,
    plan: Plan = plan_rows,
    seed: int,
    replayed: Sequence[TrainItem] = (),
) -> tuple[MiniBatch, ...]:
    """Splits one step's advantages into mini-batches of whole groups.

    Groups are dealt out in an order drawn from the seed, as evenly as their number allows. A
    mini-batch without anything to train (every advantage 0 and left out) does not appear.

    Args:
        advantages: what is trained.
        loss: aggregation, and whether zero advantages are left out.
        optim: number of mini-batches, and the size of a micro-batch.
        plan: deals sequences out to passes: `Scorer.plan` of the policy that will score them.
        seed: of the order.
        replayed: items of earlier steps, dealt out in turn. A mini-batch adds to its own mean the one over those that
            it gets, whose `weight` says how much that counts.

    Raises:
        ValueError: an advantage covers no sampled token.
    """
    groups: dict[int, list[Advantage]] = {}
    for advantage in advantages:
        groups.setdefault(advantage.group, []).append(advantage)
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    parts = min(optim.minibatches, len(order))
    plan = partial(plan, tokens=optim.micro_batch_tokens)
    minibatches = []
    for part in range(parts):
        items, total = _weighted([a for group in order[part::parts] for a in groups[group]], loss)
        items += _shared(replayed[part::parts], loss)
        if items:
            minibatches.append(_mini_batch(items, total, plan))
    return tuple(minibatches)


def make_targets(items: Sequence[TrainItem], *, device: torch.device | str = "cpu") -> Targets:
    """The loss's targets for the sampled tokens of these items, laid end to end in the order of the items."""
    old, advantages, weights = [], [], []
    lengths = torch.tensor([len(item.trained) for item in items], dtype=torch.int64, device=device)
    for item in items:
        sequence = item.sequence
        if item.learner_logprobs is None:
            old += [value for value, sampled in zip(sequence.logprobs, sequence.sampled, strict=True) if sampled]
        else:
            old += item.learner_logprobs
        factors = item.importance or (1.0,) * len(item.trained)
        # A positive factor of the advantage is one of the policy gradient, whatever is clipped; the KL stays as it is.
        advantages += [
            item.advantage * factor if trained else 0.0 for trained, factor in zip(item.trained, factors, strict=True)
        ]
        weights += [item.weight if trained else 0.0 for trained in item.trained]
    old_logprobs, advantage, weight = (
        torch.tensor(values, dtype=torch.float32, device=device) for values in (old, advantages, weights)
    )
    sequences = torch.repeat_interleave(torch.arange(len(items), device=device), lengths)
    return Targets(old_logprobs=old_logprobs, advantages=advantage, weights=weight, sequences=sequences)


def _weighted(advantages: Sequence[Advantage], loss: LossConfig) -> tuple[list[TrainItem], int]:
    """The items of a mini-batch, and how many tokens its mean runs over."""
    counts = [_trained_tokens(advantage) for advantage in advantages]
    total = sum(counts)
    items = []
    for advantage, count in zip(advantages, counts, strict=True):
        if advantage.value == 0.0 and loss.skip_zero_advantage:
            continue
        items.append(item_of(advantage, weight=_share(count, counts, loss)))
    return items, total


def _shared(items: Sequence[TrainItem], loss: LossConfig) -> list[TrainItem]:
    """Items with their weights as shares of a mean of their own."""
    counts = [sum(item.trained) for item in items]
    return [
        replace(item, weight=item.weight * _share(count, counts, loss))
        for item, count in zip(items, counts, strict=True)
    ]


def _share(count: int, counts: Sequence[int], loss: LossConfig) -> float:
    """The share of each token of a stretch of `count` in the mean over stretches of these counts."""
    shares = {
        Aggregation.TOKEN_MEAN: sum(counts),
        Aggregation.SEQUENCE_MEAN: count * len(counts),
        Aggregation.SEQUENCE_SUM: loss.sum_length * len(counts),
    }
    return 1 / shares[loss.aggregation]


def _mini_batch(
    items: Sequence[TrainItem], total: int, plan: Callable[[Sequence[TokenSequence]], Sequence[Pass]]
) -> MiniBatch:
    passes = plan([item.sequence for item in items])
    return MiniBatch(
        micro_batches=tuple(tuple(items[member] for member in each.members) for each in passes),
        trained_tokens=total,
        scored_tokens=sum(each.tokens for each in passes),
        sequence_tokens=sum(len(item.sequence.ids) for item in items),
    )


def item_of(advantage: Advantage, *, weight: float) -> TrainItem:
    """What is scored and trained for an advantage.

    Args:
        advantage: of a stretch that holds a sampled token.
        weight: share of each trained token.
    """
    sequence = _until_last_sampled(advantage.rollout, advantage.stop)
    positions = (position for position, sampled in enumerate(sequence.sampled) if sampled)
    trained = tuple(advantage.start <= position for position in positions)
    question = advantage.rollout.episode.question.id
    return TrainItem(sequence=sequence, trained=trained, advantage=advantage.value, question=question, weight=weight)


def _trained_tokens(advantage: Advantage) -> int:
    count = 0
    position = 0
    for completion in advantage.rollout.completions:
        first = position + len(completion.context.ids)
        position = first + len(completion.ids)
        count += max(0, min(position, advantage.stop) - max(first, advantage.start))
    if count == 0:
        question = advantage.rollout.episode.question.id
        raise ValueError(
            f"an advantage must cover sampled tokens; [{advantage.start}, {advantage.stop}) of a rollout of question "
            f"{question!r} ({position} tokens) covers none"
        )
    return count


def _until_last_sampled(rollout: Rollout, stop: int) -> TokenSequence:
    """The rollout's sequence up to the last sampled token before `stop`, without the images behind it."""
    kept = []
    position = 0
    for completion in rollout.completions:
        first = position + len(completion.context.ids)
        take = min(len(completion.ids), stop - first)
        if take <= 0:
            break
        kept.append(replace(completion, ids=completion.ids[:take], logprobs=completion.logprobs[:take]))
        position = first + take
    return TokenSequence.of(kept)
