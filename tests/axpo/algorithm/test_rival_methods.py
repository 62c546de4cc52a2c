"""Tests of the rival recipes: their formulas on cases computed by hand, and a step of every method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
import torch

from axpo.algorithm.loss import Targets, policy_loss
from axpo.algorithm.methods import method_named, method_names
from axpo.algorithm.methods.arpo import branches_at, entropy_of
from axpo.algorithm.methods.axpo import ABLATIONS
from axpo.algorithm.methods.cispo import cispo_loss
from axpo.algorithm.methods.gspo import gspo_loss
from axpo.algorithm.methods.pixel_reasoner import curious_rewards
from axpo.algorithm.methods.rltf import rltf_loss, with_feedback
from axpo.algorithm.methods.tool_penalty import tool_efficiency
from axpo.algorithm.step import Training, train_step
from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.settings.config import Aggregation, LossConfig, SamplingConfig, TrainConfig
from axpo_agents.transformers_policy import load_policy
from axpo_agents.types import Rollout
from axpo_envs.types import Question

TOOL = "<think>t</think><tool_call>{}</tool_call>"
DIRECT = "<answer>1</answer>"
PLAIN = LossConfig(kl=0.0)


def credited(name: str, group: Group, **settings: Any) -> list[float]:
    method = method_named(name)
    config = method.configure(TrainConfig(**settings))
    return [advantage.value for advantage in method.credit([group], config)]


def calling(toy: SimpleNamespace, calls: int, reward: float) -> Rollout:
    rollout: Rollout = toy.rollout(*[TOOL] * calls, DIRECT, reward=reward)
    return rollout


def group_of(toy: SimpleNamespace, *calls_and_rewards: tuple[int, float]) -> Group:
    return Group(question=toy.question(), rollouts=tuple(calling(toy, *each) for each in calls_and_rewards))


def leaf(*values: float) -> torch.Tensor:
    return torch.tensor(values, requires_grad=True)


def targets(old: Sequence[float], advantages: Sequence[float], weights: Sequence[float], *sequences: int) -> Targets:
    return Targets(
        old_logprobs=torch.tensor(old),
        advantages=torch.tensor(advantages),
        weights=torch.tensor(weights),
        sequences=torch.tensor(sequences or (0,) * len(old)),
    )


class TestRewards:
    def test_a_bonus_rewards_the_calls_of_right_answers(self, toy: SimpleNamespace) -> None:
        # (1, 1, 0) with (0, 2, 3) calls: (1, 1.2, 0), of mean 2.2 / 3 and sample variance (2.44 - 4.84 / 3) / 2.
        std = math.sqrt((2.44 - 4.84 / 3) / 2) + 1e-6
        expected = [(reward - 2.2 / 3) / std for reward in (1, 1.2, 0)]
        group = group_of(toy, (0, 1.0), (2, 1.0), (3, 0.0))
        assert credited("tool_bonus", group) == pytest.approx(expected)
        assert [rollout.reward for rollout in group.rollouts] == [1.0, 1.0, 0.0]

    @pytest.mark.parametrize(
        ("calls", "fewest", "expected"),
        [
            (0, 0, 1.0),
            (2, 0, math.cos(math.pi / 4)),  # cos(2 pi / (2 * 2 + 4))
            (1, 0, math.cos(math.pi / 6)),
            (1, 1, 1.0),
            (3, 1, math.sin(0.75 * math.pi)),  # f = 2 * 3 / 4 = 1.5
            (2, 1, math.sin(2 / 3 * math.pi)),
        ],
    )
    def test_the_efficiency_falls_from_the_fewest_calls(self, calls: int, fewest: int, expected: float) -> None:
        assert tool_efficiency(calls, fewest) == pytest.approx(expected)

    def test_a_penalty_takes_from_right_answers_alone(self, toy: SimpleNamespace) -> None:
        rewards = (1.0, math.sin(0.75 * math.pi), 0.0)  # the fewest calls of a right answer are 1
        mean = sum(rewards) / 3
        std = math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / 2) + 1e-6
        group = group_of(toy, (1, 1.0), (3, 1.0), (0, 0.0))
        assert credited("tool_penalty", group) == pytest.approx([(reward - mean) / std for reward in rewards])

    def test_a_group_without_a_right_answer_is_not_penalized(self, toy: SimpleNamespace) -> None:
        assert credited("tool_penalty", group_of(toy, (1, -1.0), (3, -1.0)), success_threshold=0.0) == [0.0, 0.0]

    def test_calls_are_rewarded_while_they_are_rare(self, toy: SimpleNamespace) -> None:
        # One of five calls, twice: 0.5 * (0.3 - 0.2) - 0.05 * 1 = 0. Once: 0.05.
        rest = [(0, 0.0)] * 4
        assert curious_rewards(group_of(toy, (2, 0.0), *rest), 0.5) == pytest.approx([0.0] * 5)
        assert curious_rewards(group_of(toy, (1, 1.0), *rest), 0.5) == pytest.approx([1.05, 0, 0, 0, 0])
        # Half of them call: no bonus is left, and the third call costs 0.1.
        often = [(1, 0.0), (3, 1.0), (0, 1.0), (0, 0.0)]
        assert curious_rewards(group_of(toy, *often), 0.5) == pytest.approx([0.0, 0.9, 1.0, 0.0])
        # 1.05 among four 0: mean 0.21, sample standard deviation 1.05 / sqrt(5).
        assert credited("pixel_reasoner", group_of(toy, (1, 1.0), *rest))[0] == pytest.approx(
            0.84 / (1.05 / math.sqrt(5) + 1e-6)
        )

    def test_dr_grpo_divides_by_nothing(self, toy: SimpleNamespace) -> None:
        assert credited("dr_grpo", group_of(toy, (0, 1.0), (0, 0.0), (0, 0.0), (1, 0.0))) == [0.75, -0.25, -0.25, -0.25]
        assert method_named("dr_grpo").configure(TrainConfig()).loss.aggregation is Aggregation.SEQUENCE_SUM


class TestLosses:
    def test_cispo_clips_the_weight_and_keeps_the_gradient(self) -> None:
        # Ratios 2 (clipped to 1.4), 2 (a negative advantage is clipped, too) and 0.5 (nothing is clipped from below).
        logprobs = leaf(-1.0, -2.0, -3.0)
        old = [-1.0 - math.log(2), -2.0 - math.log(2), -3.0 + math.log(2)]
        loss, stats = cispo_loss(logprobs, targets(old, [1.0, -1.0, -1.0], [0.5, 0.25, 0.25]), PLAIN)
        loss.backward()
        assert loss.item() == pytest.approx(-(0.5 * 1.4 * -1.0 - 0.25 * 1.4 * -2.0 - 0.25 * 0.5 * -3.0))
        assert logprobs.grad is not None
        assert logprobs.grad.tolist() == pytest.approx([-0.5 * 1.4, 0.25 * 1.4, 0.25 * 0.5])
        assert (stats.clipped_low, stats.clipped_high, stats.ratio) == pytest.approx((0, 2, 4.5))

    def test_gspo_has_one_ratio_for_a_sequence_and_clips_it_whole(self) -> None:
        # Sequence 0 has log ratios (0.2, 0.4, untrained): s = exp(0.3); sequence 1 has 0.1.
        logprobs = leaf(-1.0, -1.0, -1.0, -1.0)
        given = targets([-1.2, -1.4, -9.0, -1.1], [1.0, 1.0, 0.0, -1.0], [0.25, 0.25, 0.0, 0.5], 0, 0, 0, 1)
        loss, stats = gspo_loss(logprobs, given, replace(PLAIN, clip_low=0.5, clip_high=0.5))
        loss.backward()
        assert loss.item() == pytest.approx(-(0.5 * math.exp(0.3) - 0.5 * math.exp(0.1)))
        assert logprobs.grad is not None
        half = 0.25 * math.exp(0.3)  # each of two tokens moves half of the mean: 2 * 0.25 * s / 2
        assert logprobs.grad.tolist() == pytest.approx([-half, -half, 0.0, 0.5 * math.exp(0.1)])
        assert stats.tokens == 3

        logprobs = leaf(-1.0, -1.0, -1.0, -1.0)
        loss, stats = gspo_loss(logprobs, given, replace(PLAIN, clip_high=0.1))
        loss.backward()
        assert logprobs.grad is not None
        assert logprobs.grad.tolist() == pytest.approx([0.0, 0.0, 0.0, 0.5 * math.exp(0.1)])
        assert (stats.clipped_low, stats.clipped_high) == (0, 2)

    def test_rltf_has_no_ratio(self) -> None:
        logprobs = leaf(-1.0, -2.0)
        loss, stats = rltf_loss(logprobs, targets([-9.0, -0.5], [1.0, -0.5], [0.5, 0.5]), PLAIN)
        loss.backward()
        assert loss.item() == pytest.approx(-(0.5 * -1.0 + 0.5 * -0.5 * -2.0))
        assert logprobs.grad is not None
        assert logprobs.grad.tolist() == pytest.approx([-0.5, 0.25])
        assert (stats.clipped_low, stats.clipped_high) == (0, 0)

    @pytest.mark.parametrize("loss", [cispo_loss, gspo_loss, rltf_loss])
    def test_on_policy_all_have_the_gradient_of_ppo_and_the_kl(self, loss: Any) -> None:
        given = targets([-1.0, -2.0], [1.0, 1.0], [0.5, 0.5])
        reference = torch.tensor([-1.5, -2.5])
        gradients = []
        for function in (loss, policy_loss):
            logprobs = leaf(-1.0, -2.0)
            value, stats = function(logprobs, given, LossConfig(kl=0.1), reference=reference)
            value.backward()
            assert logprobs.grad is not None
            gradients.append([*logprobs.grad.tolist(), stats.kl])
        assert gradients[0] == pytest.approx(gradients[1])
        with pytest.raises(ValueError, match="reference"):
            loss(leaf(-1.0, -2.0), given, LossConfig(kl=0.1))


def test_dapo_raises_the_bound_and_replaces_dead_groups() -> None:
    config = method_named("dapo").configure(TrainConfig())
    assert (config.loss.clip_low, config.loss.clip_high, config.loss.kl) == (0.2, 0.28, 0.0)
    assert config.loss.aggregation is Aggregation.TOKEN_MEAN
    assert config.sampling.dynamic_rounds == 3
    own = TrainConfig(sampling=SamplingConfig(dynamic_rounds=1))
    assert method_named("dapo").configure(own).sampling.dynamic_rounds == 1


@dataclass
class FakeRounds:
    """Rounds whose attempts and second questions are answered by rollouts that were made before."""

    toy: SimpleNamespace
    groups: tuple[Group, ...]
    config: TrainConfig
    attempted: list[list[tuple[int, int, int, int]]] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)

    def seed(self, purpose: str) -> int:
        return 0

    def sample(self, questions: int) -> tuple[Group, ...]:
        raise AssertionError("nothing further is asked")

    def ask(self, questions: Sequence[Question], *, size: int) -> tuple[Group, ...]:
        assert size == 1
        self.asked += questions
        turns = [self.toy.rollout(TOOL, DIRECT, reward=float(n == 0)) for n, _ in enumerate(questions)]
        return tuple(Group(question=q, rollouts=(turn,)) for q, turn in zip(questions, turns, strict=True))

    def attempt(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        self.attempted.append([(p.group, p.rollout, p.turn, p.continuations) for p in points])
        grown = [list(group.branches) for group in groups]
        for point in points:
            new = tuple(calling(self.toy, 1, 1.0) for _ in range(point.continuations))
            grown[point.group].append(Branch(point=point, continuations=new))
        return tuple(group.with_branches(tuple(new)) for group, new in zip(groups, grown, strict=True))


class TestArpo:
    def uncertain(self, toy: SimpleNamespace, first: float, second: float) -> Rollout:
        """Two turns whose first 20 tokens have that entropy, as a share; what follows has none."""
        rollout = toy.rollout(TOOL, "a" * 40)
        share = math.log(151_936)
        turns = [
            replace(turn, logprobs=tuple(-entropy * share if n < 20 else 0.0 for n in range(len(turn.ids))))
            for turn, entropy in zip(rollout.completions, (first, second), strict=True)
        ]
        changed: Rollout = replace(rollout, completions=tuple(turns))
        return changed

    def test_the_entropy_is_that_of_the_first_twenty_tokens(self, toy: SimpleNamespace) -> None:
        rollout = self.uncertain(toy, 0.25, 0.75)
        assert entropy_of(rollout.completions[1]) == pytest.approx(0.75)
        assert entropy_of(replace(rollout.completions[1], ids=(), logprobs=())) == 0.0

    def test_a_rise_of_the_entropy_makes_branches_likelier(self, toy: SimpleNamespace) -> None:
        rising, falling = self.uncertain(toy, 0.25, 0.75), self.uncertain(toy, 0.75, 0.25)
        assert [branches_at(rising, 1, draw) for draw in (0.0, 0.59, 0.61)] == [True, True, False]
        assert [branches_at(falling, 1, draw) for draw in (0.39, 0.41)] == [True, False]

    def test_half_of_the_slots_start_at_the_question_and_the_rest_branches_or_starts_anew(
        self, toy: SimpleNamespace
    ) -> None:
        arpo = method_named("arpo")
        config = arpo.configure(TrainConfig(sampling=SamplingConfig(group_size=6)))
        assert arpo.first_rollouts is not None
        assert arpo.first_rollouts(config) == 3
        assert arpo.first_rollouts(TrainConfig(sampling=SamplingConfig(group_size=3))) == 1
        # random.Random(0) draws 0.84, 0.76, 0.42, 0.26, 0.51, 0.40: with no change of the entropy the third of turn 1
        # and the first of turn 2 branch.
        first = group_of(toy, (2, 0.0), (2, 0.0), (1, 1.0))
        rounds = FakeRounds(toy, (first,), config)
        assert arpo.refine is not None
        (group,) = arpo.refine(rounds)
        assert rounds.attempted == [[(0, 2, 1, 1)], [(0, 0, 2, 1)], [(0, 0, 0, 1)]]
        assert len(group.rollouts) + sum(len(branch.continuations) for branch in group.branches) == 6

        advantages = arpo.credit([group], config)
        # Rewards (0, 0, 1, 1, 1, 1): mean 2/3, sample variance 4/15.
        std = math.sqrt(4 / 15) + 1e-6
        assert [a.value for a in advantages] == pytest.approx([-2 / 3 / std] * 2 + [1 / 3 / std] * 4)
        assert all(advantage.start == 2 for advantage in advantages), "shared tokens are trained with every rollout"

    def test_no_slot_is_given_twice(self, toy: SimpleNamespace) -> None:
        arpo = method_named("arpo")
        config = arpo.configure(TrainConfig(sampling=SamplingConfig(group_size=4)))
        rounds = FakeRounds(toy, (group_of(toy, *[(3, 0.0)] * 3),), config)
        assert arpo.refine is not None
        (group,) = arpo.refine(rounds)
        assert sum(len(branch.continuations) for branch in group.branches) == 1


class TestRltf:
    def test_the_second_attempt_is_told_the_answer_and_whether_it_was_right(self, toy: SimpleNamespace) -> None:
        rollout = toy.rollout(DIRECT, reward=0.0)
        turn = replace(rollout.episode.turns[0], answer="1")
        answered = replace(rollout, episode=replace(rollout.episode, turns=(turn,)))
        assert with_feedback(answered, 0.5).prompt == ("?", "\nAn earlier attempt answered: 1. That was wrong.")
        silent = replace(rollout, episode=replace(rollout.episode, turns=(replace(turn, answer=None),), reward=1.0))
        assert with_feedback(silent, 0.5).prompt == ("?", "\nAn earlier attempt gave no answer. That was right.")
        assert with_feedback(answered, 0.5).id == rollout.episode.question.id

    def test_second_attempts_are_learned_behind_the_first_prompt(self, toy: SimpleNamespace) -> None:
        rltf = method_named("rltf")
        rounds = FakeRounds(toy, (group_of(toy, (0, 1.0), (1, 0.0), (0, 0.0), (0, 0.0)),), TrainConfig())
        assert rltf.refine is not None
        (group,) = rltf.refine(rounds)
        assert len(rounds.asked) == 4
        advantages = rltf.credit([group], rounds.config)
        assert [a.value for a in advantages[4:]] == [0.75, -0.25, -0.25, -0.25]
        prompt = group.rollouts[0].completions[0].context
        for advantage in advantages[4:]:
            assert advantage.rollout.completions[0].context is prompt
            assert advantage.start == len(prompt.ids)
        # First attempts are GRPO's: 1 among (1, 0, 0, 0) has 0.75 / 0.5.
        assert [a.value for a in advantages[:4]] == pytest.approx([1.5, -0.5, -0.5, -0.5], abs=1e-5)


@pytest.fixture(scope="module")
def toy_env() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1]))
        yield __import__("toy_env")


@pytest.mark.parametrize("name", sorted({*method_names()} - {ablation.name for ablation in ABLATIONS}))
def test_every_method_makes_a_step_that_changes_the_weights(toy_env: Any, name: str) -> None:
    base = toy_env.toy_config(Path("unused"), steps=1, method=name)
    config = replace(base, optim=replace(base.optim, lr=1e-3))
    policy = load_policy("tiny-random")
    before = [parameter.detach().clone() for parameter in policy.trainable_parameters()]
    outcome = train_step(Training.of(config, gymnasium.make(toy_env.ENV_ID).unwrapped, policy), 1)
    assert outcome.groups
    assert outcome.discarded_rollouts == 0 or name == "dapo", "what is sampled is learned from, or was replaced"
    assert any(not torch.equal(a, b) for a, b in zip(before, policy.trainable_parameters(), strict=True))
    loss = outcome.stats.metrics()["loss"]
    assert loss is not None
    assert math.isfinite(loss)
