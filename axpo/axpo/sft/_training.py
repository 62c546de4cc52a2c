"""Defines supervised fine-tuning: a policy learns to write what a scripted expert demonstrates, stage by stage."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from axpo.algorithm.optimizer import Optimizer
from axpo.algorithm.update import DivergenceError
from axpo.records import _atomic as atomic
from axpo.records._jsonl import JsonLines
from axpo.settings.config import OptimConfig
from axpo.settings.sft import SftConfig, StageConfig
from axpo.sft._demonstrations import Demonstration, EncodedDemonstration, Lesson, Piece, described, encode, pieces
from axpo_agents.transformers_policy import TransformersPolicy
from axpo_envs.plumbing.extras import requiring

with requiring("train", "training"):
    import torch

LOSSES: Final = "sft.jsonl"
EXAMPLES: Final = "demonstrations"
_SHOWN: Final = 8
"""Demonstrations of each stage that are written down for people."""
_LOG_EVERY: Final = 10
"""Steps between records of the loss."""
_LOG_SECONDS: Final = 30.0
"""Seconds after which a step is recorded, however few were since the last record."""


class SftDisplay(Protocol):
    """Shows how a stage gets on."""

    def examples(self, number: int, shown: Sequence[tuple[Piece, ...]]) -> None:
        """Called once a stage with some of its demonstrations, as the policy reads them."""
        ...

    def step(self, record: dict[str, Any]) -> None:
        """Called every few steps with stage, step, steps and loss."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage, ready to run."""

    number: int
    """Counted from 1."""
    config: StageConfig
    """Its settings."""
    lesson: Lesson
    """Where its demonstrations come from."""
    out: Path
    """The run's folder."""


def train_stage(policy: TransformersPolicy, stage: Stage, config: SftConfig, display: SftDisplay) -> None:
    """Trains the policy on one stage, in place.

    The loss is the mean negative log-probability of the demonstrated tokens, weighted (see `Stretch.weight`).

    Raises:
        DivergenceError: the loss is no longer finite.
    """
    settings = stage.config
    optimizer = Optimizer(policy.trainable_parameters(), _optimizer_settings(settings, config))
    log = JsonLines(stage.out / LOSSES)
    losses: list[float] = []
    started = recorded = time.monotonic()
    for step in range(1, settings.steps + 1):
        optimizer.set_lr(learning_rate(settings, step))
        demonstrations = stage.lesson.draw(settings.batch)
        encoded = [encode(demonstration, stage.lesson.env, policy) for demonstration in demonstrations]
        if step == 1:
            _write_examples(stage, demonstrations)
            display.examples(stage.number, [pieces(each, policy) for each in encoded[:_SHOWN]])
        optimizer.zero_grad()
        losses.append(_backward(policy, encoded, config.micro_batch_tokens))
        norm = optimizer.gradient_norm()
        if not (math.isfinite(losses[-1]) and math.isfinite(norm)):
            raise DivergenceError(
                f"stage {stage.number}, step {step}: expected a finite loss and gradient; got a loss of {losses[-1]} "
                f"and a gradient norm of {norm}"
            )
        optimizer.step()
        policy.advance_version()
        now = time.monotonic()
        if step % _LOG_EVERY == 0 or step == settings.steps or now - recorded >= _LOG_SECONDS:
            recorded = now
            loss = sum(losses) / len(losses)
            seconds = now - started
            record = {"stage": stage.number, "step": step, "steps": settings.steps, "loss": loss, "seconds": seconds}
            log.append(record)
            display.step(record)
            losses.clear()


def _optimizer_settings(stage: StageConfig, config: SftConfig) -> OptimConfig:
    return OptimConfig(
        lr=stage.lr, betas=config.betas, weight_decay=config.weight_decay, max_grad_norm=config.max_grad_norm
    )


def learning_rate(stage: StageConfig, step: int) -> float:
    """Linear warm-up to the peak, times a cosine from 1 down to `final_lr_share`.

    Args:
        stage: peak, warm-up and length.
        step: counted from 1.
    """
    warm = min(1.0, step / stage.warmup_steps) if stage.warmup_steps else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * (step - 1) / stage.steps))
    return stage.lr * warm * (stage.final_lr_share + (1 - stage.final_lr_share) * cosine)


def weighted_loss(
    logprobs: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], total_weight: float
) -> torch.Tensor:
    """Negative log-probabilities times their weights, as a share of `total_weight`.

    Args:
        logprobs: per sequence, shape (T,).
        weights: likewise.
        total_weight: sum of the weights of the whole batch, of which this may be a part.
    """
    return -torch.dot(torch.cat(list(logprobs)), torch.cat(list(weights))) / total_weight


def _backward(policy: TransformersPolicy, encoded: Sequence[EncodedDemonstration], tokens: int) -> float:
    total = sum(sum(demonstration.weights) for demonstration in encoded)
    loss = 0.0
    for each in policy.plan([demonstration.sequence for demonstration in encoded], tokens=tokens):
        part = [encoded[member] for member in each.members]
        logprobs = policy.logprobs([demonstration.sequence for demonstration in part])
        weights = [torch.tensor(demonstration.weights, device=logprobs[0].device) for demonstration in part]
        share = weighted_loss(logprobs, weights, total)
        torch.autograd.backward(share)
        loss += float(share.detach())
    return loss


def _write_examples(stage: Stage, demonstrations: Sequence[Demonstration]) -> None:
    shown = [described(demonstration) for demonstration in demonstrations[:_SHOWN]]
    folder = stage.out / EXAMPLES
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_text(folder / f"stage-{stage.number}.json", json.dumps(shown, indent=2) + "\n")
