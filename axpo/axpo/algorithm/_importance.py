"""Defines `corrected`: how far the sampler's probabilities are from the learner's, and importance weights that make up.

An engine that samples and the one that learns never compute quite the same, and in asynchronous training the sampler's
weights are older. Both show in the log-probabilities of what was sampled, scored by the learner before its update.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from axpo.algorithm.batching import MiniBatch, TrainItem
from axpo.algorithm.loss import MAX_LOG_RATIO
from axpo.algorithm.update import ALL_OF_IT, DivergenceError, Objective, Sharing
from axpo_agents.policy import Scorer
from axpo_agents.types import WHOLE
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far the sampler's log-probabilities are from the learner's, over the trained tokens of a step.

    A turn's drift is the mean of |log pi_learner - log pi_sampler| over its trained tokens, in nats.
    """

    turns: tuple[float, ...] = ()
    """The drift of every turn that is trained, once for each sequence that holds it."""
    tokens: int = 0
    """Trained tokens."""
    capped: int = 0
    """Those whose importance weight was cut off at its bound."""

    def __add__(self, other: Drift) -> Drift:
        return Drift(
            turns=self.turns + other.turns, tokens=self.tokens + other.tokens, capped=self.capped + other.capped
        )

    def metrics(self) -> dict[str, float | None]:
        """Mean and largest drift of a turn, and the share of tokens with a cut weight; None where nothing was
        trained."""
        count = len(self.turns)
        return {
            "drift_mean": sum(self.turns) / count if count else None,
            "drift_max": max(self.turns, default=None),
            "importance_capped": self.capped / self.tokens if self.tokens else None,
        }


def corrected(
    minibatches: Sequence[MiniBatch], learner: Scorer, objective: Objective, *, sharing: Sharing = ALL_OF_IT
) -> tuple[tuple[MiniBatch, ...], Drift]:
    """The mini-batches with importance weights, and the drift that they make up for.

    Truncated importance sampling: the policy gradient of a token is weighted by min(pi / pi_sampler, C), with pi the
    learner before the update and C = `loss.max_importance`, and the loss's own ratio is to pi in place of pi_sampler
    (decoupled PPO, arXiv:2110.00641; weights truncated as in IMPALA, arXiv:1802.01561). With C = 0 the drift is
    measured, and nothing else happens.

    Worked value: a token that the sampler gave a probability of 0.2 and the learner gives 0.3 has the weight 1.5 (C =
    2); at 0.5 it would be 2.5 and is cut to 2.

    Args:
        minibatches: what is trained.
        learner: scores the items, with the weights of before the update.
        objective: temperature and truncation that they were sampled with, and the bound.
        sharing: who scores what.

    Raises:
        DivergenceError: a log-probability is not finite.
    """
    bound = objective.loss.max_importance or 0.0
    weighted, drift = [], Drift()
    for minibatch in minibatches:
        parts = []
        for items, scored in sharing.scored(minibatch, lambda items: _scored(items, learner, objective)):
            drift = sum((_drift(item, row, bound) for item, row in zip(items, scored, strict=True)), drift)
            rows = zip(items, scored, strict=True)
            parts.append(tuple(_weighted(item, row, bound) for item, row in rows) if bound else items)
        weighted.append(replace(minibatch, micro_batches=tuple(parts)))
    return tuple(weighted), drift


def _scored(items: Sequence[TrainItem], learner: Scorer, objective: Objective) -> list[list[float]]:
    """The learner's log-probability of every sampled token."""
    truncated = {} if objective.truncation == WHOLE else {"truncation": objective.truncation}
    with torch.no_grad():
        rows = learner.logprobs([item.sequence for item in items], temperature=objective.temperature, **truncated)
    values = [row.float().tolist() for row in rows]
    for item, row in zip(items, values, strict=True):
        if not all(map(math.isfinite, row)):
            raise DivergenceError(
                f"expected finite log-probabilities from the learner before its update; got others for a rollout of "
                f"question {item.question!r}"
            )
    return values


def _weighted(item: TrainItem, scored: Sequence[float], bound: float) -> TrainItem:
    weights = tuple(_weight(own - old, bound) for own, old in zip(scored, _sampled(item), strict=True))
    return replace(item, learner_logprobs=tuple(scored), importance=weights)


def _weight(log_ratio: float, bound: float) -> float:
    return min(math.exp(min(log_ratio, MAX_LOG_RATIO)), bound)


def _drift(item: TrainItem, scored: Sequence[float], bound: float) -> Drift:
    turns: dict[int, list[float]] = {}
    capped = 0
    for turn, trained, own, old in zip(_turns(item), item.trained, scored, _sampled(item), strict=True):
        if trained:
            turns.setdefault(turn, []).append(abs(own - old))
            capped += bool(bound) and math.exp(min(own - old, MAX_LOG_RATIO)) > bound
    means = tuple(sum(values) / len(values) for values in turns.values())
    return Drift(turns=means, tokens=sum(map(len, turns.values())), capped=capped)


def _sampled(item: TrainItem) -> list[float]:
    """The sampler's log-probability of every sampled token."""
    sequence = item.sequence
    return [value for value, sampled in zip(sequence.logprobs, sequence.sampled, strict=True) if sampled]


def _turns(item: TrainItem) -> list[int]:
    """The turn of every sampled token: turns are apart by what was not sampled."""
    turn, before, turns = 0, False, []
    for sampled in item.sequence.sampled:
        turn += sampled and not before
        before = sampled
        if sampled:
            turns.append(turn)
    return turns
