from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo.algorithm.advantages import compute_advantages
from axpo.algorithm.batching import MiniBatch, TrainItem, build_batch, make_targets
from axpo.algorithm.loss import policy_loss
from axpo.algorithm.types import Advantage, Branch, BranchPoint, Group
from axpo.settings.config import AdvantageConfig, Aggregation, LossConfig, OptimConfig
from axpo_agents.types import Context, Rollout
from axpo_envs.images import ImageRef

THINK = "<think>t</think><tool_call>"  # 4 tokens
PLAIN = LossConfig(kl=0.0)
ONE_STEP = OptimConfig(minibatches=1)


def advantage(toy: SimpleNamespace, *turns: str, value: float = 1.0, group: int = 0, **stretch: int) -> Advantage:
    rollout = toy.rollout(*turns)
    whole = {"start": 2, "stop": len(rollout.sequence().ids)}
    return Advantage(rollout=rollout, value=value, group=group, **{**whole, **stretch})


def items_of(batch: MiniBatch) -> list[TrainItem]:
    return [item for micro_batch in batch.micro_batches for item in micro_batch]


def test_a_source_is_scored_up_to_its_cut_only(toy):
    (batch,) = build_batch([advantage(toy, THINK + "x</tool_call>", "y", stop=6)], PLAIN, ONE_STEP, seed=0)
    (item,) = items_of(batch)
    assert toy.decode(item.sequence.ids) == "Q:" + THINK
    assert item.sequence.sampled == (False,) * 2 + (True,) * 4
    assert item.sequence.logprobs == (0.0,) * 2 + (math.log(0.5),) * 4
    assert item.trained == (True,) * 4
    assert (batch.trained_tokens, batch.scored_tokens) == (4, 6)


def test_a_cut_in_a_later_turn_keeps_the_turns_and_contexts_before_it(toy):
    (batch,) = build_batch([advantage(toy, "ab", "cd", "ef", stop=7)], PLAIN, ONE_STEP, seed=0)
    (item,) = items_of(batch)
    assert toy.decode(item.sequence.ids) == "Q:abR:c"
    assert item.trained == (True, True, True)


def test_a_continuation_does_not_train_its_frozen_prefix(toy):
    (batch,) = build_batch([advantage(toy, "ab", THINK + "x", "y", start=10)], PLAIN, ONE_STEP, seed=0)
    (item,) = items_of(batch)
    assert toy.decode(item.sequence.ids) == "Q:abR:" + THINK + "xR:y"
    assert item.trained == (False,) * 6 + (True, True)
    assert batch.trained_tokens == 2


def test_images_behind_the_last_trained_token_are_not_encoded(toy):
    first, second = (ImageRef(np.full((2, 2, 3), shade, dtype=np.uint8)) for shade in (1, 2))
    rollout = toy.rollout("ab", "cd")
    turns = [
        replace(turn, context=Context(ids=toy.encode("<image>"), images=(image,)))
        for turn, image in zip(rollout.completions, (first, second), strict=True)
    ]
    rollout = replace(rollout, completions=tuple(turns))
    cut = Advantage(rollout=rollout, value=1.0, start=1, stop=3, group=0)
    whole = replace(cut, stop=6)
    (batch,) = build_batch([cut, whole], PLAIN, ONE_STEP, seed=0)
    assert [item.sequence.images for item in items_of(batch)] == [(first, second), (first,)]


def test_the_token_mean_counts_what_is_left_out(toy):
    advantages = [advantage(toy, "abc"), advantage(toy, "d", value=0.0), advantage(toy, "ef", value=-1.0)]
    (batch,) = build_batch(advantages, PLAIN, ONE_STEP, seed=0)
    assert [item.advantage for item in items_of(batch)] == [1.0, -1.0]
    assert [item.weight for item in items_of(batch)] == [1 / 6, 1 / 6]
    assert batch.trained_tokens == 6
    (kept,) = build_batch(advantages, replace(PLAIN, skip_zero_advantage=False), ONE_STEP, seed=0)
    assert len(items_of(kept)) == 3
    assert sum(item.weight * sum(item.trained) for item in items_of(kept)) == pytest.approx(1)


def test_the_sequence_mean_weighs_sequences_alike(toy):
    advantages = [advantage(toy, "abc"), advantage(toy, "d", value=0.0), advantage(toy, "ef", value=-1.0)]
    config = replace(PLAIN, aggregation=Aggregation.SEQUENCE_MEAN)
    (batch,) = build_batch(advantages, config, ONE_STEP, seed=0)
    assert [item.weight for item in items_of(batch)] == pytest.approx([1 / 9, 1 / 6])


def test_minibatches_hold_whole_groups_in_an_order_drawn_from_the_seed(toy):
    advantages = [advantage(toy, "a" * (group + 1), group=group) for group in range(7) for _ in range(3)]

    def parts(seed: int) -> list[set[int]]:
        batches = build_batch(advantages, PLAIN, OptimConfig(minibatches=3), seed=seed)
        return [{len(item.trained) for item in items_of(batch)} for batch in batches]

    assert parts(0) == parts(0)
    assert len({str(parts(seed)) for seed in range(5)}) > 1
    for seed in range(5):
        assert sorted(map(len, parts(seed))) == [2, 2, 3]
        assert set.union(*parts(seed)) == set(range(1, 8))


def test_weights_are_those_of_the_minibatch(toy):
    advantages = [advantage(toy, "a" * (group + 1), group=group) for group in range(2)]
    batches = build_batch(advantages, PLAIN, OptimConfig(minibatches=2), seed=0)
    assert sorted(items_of(batch)[0].weight for batch in batches) == [1 / 2, 1.0]


def test_minibatches_with_nothing_to_train_do_not_appear(toy):
    advantages = [advantage(toy, "a", value=float(group == 1), group=group) for group in range(4)]
    assert len(build_batch(advantages, PLAIN, OptimConfig(minibatches=4), seed=0)) == 1
    assert build_batch(advantages[:1], PLAIN, ONE_STEP, seed=0) == ()
    assert build_batch([], PLAIN, ONE_STEP, seed=0) == ()


def test_an_advantage_without_sampled_tokens_is_refused(toy):
    with pytest.raises(ValueError, match=r"\[3, 5\) of a rollout of question 'q0' \(6 tokens\) covers none"):
        build_batch([advantage(toy, "a", "b", start=3, stop=5)], PLAIN, ONE_STEP, seed=0)


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=20), limit=st.integers(1, 100))
def test_micro_batches_fit_the_limit_or_hold_one_item(toy, lengths, limit):
    advantages = [advantage(toy, "a" * length) for length in lengths]
    (batch,) = build_batch(advantages, PLAIN, OptimConfig(minibatches=1, micro_batch_tokens=limit), seed=0)
    assert sorted(len(item.trained) for item in items_of(batch)) == sorted(lengths)
    longest = [max(len(item.sequence.ids) for item in micro_batch) for micro_batch in batch.micro_batches]
    assert longest == sorted(longest, reverse=True)
    for micro_batch, length in zip(batch.micro_batches, longest, strict=True):
        assert len(micro_batch) == 1 or len(micro_batch) * length <= limit


def test_targets_follow_the_sampled_tokens_of_the_items(toy):
    advantages = [advantage(toy, "ab", "c", value=2.0), advantage(toy, THINK + "x", value=-1.0, start=6)]
    (batch,) = build_batch(advantages, PLAIN, ONE_STEP, seed=0)
    targets = make_targets(batch.micro_batches[0])
    assert targets.old_logprobs.tolist() == pytest.approx([math.log(0.5)] * 8)
    # Both are 7 tokens long with their contexts, so they stay in order: "ab", "c", then THINK and "x".
    assert targets.advantages.tolist() == [2.0, 2.0, 2.0, 0.0, 0.0, 0.0, 0.0, -1.0]
    assert targets.weights.tolist() == pytest.approx([0.25] * 3 + [0.0] * 4 + [0.25])


def recovered_group(toy: SimpleNamespace, policy: Any) -> Group:
    """Everything wrong; the first rollout's prefix was recovered by the second of two continuations."""

    def rollout(*turns: str, reward: float = 0.0, forced: int = 0) -> Rollout:
        made = toy.rollout(*turns, reward=reward, forced=forced)
        ids = made.sequence().ids
        with torch.no_grad():
            scores = policy._score(ids).tolist()
        offsets = [made.turn_offset(turn) for turn in range(len(turns))]
        completions = tuple(
            replace(completion, logprobs=tuple(scores[offset : offset + len(completion.ids)]))
            for completion, offset in zip(made.completions, offsets, strict=True)
        )
        return replace(made, completions=completions)

    prefix = "<think>no</think><tool_call>"
    source = rollout(prefix + "bad</tool_call>", "<answer>0</answer>")
    continuations = (
        rollout(prefix + "odd</tool_call>", "<answer>3</answer>", forced=5),
        rollout(prefix + "good</tool_call>", "<answer>7</answer>", reward=1.0, forced=5),
    )
    point = BranchPoint(group=0, rollout=0, turn=0, token=5, confidence=0.5, snapshot=source.snapshots[0])
    branch = Branch(point=point, continuations=continuations)
    return Group(question=toy.question(), rollouts=(source, rollout("<answer>1</answer>")), branches=(branch,))


def test_a_recovered_prefix_and_its_continuations_are_trained_once_each_and_nothing_else(toy):
    policy = toy.Policy(lambda text, rng: "")
    advantages = compute_advantages([recovered_group(toy, policy)], AdvantageConfig())
    optim = OptimConfig(minibatches=1, micro_batch_tokens=40)
    (batch,) = build_batch(advantages, PLAIN, optim, seed=0)
    assert len(batch.micro_batches) > 1
    for items in batch.micro_batches:
        logprobs = torch.cat(policy.logprobs([item.sequence for item in items]))
        loss, _ = policy_loss(logprobs, make_targets(items), PLAIN)
        loss.backward()

    # By hand. Rewards (0, 0) with the source's replaced: (1, 0); continuations (0, 1): the same spread.
    value = 0.5 / (math.sqrt(0.5) + 1e-6)
    trained = [  # what stands before, what is trained after it, with which advantage
        (":", "<think>no</think><tool_call>", value),
        ("<tool_call>", "odd</tool_call>", -value),
        (":", "<answer>3</answer>", -value),
        ("<tool_call>", "good</tool_call>", value),
        (":", "<answer>7</answer>", value),
    ]
    # The other rollout, all wrong among wrong ones, has advantage 0: no gradient, but its tokens count in the mean.
    count = sum(len(toy.encode(text)) for _, text, _ in trained) + len(toy.encode("<answer>1</answer>"))
    assert batch.trained_tokens == count
    table = policy.table.detach()
    expected = torch.zeros_like(table)
    for before, text, sign in trained:
        ids = toy.encode(before + text)
        for previous, token in pairwise(ids):
            # d log softmax(z)[token] / dz = onehot(token) - softmax(z); the ratio is 1.
            expected[previous] += sign / count * torch.softmax(table[previous], -1)
            expected[previous, token] -= sign / count
    assert torch.allclose(policy.table.grad, expected, atol=1e-7)
    # Rows of tokens that only the source's own call ("bad") goes through stay untouched.
    assert policy.table.grad[toy.encode("b")[0]].abs().max() == 0
    assert policy.table.grad[toy.encode("n")[0]].abs().max() > 0
