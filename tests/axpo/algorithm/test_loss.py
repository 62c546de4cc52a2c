from __future__ import annotations

import math
from dataclasses import astuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo.algorithm.loss import MAX_LOG_RATIO, LossStats, Targets, policy_loss
from axpo.settings.config import LossConfig

PLAIN = LossConfig(kl=0.0)


def targets(old: list[float], advantages: list[float], weights: list[float]) -> Targets:
    return Targets(
        old_logprobs=torch.tensor(old),
        advantages=torch.tensor(advantages),
        weights=torch.tensor(weights),
        sequences=torch.zeros(len(old), dtype=torch.int64),
    )


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


def test_on_policy_the_gradient_is_the_weighted_advantage():
    logprobs = leaf(-1.0, -2.0, -0.5)
    loss, stats = policy_loss(logprobs, targets([-1.0, -2.0, -0.5], [2.0, -1.0, 5.0], [0.5, 0.5, 0.0]), PLAIN)
    loss.backward()
    assert loss.item() == pytest.approx(-0.5 * 2 + 0.5 * 1)
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == pytest.approx([-1.0, 0.5, 0.0])
    assert stats.tokens == 2
    assert stats.means() == pytest.approx({"clip_low": 0, "clip_high": 0, "ratio": 1, "entropy": 1.5, "kl": None})


@pytest.mark.parametrize(
    ("ratio", "advantage", "objective", "gradient"),
    [
        (1.5, 1.0, 1.4, 0.0),  # clipped above 1 + 0.4
        (1.39, 1.0, 1.39, 1.39),
        (1.5, -1.0, -1.5, -1.5),  # the pessimistic side is never clipped
        (0.7, -1.0, -0.8, 0.0),  # clipped below 1 - 0.2
        (0.81, -1.0, -0.81, -0.81),
        (0.7, 1.0, 0.7, 0.7),
    ],
)
def test_the_bounds_are_asymmetric_and_bind_on_the_optimistic_side_only(ratio, advantage, objective, gradient):
    logprobs = leaf(math.log(ratio))
    loss, stats = policy_loss(logprobs, targets([0.0], [advantage], [1.0]), PLAIN)
    loss.backward()
    assert loss.item() == pytest.approx(-objective)
    assert logprobs.grad is not None
    assert logprobs.grad.item() == pytest.approx(-gradient, abs=1e-6)
    assert (stats.clipped_low, stats.clipped_high) == (ratio == 0.7 and advantage < 0, ratio == 1.5 and advantage > 0)


def test_the_kl_is_the_k3_estimate_and_pulls_towards_the_reference():
    logprobs = leaf(-1.0)
    reference = torch.tensor([-1.5])
    config = LossConfig(kl=0.1)
    loss, stats = policy_loss(logprobs, targets([-1.0], [0.0], [1.0]), config, reference=reference)
    loss.backward()
    k3 = math.exp(-0.5) + 0.5 - 1
    assert loss.item() == pytest.approx(0.1 * k3)
    assert stats.kl == pytest.approx(k3)
    # d k3 / d logprob = 1 - pi_ref / pi: descending lowers a log-probability above the reference's.
    assert logprobs.grad is not None
    assert logprobs.grad.item() == pytest.approx(0.1 * (1 - math.exp(-0.5)))


def test_with_weight_zero_the_kl_is_measured_and_not_trained():
    logprobs = leaf(-1.0)
    loss, stats = policy_loss(logprobs, targets([-1.0], [0.0], [1.0]), PLAIN, reference=torch.tensor([-1.5]))
    loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.item() == 0
    assert stats.kl == pytest.approx(math.exp(-0.5) - 0.5)


def test_a_missing_reference_and_mismatched_shapes_are_refused():
    with pytest.raises(ValueError, match=r"loss.kl is 0.001.*got None"):
        policy_loss(leaf(0.0), targets([0.0], [0.0], [1.0]), LossConfig())
    with pytest.raises(ValueError, match=r"one length.*\(2,\)"):
        policy_loss(leaf(0.0, 0.0), targets([0.0], [0.0], [1.0]), PLAIN)


def test_a_policy_far_from_its_sampler_gives_finite_numbers():
    logprobs = leaf(-500.0, -0.1, -500.0)
    reference = torch.tensor([-0.1, -500.0, -500.0])
    loss, stats = policy_loss(
        logprobs, targets([-0.1, -500.0, -0.1], [1.0, -1.0, -1.0], [1.0, 1.0, 1.0]), LossConfig(), reference=reference
    )
    loss.backward()
    assert logprobs.grad is not None
    assert torch.isfinite(torch.cat([loss[None], logprobs.grad])).all()
    assert stats.ratio == pytest.approx(math.exp(MAX_LOG_RATIO), rel=1e-4)


def test_what_is_not_trained_may_be_anything():
    logprobs = leaf(-1.0, -math.inf, math.nan)
    loss, stats = policy_loss(logprobs, targets([-1.0, -1.0, -1.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), PLAIN)
    loss.backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-1.0, 0.0, 0.0]
    assert stats.entropy == 1.0


def test_nothing_to_train_is_a_loss_of_zero_without_metrics():
    loss, stats = policy_loss(leaf(-1.0), targets([-1.0], [0.0], [0.0]), PLAIN)
    loss.backward()
    assert loss.item() == 0
    assert set(stats.means().values()) == {None}


def test_half_precision_log_probabilities_are_compared_in_single_precision():
    logprobs = torch.tensor([-1.0], dtype=torch.bfloat16, requires_grad=True)
    loss, _ = policy_loss(logprobs, targets([-1.001], [1.0], [1.0]), PLAIN)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(-math.exp(0.001), rel=1e-6)


token = st.tuples(*[st.floats(-4, 0)] * 3, st.floats(-2, 2), st.sampled_from([0.0, 0.25]))


@settings(max_examples=40)
@given(tokens=st.lists(token, min_size=2, max_size=12), cut=st.integers(1, 11))
def test_micro_batches_add_up_to_their_mini_batch(tokens, cut):
    cut = min(cut, len(tokens) - 1)
    config = LossConfig(kl=0.05)

    def run(part: list[tuple[float, ...]]) -> tuple[float, list[float], LossStats]:
        current, old, ref, advantages, weights = (list(column) for column in zip(*part, strict=True))
        logprobs = leaf(*current)
        loss, stats = policy_loss(logprobs, targets(old, advantages, weights), config, reference=torch.tensor(ref))
        loss.backward()
        assert logprobs.grad is not None
        return loss.item(), logprobs.grad.tolist(), stats

    whole, first, second = run(tokens), run(tokens[:cut]), run(tokens[cut:])
    assert whole[0] == pytest.approx(first[0] + second[0], abs=1e-4, rel=1e-5)
    assert whole[1] == pytest.approx(first[1] + second[1], abs=1e-5)
    assert astuple(whole[2]) == pytest.approx(astuple(first[2] + second[2]), rel=1e-5, abs=1e-6)
