"""Tests of axpo.algorithm._importance: drift by hand, truncated weights, and what they do to a gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from axpo.algorithm._importance import Drift, corrected
from axpo.algorithm.batching import MiniBatch, TrainItem, make_targets
from axpo.algorithm.loss import policy_loss
from axpo.algorithm.update import DivergenceError, Objective
from axpo.settings.config import LossConfig
from axpo_agents.types import TokenSequence


class Known:
    """Knows the log-probability of every sampled token."""

    def __init__(self, *rows: Sequence[float]) -> None:
        self.rows = rows

    def logprobs(self, sequences: Sequence[TokenSequence], **_: object) -> list[torch.Tensor]:
        assert len(sequences) == len(self.rows)
        return [torch.tensor(row) for row in self.rows]


def item(
    probabilities: Sequence[float], *, advantage: float, trained: tuple[bool, ...] = (True, True, True)
) -> TrainItem:
    """A prompt of one token, a turn of two, a result of one, a turn of one."""
    first, second, third = map(math.log, probabilities)
    sequence = TokenSequence(
        ids=(9, 1, 2, 8, 3), sampled=(False, True, True, False, True), logprobs=(0.0, first, second, 0.0, third)
    )
    return TrainItem(sequence=sequence, trained=trained, advantage=advantage, question="q", weight=1 / 3)


def batch(*items: TrainItem) -> tuple[MiniBatch, ...]:
    return (MiniBatch(micro_batches=(items,), trained_tokens=3, scored_tokens=5, sequence_tokens=5),)


def logs(*probabilities: float) -> list[float]:
    return [math.log(value) for value in probabilities]


def objective(bound: float, kl: float = 0.0) -> Objective:
    return Objective(loss=LossConfig(max_importance=bound, kl=kl))


def test_weights_are_probability_ratios_cut_off_at_the_bound() -> None:
    ((minibatch,), _) = corrected(
        batch(item((0.2, 0.2, 0.4), advantage=1.0)), Known(logs(0.3, 0.5, 0.1)), objective(2.0)
    )
    ((weighted,),) = minibatch.micro_batches
    assert weighted.importance == pytest.approx((1.5, 2.0, 0.25))
    assert weighted.learner_logprobs == pytest.approx(logs(0.3, 0.5, 0.1))


def test_the_drift_of_a_turn_is_the_mean_over_its_trained_tokens() -> None:
    _, drift = corrected(batch(item((0.2, 0.2, 0.4), advantage=1.0)), Known(logs(0.3, 0.5, 0.1)), objective(2.0))
    first, second = (math.log(1.5) + math.log(2.5)) / 2, math.log(4)
    assert drift.turns == pytest.approx((first, second))
    metrics = drift.metrics()
    assert metrics["drift_mean"] == pytest.approx((first + second) / 2)
    assert metrics["drift_max"] == pytest.approx(second)
    assert metrics["importance_capped"] == pytest.approx(1 / 3)


def test_tokens_that_are_not_trained_have_no_part_in_the_drift() -> None:
    trained = (False, False, True)
    _, drift = corrected(
        batch(item((0.2, 0.2, 0.4), advantage=1.0, trained=trained)), Known(logs(0.9, 0.9, 0.4)), objective(2.0)
    )
    assert drift.turns == pytest.approx((0.0,), abs=1e-6)
    assert (drift.tokens, drift.capped) == (1, 0)


def test_without_a_bound_the_drift_is_measured_and_nothing_is_changed() -> None:
    given = batch(item((0.2, 0.2, 0.4), advantage=1.0))
    unchanged, drift = corrected(given, Known(logs(0.3, 0.5, 0.1)), objective(0.0))
    assert unchanged == given
    assert drift.metrics()["importance_capped"] == 0.0
    assert drift.metrics()["drift_max"] == pytest.approx(math.log(4))


def test_nothing_trained_has_no_drift() -> None:
    assert Drift().metrics() == {"drift_mean": None, "drift_max": None, "importance_capped": None}


@pytest.mark.parametrize("advantage", [2.0, -2.0])
def test_the_gradient_is_that_of_the_learners_ratio_times_the_weight(advantage: float) -> None:
    given = item((0.2, 0.2, 0.4), advantage=advantage)
    learner = logs(0.3, 0.5, 0.1)
    ((minibatch,), _) = corrected(batch(given), Known(learner), objective(2.0))
    ((weighted,),) = minibatch.micro_batches
    current = torch.tensor(learner, requires_grad=True)
    loss, stats = policy_loss(current, make_targets([weighted]), LossConfig(kl=0.0))
    loss.backward()
    # At the learner's own weights every ratio is 1, so nothing is clipped: d/dx -(1/3) w A exp(x - x_0) = -(1/3) w A.
    expected = [-weight * advantage / 3 for weight in (1.5, 2.0, 0.25)]
    assert current.grad is not None
    assert current.grad.tolist() == pytest.approx(expected)
    assert stats.ratio == pytest.approx(3.0)


def test_the_kl_to_the_reference_is_not_weighted() -> None:
    given = item((0.2, 0.2, 0.4), advantage=0.0)
    learner, reference = logs(0.3, 0.5, 0.1), torch.tensor(logs(0.2, 0.2, 0.2))
    ((minibatch,), _) = corrected(batch(given), Known(learner), objective(2.0, kl=0.1))
    losses = [
        policy_loss(torch.tensor(learner), make_targets(micro), LossConfig(kl=0.1), reference=reference)[0]
        for micro in (minibatch.micro_batches[0], [given])
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]))


def test_equal_probabilities_change_nothing_about_the_loss() -> None:
    given = item((0.2, 0.3, 0.4), advantage=1.5)
    ((minibatch,), drift) = corrected(batch(given), Known(logs(0.2, 0.3, 0.4)), objective(2.0))
    current = torch.tensor(logs(0.25, 0.31, 0.2))
    plain, _ = policy_loss(current, make_targets([given]), LossConfig(kl=0.0))
    weighted, _ = policy_loss(current, make_targets(minibatch.micro_batches[0]), LossConfig(kl=0.0))
    assert float(weighted) == pytest.approx(float(plain), abs=1e-6)
    assert max(drift.turns) < 1e-6


def test_a_probability_that_is_not_finite_names_the_question() -> None:
    with pytest.raises(DivergenceError, match="question 'q'"):
        corrected(batch(item((0.2, 0.3, 0.4), advantage=1.0)), Known([float("nan"), 0.0, 0.0]), objective(2.0))
