from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo.algorithm.advantages import compute_advantages, normalize, recovery_reward
from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.settings.config import AdvantageConfig
from axpo_agents.errors import NonFiniteError
from axpo_envs.types import StopReason

THINK = "<think>t</think><tool_call>"  # 4 tokens
TOOL = THINK + "{}</tool_call>"
DIRECT = "<answer>1</answer>"
ONE_OF_FOUR = (0.75 / (0.5 + 1e-6), -0.25 / (0.5 + 1e-6))
"""Normalized 1 and 0 among (1, 0, 0, 0): mean 1/4, sample standard deviation 1/2."""


def grow(toy: SimpleNamespace, source: int, *rewards: float, turn: int = 0, token: int = 4) -> Branch:
    """A branch cut behind `token` tokens of a turn; every continuation goes on with a call and an answer."""
    before = (TOOL,) * turn
    forced = THINK[:0] if token == 0 else THINK
    continuations = tuple(
        toy.rollout(*before, forced + ("x" if token else TOOL), DIRECT, reward=reward, forced=token)
        for reward in rewards
    )
    snapshot = continuations[0].snapshots[turn]
    point = BranchPoint(group=0, rollout=source, turn=turn, token=token, confidence=0.5, snapshot=snapshot)
    return Branch(point=point, continuations=continuations)


def make_group(toy: SimpleNamespace, *rewards: float, branches: tuple[Branch, ...] = (), text: str = TOOL) -> Group:
    rollouts = tuple(toy.rollout(text, DIRECT, reward=reward) for reward in rewards)
    return Group(question=toy.question(), rollouts=rollouts, branches=branches)


def values(group: Group, **config: bool) -> list[float]:
    return [advantage.value for advantage in compute_advantages([group], AdvantageConfig(**config))]


def stretches(toy: SimpleNamespace, group: Group, **config: bool) -> list[str]:
    """The sampled text that each advantage covers."""
    texts = []
    for advantage in compute_advantages([group], AdvantageConfig(**config)):
        sequence = advantage.rollout.sequence()
        covered = range(advantage.start, advantage.stop)
        texts.append(toy.decode([sequence.ids[i] for i in covered if sequence.sampled[i]]))
    return texts


def test_grpo_normalizes_by_the_sample_standard_deviation(toy):
    high, low = ONE_OF_FOUR
    assert values(make_group(toy, 1, 0, 0, 0)) == pytest.approx([high, low, low, low], abs=1e-12)
    assert high == pytest.approx(1.5, abs=1e-5)


@pytest.mark.parametrize("rewards", [(0.0,) * 8, (1.0,) * 8, (0.1,) * 3, (0.7,)])
def test_equal_rewards_give_exactly_zero(toy, rewards):
    assert values(make_group(toy, *rewards)) == [0.0] * len(rewards)


def test_a_group_without_tool_use_is_plain_grpo(toy):
    group = make_group(toy, 0, 1, text=DIRECT)
    spread = 0.5 / (math.sqrt(0.5) + 1e-6)
    assert values(group) == pytest.approx([-spread, spread])
    assert stretches(toy, group) == [DIRECT + DIRECT] * 2


def test_every_sampled_token_of_an_ordinary_rollout_is_covered(toy):
    group = make_group(toy, 1, 0)
    (first, _) = compute_advantages([group], AdvantageConfig())
    assert (first.start, first.stop) == (2, len(group.rollouts[0].sequence().ids))
    assert stretches(toy, group) == [TOOL + DIRECT] * 2


def test_one_recovered_prefix_in_an_all_wrong_group(toy):
    group = make_group(toy, 0, 0, 0, 0, branches=(grow(toy, 1, 0, 0, 1, 0),))
    high, low = ONE_OF_FOUR
    assert values(group) == pytest.approx([0, high, 0, 0, low, low, high, low], abs=1e-12)
    assert stretches(toy, group) == [TOOL + DIRECT, THINK, TOOL + DIRECT, TOOL + DIRECT, *["x" + DIRECT] * 4]


def test_a_prefix_whose_continuations_all_fail_stays_wrong(toy):
    group = make_group(toy, 0, 0, 1, 0, branches=(grow(toy, 0, 0, 0, 0, 0),))
    high, low = ONE_OF_FOUR
    assert values(group) == pytest.approx([low, low, high, low, 0, 0, 0, 0], abs=1e-12)
    assert stretches(toy, group)[0] == THINK


def test_a_prefix_whose_continuations_all_succeed_is_credited_and_they_are_not(toy):
    group = make_group(toy, 0, 0, 0, 0, branches=(grow(toy, 3, 1, 1, 1, 1),))
    assert values(group) == pytest.approx([0, 0, 0, ONE_OF_FOUR[0], 0, 0, 0, 0], abs=1e-12)


def test_two_sources_in_one_group_are_each_computed_alone(toy):
    branches = (grow(toy, 0, 1, 0, 0, 0), grow(toy, 1, 0, 0, 0, 0))
    group = make_group(toy, 0, 0, 1, 0, branches=branches)
    high, low = ONE_OF_FOUR
    recovered = 0.5 / (math.sqrt(1 / 3) + 1e-6)  # among (1, 0, 1, 0)
    expected = [recovered, low, high, low, high, low, low, low, 0, 0, 0, 0]
    assert values(group) == pytest.approx(expected, abs=1e-12)


def test_recovery_compares_with_the_threshold_and_takes_the_best_reward(toy):
    group = make_group(toy, 0, 0, 0, 0, branches=(grow(toy, 0, 0.4, 0.2, 0.2, 0.2),))
    assert compute_advantages([group], AdvantageConfig())[0].value == 0
    recovered = compute_advantages([group], AdvantageConfig(), success_threshold=0.4)[0].value
    assert recovered == pytest.approx(0.3 / (0.2 + 1e-6))  # 0.4 among (0.4, 0, 0, 0)


@pytest.mark.parametrize(
    ("rewards", "continuations", "threshold", "expected"),
    [
        ((-1, -1, 1, 1), (-1, -1), 0.0, -1.0),
        ((-1, -1, -1, -1), (-1, 1), 0.0, 1.0),
        ((0, 10, 10, 0), (10, 0), 5.0, 10.0),
        ((-0.1, 0, 0, 0), (-0.1, -0.1), 0.5, -0.1),
        ((0.4, 0.45, 0.45, 0.45), (0.6, 0.1), 0.5, 0.6),
        ((0.4, 0.45, 0.45, 0.45), (0.45, 0.45), 0.5, 0.4),
        ((0, 0, 0, 1), (1, 0), 0.5, 1.0),
        ((0, 0, 0, 1), (0, 0), 0.5, 0.0),
    ],
)
def test_the_recovery_reward_lives_on_the_scale_of_the_group(toy, rewards, continuations, threshold, expected):
    branch = grow(toy, 0, *continuations)
    group = make_group(toy, *rewards, branches=(branch,))
    assert recovery_reward(group.rollouts[0], branch, success_threshold=threshold) == expected
    first = compute_advantages([group], AdvantageConfig(), success_threshold=threshold)[0]
    assert first.value == normalize([expected, *rewards[1:]])[0]


scales = st.tuples(st.floats(-10, 10), st.floats(0.01, 20))
levels = st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.45, 0.6, 1.0]), min_size=2, max_size=8)


@settings(max_examples=200)
@given(group=levels, continuations=levels, scale=scales, threshold=st.floats(0.05, 0.95))
def test_on_any_scale_failed_prefixes_gain_nothing_and_recovered_ones_lose_nothing(
    toy, group, continuations, scale, threshold
):
    low, width = scale
    rewards, regrown = ([low + width * level for level in values] for values in (group, continuations))
    limit = low + width * threshold
    branch = grow(toy, 0, *regrown)
    plain = make_group(toy, *rewards)
    credited = compute_advantages(
        [plain.with_branches((branch,))], AdvantageConfig(continuation_loss=False), success_threshold=limit
    )
    ordinary = compute_advantages([plain], AdvantageConfig())
    if any(reward >= limit for reward in regrown):
        assert credited[0].value >= ordinary[0].value - 1e-9
    else:
        assert credited[0].value == ordinary[0].value
    assert [a.value for a in credited[1:]] == [a.value for a in ordinary[1:]]


@given(
    rewards=st.lists(st.sampled_from([0.0, 1.0]), min_size=1),
    continuations=st.lists(st.sampled_from([0.0, 1.0]), min_size=1),
)
def test_on_binary_rewards_the_recovery_reward_is_the_papers(toy, rewards, continuations):
    group = make_group(toy, 0.0, *rewards, branches=(grow(toy, 0, *continuations),))
    paper = float(any(continuations))
    assert compute_advantages([group], AdvantageConfig())[0].value == normalize([paper, *rewards])[0]


@pytest.mark.parametrize("reward", [math.nan, math.inf, 1.7e308])
def test_rewards_that_are_not_finite_are_refused_with_their_question(toy, reward):
    group = make_group(toy, reward, -reward)
    with pytest.raises(NonFiniteError, match="question 'q0'"):
        compute_advantages([group], AdvantageConfig())


def test_the_turns_before_the_cut_belong_to_the_prefix(toy):
    branch = grow(toy, 0, 1, 0, turn=1)
    source = toy.rollout(TOOL, TOOL, DIRECT)
    group = Group(question=toy.question(), rollouts=(source, toy.rollout(DIRECT)), branches=(branch,))
    assert stretches(toy, group) == [TOOL + THINK, DIRECT, "x" + DIRECT, "x" + DIRECT]
    (first, *_) = compute_advantages([group], AdvantageConfig())
    assert first.stop == source.turn_offset(1) + 4


def test_without_prefix_credit_the_source_keeps_its_reward_and_all_its_tokens(toy):
    group = make_group(toy, 0, 0, 1, 0, branches=(grow(toy, 0, 1, 0, 0, 0),))
    high, low = ONE_OF_FOUR
    expected = [low, low, high, low, high, low, low, low]
    assert values(group, prefix_credit=False) == pytest.approx(expected, abs=1e-12)
    assert stretches(toy, group, prefix_credit=False)[0] == TOOL + DIRECT


def test_without_separate_groups_all_share_one_normalization_and_train_whole(toy):
    group = make_group(toy, 0, 0, branches=(grow(toy, 0, 1, 0),))
    high, low = ONE_OF_FOUR
    assert values(group, separate_groups=False) == pytest.approx([low, low, high, low], abs=1e-12)
    assert stretches(toy, group, separate_groups=False) == [TOOL + DIRECT] * 2 + [THINK + "x" + DIRECT] * 2


def test_without_continuation_loss_continuations_only_tell_of_recovery(toy):
    group = make_group(toy, 0, 0, 0, 0, branches=(grow(toy, 0, 1, 0),))
    assert values(group, continuation_loss=False) == pytest.approx([ONE_OF_FOUR[0], 0, 0, 0])
    joined = make_group(toy, 0, 0, branches=(grow(toy, 0, 1, 0),))
    low = ONE_OF_FOUR[1]
    assert values(joined, continuation_loss=False, separate_groups=False) == pytest.approx([low, low])


def test_a_branch_from_the_question_credits_nothing_but_its_own_rollouts(toy):
    group = make_group(toy, 0, 0, 1, 0, branches=(grow(toy, 0, 1, 0, 0, 0, token=0),))
    high, low = ONE_OF_FOUR
    assert values(group) == pytest.approx([low, low, high, low, high, low, low, low], abs=1e-12)
    assert stretches(toy, group) == [TOOL + DIRECT] * 8


def test_a_continuation_that_sampled_nothing_has_no_advantage_but_counts(toy):
    branch = grow(toy, 0, 1, 0)
    empty = toy.rollout(THINK, reward=0, forced=4)
    group = make_group(toy, 0, 0, branches=(replace(branch, continuations=(branch.continuations[0], empty)),))
    spread = 0.5 / (math.sqrt(0.5) + 1e-6)
    assert values(group) == pytest.approx([spread, 0, spread])


@pytest.mark.parametrize("stop", [StopReason.MAX_TOKENS, StopReason.MAX_TURNS])
def test_truncated_rollouts_leave_the_loss_but_stay_in_the_group(toy, stop):
    cut_off = toy.rollout(TOOL, reward=0, stop=stop)
    branch = grow(toy, 0, 1, 0)
    kept, truncated = branch.continuations
    branch = replace(branch, continuations=(kept, replace(truncated, episode=replace(truncated.episode, stop=stop))))
    rollouts = (cut_off, toy.rollout(DIRECT, reward=1), cut_off, toy.rollout(DIRECT))
    group = Group(question=toy.question(), rollouts=rollouts, branches=(branch,))
    all_values = values(group)
    assert len(all_values) == 6
    # The credited prefix, both whole rollouts, and the continuation that was not cut off.
    assert values(group, mask_truncated=True) == [all_values[number] for number in (0, 1, 3, 4)]
    joined = values(group, separate_groups=False)
    assert values(group, separate_groups=False, mask_truncated=True) == [joined[n] for n in (1, 3, 4)]


def test_groups_are_numbered_by_their_place_not_by_their_points(toy):
    groups = [make_group(toy, 0, 1), make_group(toy, 0, 0, branches=(grow(toy, 0, 1, 0),))]
    assert [a.group for a in compute_advantages(groups, AdvantageConfig())] == [0, 0, 1, 1, 1, 1]


def test_rollouts_without_tokens_cannot_be_trained(toy):
    group = Group(question=toy.question(), rollouts=(replace(toy.rollout(DIRECT), completions=()),))
    with pytest.raises(ValueError, match="'q0' was recorded without tokens"):
        compute_advantages([group], AdvantageConfig())


def test_two_prefixes_of_one_source_are_refused(toy):
    group = make_group(toy, 0, 0, branches=(grow(toy, 0, 1, 0), grow(toy, 0, 0, 0)))
    with pytest.raises(ValueError, match="rollout 0 of question 'q0' has two"):
        compute_advantages([group], AdvantageConfig())


@given(st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=1, max_size=12))
def test_normalized_rewards_keep_their_order_and_are_centred(rewards):
    normalized = normalize(rewards)
    assert math.fsum(normalized) == pytest.approx(0, abs=1e-6)
    pairs = sorted(zip(rewards, normalized, strict=True))
    assert all(a[1] <= b[1] for a, b in pairwise(pairs))
