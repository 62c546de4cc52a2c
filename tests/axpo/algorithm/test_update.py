from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from axpo.algorithm.batching import MiniBatch, build_batch, make_targets
from axpo.algorithm.loss import policy_loss
from axpo.algorithm.optimizer import Optimizer
from axpo.algorithm.types import Advantage
from axpo.algorithm.update import DivergenceError, Objective, update
from axpo.settings.config import LossConfig, OptimConfig

OPTIM = OptimConfig(lr=1e-2, minibatches=1)
PLAIN = LossConfig(kl=0.0)


def policy(toy: SimpleNamespace) -> SimpleNamespace:
    made = toy.Policy(lambda text, rng: "x")
    made.table = torch.nn.Parameter(made.table.detach())
    return made


def batch(toy: SimpleNamespace, loss: LossConfig, **optim: int) -> tuple[MiniBatch, ...]:
    """Six rollouts of three questions, of different length, half of them good."""
    advantages = [
        Advantage(rollout=rollout, value=(-1.0) ** number, start=2, stop=len(rollout.sequence().ids), group=number // 2)
        for number in range(6)
        for rollout in (toy.rollout("a" * (number + 1), "b"),)
    ]
    settings = OptimConfig(**{"minibatches": 1, "micro_batch_tokens": 10_000, **optim})
    return build_batch(advantages, loss, settings, seed=0)


def test_one_step_follows_the_gradient_of_the_loss(toy):
    trained, expected = policy(toy), policy(toy)
    minibatches = batch(toy, PLAIN)
    optimizer = Optimizer([trained.table], OPTIM)
    stats = update(trained, optimizer, minibatches, Objective(loss=PLAIN))
    items = minibatches[0].micro_batches[0]
    logprobs = torch.cat(expected.logprobs([item.sequence for item in items]))
    loss, totals = policy_loss(logprobs, make_targets(items), PLAIN)
    loss.backward()
    plain = torch.optim.AdamW([expected.table], lr=1e-2, betas=OPTIM.betas, weight_decay=0.0)
    norm = torch.nn.utils.clip_grad_norm_([expected.table], OPTIM.max_grad_norm)
    plain.step()
    torch.testing.assert_close(trained.table, expected.table)
    assert stats.losses == pytest.approx((float(loss.detach()),))
    assert stats.gradient_norms == pytest.approx((float(norm),))
    assert stats.totals == totals
    assert stats.scored_tokens == minibatches[0].scored_tokens


def test_micro_batches_change_nothing_but_rounding(toy):
    whole, split = policy(toy), policy(toy)
    one, many = batch(toy, PLAIN), batch(toy, PLAIN, micro_batch_tokens=1)
    assert len(many[0].micro_batches) == 6
    first = update(whole, Optimizer([whole.table], OPTIM), one, Objective(loss=PLAIN))
    second = update(split, Optimizer([split.table], OPTIM), many, Objective(loss=PLAIN))
    torch.testing.assert_close(whole.table, split.table)
    assert first.losses == pytest.approx(second.losses)
    assert first.gradient_norms == pytest.approx(second.gradient_norms)
    assert first.totals.means() == pytest.approx(second.totals.means())


def test_each_mini_batch_is_an_optimizer_step(toy):
    trained = policy(toy)
    minibatches = batch(toy, PLAIN, minibatches=3)
    optimizer = Optimizer([trained.table], OPTIM)
    stats = update(trained, optimizer, minibatches, Objective(loss=PLAIN))
    assert len(stats.losses) == len(stats.gradient_norms) == 3
    assert float(optimizer.state()["0.step"]) == 3
    assert stats.totals.tokens == sum(minibatch.trained_tokens for minibatch in minibatches)
    assert stats.metrics()["loss"] == pytest.approx(sum(stats.losses) / 3)


def test_nothing_to_train_changes_nothing(toy):
    trained = policy(toy)
    before = trained.table.detach().clone()
    stats = update(trained, Optimizer([trained.table], OPTIM), (), Objective(loss=PLAIN))
    assert torch.equal(trained.table, before)
    assert stats.totals.tokens == 0
    assert set(stats.metrics().values()) == {None}


def test_kl_is_measured_to_the_reference_and_pulls_towards_it(toy):
    loss = LossConfig(kl=100.0)
    trained, reference = policy(toy), policy(toy)
    with torch.no_grad():
        reference.table += torch.randn(reference.table.shape, generator=torch.Generator().manual_seed(1))
    optimizer = Optimizer([trained.table], OPTIM)
    objective = Objective(loss=loss, reference=reference)
    first = update(trained, optimizer, batch(toy, loss), objective)
    for _ in range(20):
        last = update(trained, optimizer, batch(toy, loss), objective)
    assert reference.table.grad is None
    assert first.metrics()["kl"] > last.metrics()["kl"] > 0
    assert first.seconds_reference > 0


def test_log_probabilities_are_those_of_the_sampling_temperature(toy):
    asked = []

    class Policy(toy.Policy):
        def logprobs(self, sequences, *, temperature=1.0):
            asked.append(temperature)
            return super().logprobs(sequences, temperature=temperature)

    trained = Policy(lambda text, rng: "x")
    trained.table = torch.nn.Parameter(trained.table.detach())
    loss = LossConfig(kl=0.1)
    objective = Objective(loss=loss, temperature=0.7, reference=trained)
    update(trained, Optimizer([trained.table], OPTIM), batch(toy, loss), objective)
    assert set(asked) == {0.7}


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_before_the_weights_change(toy, poison):
    trained = policy(toy)
    with torch.no_grad():
        trained.table[toy.encode("a")[0], toy.encode("b")[0]] = poison
    before = trained.table.detach().clone()
    with pytest.raises(
        DivergenceError, match=r"expected finite log-probabilities from the policy; got (nan|-inf) .* question 'q0'"
    ):
        update(trained, Optimizer([trained.table], OPTIM), batch(toy, PLAIN), Objective(loss=PLAIN))
    torch.testing.assert_close(trained.table, before, equal_nan=True, rtol=0, atol=0, check_stride=False)


def test_weights_that_are_not_finite_are_noticed_even_where_the_loss_is(toy):
    trained = policy(toy)
    with torch.no_grad():
        trained.table[toy.encode("~")] = torch.inf
    optimizer = Optimizer([trained.table], OPTIM)
    with pytest.raises(DivergenceError, match="expected finite weights after the optimizer step"):
        update(trained, optimizer, batch(toy, PLAIN), Objective(loss=PLAIN))


def test_finite_weights_that_no_longer_give_probabilities_are_noticed(toy):
    class Policy(toy.Policy):
        def logprobs(self, sequences, *, temperature=1.0):
            scored = super().logprobs(sequences, temperature=temperature)
            return scored if torch.is_grad_enabled() else [values * torch.nan for values in scored]

    trained = Policy(lambda text, rng: "x")
    trained.table = torch.nn.Parameter(trained.table.detach())
    with pytest.raises(DivergenceError, match="from the policy after the optimizer step"):
        update(trained, Optimizer([trained.table], OPTIM), batch(toy, PLAIN), Objective(loss=PLAIN))
