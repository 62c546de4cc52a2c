"""Defines `update`: the optimizer steps of one training step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from axpo.algorithm.batching import MiniBatch, TrainItem, make_targets
from axpo.algorithm.loss import LossStats, policy_loss
from axpo.algorithm.methods.method import LossFunction
from axpo.algorithm.optimizer import Optimizer
from axpo.settings.config import LossConfig
from axpo_agents.errors import NonFiniteError
from axpo_agents.policy import Scorer
from axpo_agents.types import WHOLE, TokenSequence, Truncation
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch


Score: TypeAlias = Callable[[Sequence[TrainItem]], list[list[float]]]
"""Finds a number for every sampled token of each item."""


class DivergenceError(NonFiniteError):
    """Loss, gradients, weights or log-probabilities are no longer finite: nothing more can be learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What an update minimizes."""

    loss: LossConfig
    """Clipping, KL weight and aggregation."""
    temperature: float = 1.0
    """The temperature that the items were sampled at; log-probabilities are those of the tempered policy."""
    truncation: Truncation = WHOLE
    """What the distribution was restricted to that they were sampled from."""
    reference: Scorer | None = None
    """What the KL is measured to; needed where its weight is above 0."""
    function: LossFunction | None = None
    """The loss; None is Eq. 5 and 6."""


class Sharing(Protocol):
    """Who computes what in an update, where several processes make it together."""

    def micro_batches(self, minibatch: MiniBatch) -> Iterator[tuple[TrainItem, ...]]:
        """The items of each pass that is made here; the block that they are yielded to makes it, forward and
        backward. Items of which nothing is trained may be among them."""
        ...

    def total(self, loss: float, stats: UpdateStats) -> tuple[float, UpdateStats]:
        """Loss and statistics of a mini-batch, from those of the passes that were made here."""
        ...

    def scored(self, minibatch: MiniBatch, score: Score) -> Iterator[tuple[tuple[TrainItem, ...], list[list[float]]]]:
        """All items of a mini-batch, some at a time, with what scoring finds of each, whoever scored them."""
        ...


class _AllOfIt:
    def micro_batches(self, minibatch: MiniBatch) -> Iterator[tuple[TrainItem, ...]]:
        yield from minibatch.micro_batches

    def total(self, loss: float, stats: UpdateStats) -> tuple[float, UpdateStats]:
        return loss, stats

    def scored(self, minibatch: MiniBatch, score: Score) -> Iterator[tuple[tuple[TrainItem, ...], list[list[float]]]]:
        for items in minibatch.micro_batches:
            yield items, score(items)


def _nothing() -> LossStats:
    return LossStats(tokens=0, clipped_low=0.0, clipped_high=0.0, ratio=0.0, entropy=0.0, kl=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStats:
    """What an update did."""

    losses: tuple[float, ...] = ()
    """Loss of each mini-batch, before its optimizer step."""
    gradient_norms: tuple[float, ...] = ()
    """Gradient norm of each mini-batch, before clipping."""
    totals: LossStats = field(default_factory=_nothing)
    """Sums over the tokens that received a gradient."""
    scored_tokens: int = 0
    """Tokens that passed through the model, contexts included, padding excluded; what a tree shares counts once."""
    sequence_tokens: int = 0
    """The same with every sequence counted whole."""
    seconds_reference: float = 0.0
    """Wall-clock time of the reference policy's forward passes."""

    def __add__(self, other: UpdateStats) -> UpdateStats:
        return UpdateStats(
            losses=self.losses + other.losses,
            gradient_norms=self.gradient_norms + other.gradient_norms,
            totals=self.totals + other.totals,
            scored_tokens=self.scored_tokens + other.scored_tokens,
            sequence_tokens=self.sequence_tokens + other.sequence_tokens,
            seconds_reference=self.seconds_reference + other.seconds_reference,
        )

    def metrics(self) -> dict[str, float | None]:
        """Means over mini-batches (loss, gradient norm) or trained tokens, by name; None where nothing was trained."""
        return {"loss": _mean(self.losses), "grad_norm": _mean(self.gradient_norms), **self.totals.means()}


ALL_OF_IT: Final[Sharing] = _AllOfIt()
"""One process makes the whole update."""


def update(
    policy: Scorer,
    optimizer: Optimizer,
    minibatches: Sequence[MiniBatch],
    objective: Objective,
    *,
    sharing: Sharing = ALL_OF_IT,
) -> UpdateStats:
    """One optimizer step per mini-batch, its gradient accumulated over micro-batches (Eq. 5, 6).

    Args:
        policy: scores the items, with gradients.
        optimizer: holds the policy's trainable parameters.
        minibatches: what to train; may be empty.
        objective: what is minimized.
        sharing: who computes what.

    Raises:
        DivergenceError: something is no longer finite; the weights must not be saved.
    """
    stats = UpdateStats()
    for minibatch in minibatches:
        stats += _optimizer_step(policy, optimizer, minibatch, objective, sharing)
    if minibatches:
        _check_weights(policy, optimizer, minibatches[-1].micro_batches[-1][-1], objective)
    return stats


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers, which dropout draws, follow from the seed; outside they go on as if none were drawn."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def _optimizer_step(
    policy: Scorer, optimizer: Optimizer, minibatch: MiniBatch, objective: Objective, sharing: Sharing
) -> UpdateStats:
    optimizer.zero_grad()
    loss = 0.0
    stats = UpdateStats(scored_tokens=minibatch.scored_tokens, sequence_tokens=minibatch.sequence_tokens)
    for items in sharing.micro_batches(minibatch):
        part, part_stats = _backward(policy, items, objective)
        loss += part
        stats += part_stats
    loss, stats = sharing.total(loss, stats)
    norm = optimizer.gradient_norm()
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise DivergenceError(
            f"expected a finite loss and gradient; got a loss of {loss} and a gradient norm of {norm}"
        )
    optimizer.step()
    return stats + UpdateStats(losses=(loss,), gradient_norms=(norm,))


def _backward(policy: Scorer, items: Sequence[TrainItem], objective: Objective) -> tuple[float, UpdateStats]:
    """Adds the gradient of one micro-batch; returns its loss."""
    sequences = [item.sequence for item in items]
    reference, seconds = None, 0.0
    if objective.loss.kl > 0 and objective.reference is not None:
        start = time.perf_counter()
        with torch.no_grad():
            reference = torch.cat(_logprobs(objective.reference, sequences, objective))
            _check_logprobs(reference, items, "the reference")
        if reference.is_cuda:
            torch.cuda.synchronize(reference.device)
        seconds = time.perf_counter() - start
    logprobs = torch.cat(_logprobs(policy, sequences, objective))
    _check_logprobs(logprobs, items, "the policy")
    if any(any(item.trained) for item in items):
        targets = make_targets(items, device=logprobs.device)
        minimized = objective.function or policy_loss
        loss, totals = minimized(logprobs, targets, objective.loss, reference=reference)
    else:
        loss, totals = logprobs.sum() * 0.0, _nothing()
    torch.autograd.backward(loss)
    return float(loss.detach()), UpdateStats(totals=totals, seconds_reference=seconds)


def _check_weights(policy: Scorer, optimizer: Optimizer, probe: TrainItem, objective: Objective) -> None:
    """The last optimizer step has no later loss to betray it, so its weights are looked at, and tried on one item."""
    if not optimizer.is_finite():
        raise DivergenceError("expected finite weights after the optimizer step; some are infinite or not a number")
    with torch.no_grad():
        (logprobs,) = _logprobs(policy, [probe.sequence], objective)
    _check_logprobs(logprobs, [probe], "the policy after the optimizer step")


def _logprobs(policy: Scorer, sequences: list[TokenSequence], objective: Objective) -> list[torch.Tensor]:
    if objective.truncation == WHOLE:
        return policy.logprobs(sequences, temperature=objective.temperature)
    return policy.logprobs(sequences, temperature=objective.temperature, truncation=objective.truncation)


def _check_logprobs(logprobs: torch.Tensor, items: Sequence[TrainItem], whose: str) -> None:
    logprobs = logprobs.detach()
    finite = torch.isfinite(logprobs)
    if bool(finite.all()):
        return
    place = int(finite.int().argmin())
    for item in items:
        if place < len(item.trained):
            raise DivergenceError(
                f"expected finite log-probabilities from {whose}; got {float(logprobs[finite.logical_not()][0])} for "
                f"sampled token {place} of a rollout of question {item.question!r}"
            )
        place -= len(item.trained)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
