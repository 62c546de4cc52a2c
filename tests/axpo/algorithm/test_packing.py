"""Tests that a training step does the same whether its sequences are padded rows or packed trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import gymnasium
import pytest
import torch

from axpo.algorithm.advantages import compute_advantages
from axpo.algorithm.batching import MiniBatch, build_batch
from axpo.algorithm.sampling import resample, sample_groups
from axpo.algorithm.selection import select_prefixes
from axpo.algorithm.types import Advantage, Group
from axpo.algorithm.update import Objective, UpdateStats, update
from axpo.settings.config import AdvantageConfig, LossConfig, OptimConfig, SamplingConfig, SelectionConfig
from axpo_agents.transformers_policy import LoadSettings, TransformersPolicy, load_policy

torch.set_num_threads(1)

ADVANTAGES = {
    "grpo": AdvantageConfig(),
    "axpo": AdvantageConfig(),
    "axpo, continuations in the source's group": AdvantageConfig(separate_groups=False),
    "axpo, prefixes alone": AdvantageConfig(continuation_loss=False),
}


class Watched:
    """An optimizer that keeps the gradients of every step and changes nothing."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.gradients: list[torch.Tensor] = []

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def gradient_norm(self) -> float:
        flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        self.gradients.append(torch.cat([gradient.flatten() for gradient in flat]))
        return float(self.gradients[-1].norm())

    def step(self) -> None:
        pass

    def is_finite(self) -> bool:
        return True


@cache
def policy(packing: str, checkpointing: bool) -> TransformersPolicy:
    return load_policy("tiny", LoadSettings(packing=packing, gradient_checkpointing=checkpointing))


@cache
def groups() -> tuple[Group, ...]:
    """Rollouts with tool calls and images in their observations, and continuations of the failed ones."""
    env = gymnasium.make("axpo/VisualZoom-v0").unwrapped
    sampling = SamplingConfig(questions=3, group_size=6)
    questions = [env.questions.question(index) for index in range(3)]
    sampled = sample_groups(questions, policy("rows", False), env, sampling, seed=2)
    points = select_prefixes(sampled, SelectionConfig(budget=1.0, continuations=3), seed=0)
    grown = resample(sampled, points, policy("rows", False), env, sampling, seed=3)
    assert any(group.branches for group in grown)
    return grown


def advantages(kind: str) -> tuple[Advantage, ...]:
    """Rewards may be equal within a group; its tokens are trained all the same, with an advantage of 1/2."""
    made = groups()
    if kind == "grpo":
        made = tuple(group.with_branches(()) for group in made)
    computed = compute_advantages(made, ADVANTAGES[kind])
    return tuple(replace(each, value=each.value or 0.5) for each in computed)


def train(trained: TransformersPolicy, batch: Sequence[MiniBatch], loss: LossConfig) -> tuple[UpdateStats, Watched]:
    optimizer = Watched(trained.trainable_parameters())
    reference = policy("rows", False)
    stats = update(trained, optimizer, batch, Objective(loss=loss, reference=reference))
    return stats, optimizer


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", ADVANTAGES)
def test_gradients_of_packed_trees_are_those_of_padded_rows(kind: str, checkpointing: bool) -> None:
    loss = LossConfig()
    optim = OptimConfig(minibatches=2, micro_batch_tokens=2500)
    rows, tree = policy("rows", False), policy("tree", checkpointing)
    plain = build_batch(advantages(kind), loss, optim, plan=rows.plan, seed=0)
    packed = build_batch(advantages(kind), loss, optim, plan=tree.plan, seed=0)
    plain_stats, expected = train(rows, plain, loss)
    packed_stats, got = train(tree, packed, loss)
    assert packed_stats.losses == pytest.approx(plain_stats.losses, abs=1e-5)
    assert packed_stats.totals.tokens == plain_stats.totals.tokens
    assert packed_stats.scored_tokens < plain_stats.scored_tokens
    assert len(got.gradients) == len(expected.gradients) == 2
    for ours, theirs in zip(got.gradients, expected.gradients, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-5


def test_the_sequences_of_a_question_stay_in_one_pass() -> None:
    tree = policy("tree", False)
    computed = advantages("axpo")
    plan = [tree.plan([a.rollout.sequence() for a in computed if a.group == group], tokens=2**20) for group in range(3)]
    largest = max(each.tokens for passes in plan for each in passes)
    optim = OptimConfig(minibatches=1, micro_batch_tokens=largest)
    (batch,) = build_batch(computed, LossConfig(), optim, plan=tree.plan, seed=0)
    shown = [{item.sequence.images[0].digest for item in items} for items in batch.micro_batches]
    assert len(shown) > 1
    assert sum(map(len, shown)) == len(set().union(*shown)) == 3
