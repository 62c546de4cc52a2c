"""Tests of options of the objective: KL estimators, entropy and its floor, aggregation, undivided rewards."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from axpo.algorithm._entropy import with_floor
from axpo.algorithm.advantages import compute_advantages
from axpo.algorithm.batching import build_batch
from axpo.algorithm.loss import Targets, entropy_estimate, kl_estimate, policy_loss
from axpo.algorithm.types import Advantage, Branch, BranchPoint, Group
from axpo.run.validation import resolved
from axpo.settings.config import (
    AdvantageConfig,
    Aggregation,
    ConfigError,
    KlEstimator,
    LossConfig,
    OptimConfig,
    TrainConfig,
)

PLAIN = LossConfig(kl=0.0)
ONE_STEP = OptimConfig(minibatches=1)


def two_tokens(share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A logit and the log-probabilities of the two tokens, the first of which has that probability."""
    logit = torch.tensor(math.log(share / (1 - share)), dtype=torch.float64, requires_grad=True)
    return logit, torch.log_softmax(torch.stack([logit, torch.zeros_like(logit)]), -1)


def expected_gradient(logit: torch.Tensor, logprobs: torch.Tensor, estimates: torch.Tensor) -> float:
    """The gradient of estimates at sampled tokens, averaged over what is sampled."""
    (gradient,) = torch.autograd.grad((logprobs.detach().exp() * estimates).sum(), logit)
    return float(gradient)


@pytest.mark.parametrize(("estimator", "value"), [("k1", 0.5), ("k2", 0.125), ("k3", math.exp(-0.5) - 0.5)])
def test_the_estimators_have_their_values(estimator: str, value: float) -> None:
    estimate = kl_estimate(torch.tensor([-1.0]), torch.tensor([-1.5]), KlEstimator(estimator))
    assert estimate.tolist() == pytest.approx([value])


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_k1_and_k2_descend_the_kl_on_average_and_k3_the_reverse_one(share: float) -> None:
    reference = torch.tensor([0.7, 0.3], dtype=torch.float64).log()

    def exact(reverse: bool) -> float:
        logit, logprobs = two_tokens(share)
        one, other = (reference, logprobs) if reverse else (logprobs, reference)
        (gradient,) = torch.autograd.grad((one.exp() * (one - other)).sum(), logit)
        return float(gradient)

    for estimator in KlEstimator:
        logit, logprobs = two_tokens(share)
        found = expected_gradient(logit, logprobs, kl_estimate(logprobs, reference, estimator))
        assert found == pytest.approx(exact(reverse=estimator is KlEstimator.K3)), estimator


def test_the_mean_of_k1_and_of_k3_is_the_kl() -> None:
    _, logprobs = two_tokens(0.2)
    reference = torch.tensor([0.7, 0.3], dtype=torch.float64).log()
    kl = 0.2 * math.log(0.2 / 0.7) + 0.8 * math.log(0.8 / 0.3)
    for estimator in (KlEstimator.K1, KlEstimator.K3):
        estimates = kl_estimate(logprobs, reference, estimator)
        assert float((logprobs.exp() * estimates).sum().detach()) == pytest.approx(kl)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_the_bonus_ascends_the_entropy_on_average(share: float) -> None:
    logit, logprobs = two_tokens(share)
    (exact,) = torch.autograd.grad(-(logprobs.exp() * logprobs).sum(), logit)
    logit, logprobs = two_tokens(share)
    assert expected_gradient(logit, logprobs, entropy_estimate(logprobs)) == pytest.approx(float(exact))
    assert entropy_estimate(logprobs).tolist() == pytest.approx([-math.log(share), -math.log(1 - share)])


def loss_of(config: LossConfig) -> tuple[float, list[float]]:
    """Loss and gradient of two tokens of log-probabilities -1 and -2, advantage 0, reference 0.5 below."""
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    given = Targets(
        old_logprobs=torch.tensor([-1.0, -2.0]),
        advantages=torch.zeros(2),
        weights=torch.tensor([0.5, 0.5]),
        sequences=torch.zeros(2, dtype=torch.int64),
    )
    loss, _ = policy_loss(logprobs, given, config, reference=torch.tensor([-1.5, -2.5]))
    loss.backward()
    assert logprobs.grad is not None
    return loss.item(), logprobs.grad.tolist()


def test_the_loss_holds_the_chosen_kl_and_the_entropy() -> None:
    assert loss_of(replace(PLAIN, entropy=0.1)) == (pytest.approx(-0.15), pytest.approx([-0.05, -0.1]))
    assert loss_of(LossConfig(kl=0.1, kl_estimator=KlEstimator.K1)) == (
        pytest.approx(0.05),
        pytest.approx([0.025, 0.025]),
    )
    assert loss_of(LossConfig(kl=0.1, kl_estimator=KlEstimator.K2)) == (
        pytest.approx(0.0125),
        pytest.approx([0.025, 0.025]),
    )


def whole(toy: SimpleNamespace, text: str, probability: float = 0.5, group: int = 0) -> Advantage:
    rollout = toy.rollout(text, probability=probability)
    return Advantage(rollout=rollout, value=1.0, start=2, stop=2 + len(text), group=group)


def test_the_floor_weighs_what_the_entropy_is_short_of_it(toy: SimpleNamespace) -> None:
    # Four tokens of probability 1/e (1 nat) and two of 1/e^2 (2 nats): 8/6 nats.
    advantages = [whole(toy, "abcd", math.exp(-1)), whole(toy, "ab", math.exp(-2), group=1)]
    config = replace(PLAIN, entropy=0.03, entropy_floor=2.0)
    batch = build_batch(advantages, config, OptimConfig(minibatches=2), seed=0)
    assert with_floor(config, batch).entropy == pytest.approx(0.03 * (2 - 8 / 6))
    assert with_floor(replace(config, entropy_floor=1.3), batch).entropy == 0.0
    assert with_floor(replace(config, entropy_floor=0.0), batch).entropy == 0.03
    assert with_floor(config, []) == config


def test_what_is_not_trained_does_not_count_for_the_floor(toy: SimpleNamespace) -> None:
    rollout = toy.rollout("abcd")
    logprobs = (-5.0, -5.0, -0.5, -0.3)
    rollout = replace(rollout, completions=(replace(rollout.completions[0], logprobs=logprobs),))
    batch = build_batch([Advantage(rollout=rollout, value=1.0, start=4, stop=6, group=0)], PLAIN, ONE_STEP, seed=0)
    assert with_floor(replace(PLAIN, entropy=1.0, entropy_floor=0.9), batch).entropy == pytest.approx(0.5)


def test_a_floor_without_a_weight_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"loss.entropy: expected a weight above 0"):
        resolved(TrainConfig(loss=LossConfig(entropy_floor=0.9)))
    with pytest.raises(ConfigError, match="kl_estimator"):
        resolved(TrainConfig(loss=LossConfig(kl_estimator="k4")))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("aggregation", "weights"),
    [
        (Aggregation.TOKEN_MEAN, [1 / 6, 1 / 6]),
        (Aggregation.SEQUENCE_MEAN, [1 / 8, 1 / 4]),
        (Aggregation.SEQUENCE_SUM, [1 / 20, 1 / 20]),
    ],
)
def test_the_share_of_a_token_follows_the_aggregation(
    toy: SimpleNamespace, aggregation: Aggregation, weights: list[float]
) -> None:
    advantages = [whole(toy, "abcd"), whole(toy, "ab")]
    config = replace(PLAIN, aggregation=aggregation, sum_length=10)
    (batch,) = build_batch(advantages, config, ONE_STEP, seed=0)
    items = [item for micro_batch in batch.micro_batches for item in micro_batch]
    assert [item.weight for item in items] == pytest.approx(weights)


def test_undivided_rewards_are_less_their_mean_in_every_formula(toy: SimpleNamespace) -> None:
    call = "<think>t</think><tool_call>{}</tool_call>"
    source, answer = toy.rollout(call, reward=0.0), toy.rollout("<answer>1</answer>", reward=0.0)
    point = BranchPoint(group=0, rollout=0, turn=0, token=4, confidence=0.5, snapshot=source.snapshots[0])
    new = tuple(toy.rollout(call, reward=reward, forced=4) for reward in (1.0, 0.0, 0.0, 0.0))
    branches = (Branch(point=point, continuations=new),)
    group = Group(question=toy.question(), rollouts=(source, answer, answer, answer), branches=branches)

    def values(**settings: Any) -> list[float]:
        return [a.value for a in compute_advantages([group], AdvantageConfig(divide_by_std=False, **settings))]

    assert values() == [0.75, 0.0, 0.0, 0.0, 0.75, -0.25, -0.25, -0.25]
    assert values(separate_groups=False) == [-0.125, -0.125, -0.125, -0.125, 0.875, -0.125, -0.125, -0.125]
