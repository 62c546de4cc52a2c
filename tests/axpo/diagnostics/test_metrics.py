from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.diagnostics.metrics import evaluation_metrics, step_metrics
from axpo_agents.types import Rollout
from axpo_envs.types import CallOutcome, CallRecord, Label, RewardTerm, StopReason, ToolResult, ToolStatus

THINK = "<think>t</think><tool_call>"  # 4 tokens
TOOL = THINK + "{}</tool_call>"  # 7 tokens
TWICE = "<tool_call>{}</tool_call><tool_call>{}</tool_call>"
DIRECT = "<answer>1</answer>"  # 3 tokens


def group_of(toy: SimpleNamespace, *rollouts: Rollout, **fields: object) -> Group:
    return Group(question=toy.question(**fields), rollouts=rollouts)


def with_status(rollout: Rollout, status: ToolStatus) -> Rollout:
    turns = tuple(
        replace(turn, calls=tuple(replace(call, result=ToolResult(status=status)) for call in turn.calls))
        for turn in rollout.episode.turns
    )
    return replace(rollout, episode=replace(rollout.episode, turns=turns))


def test_tool_use_and_success_of_the_two_subgroups(toy):
    groups = [
        group_of(toy, toy.rollout(TOOL, DIRECT, reward=1), toy.rollout(TOOL, DIRECT), toy.rollout(DIRECT)),
        group_of(toy, toy.rollout(TOOL, DIRECT), toy.rollout(DIRECT), toy.rollout(DIRECT, reward=1)),
        group_of(toy, toy.rollout(DIRECT), toy.rollout(DIRECT)),
    ]
    metrics = step_metrics(groups)
    expected = {
        "rollouts": 8,
        "tokens": 5 * 3 + 3 * 10,
        "reward_mean": 2 / 8,
        "tool_attempt_rate": 3 / 8,
        "tool_pass1": 1 / 3,
        "no_tool_pass1": 1 / 5,
        "paired_questions": 2,
        "paired_tool_pass1": (1 / 2 + 0) / 2,
        "paired_no_tool_pass1": (0 + 1 / 2) / 2,
        "all_wrong_tool_subgroups": 1 / 2,
        "all_wrong_no_tool_subgroups": 2 / 3,
        "dead_groups": 1 / 3,
        "triggered_groups": 1,
        "selected_prefixes": 0,
        "continuations": 0,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_calls_are_counted_by_how_far_they_got(toy):
    rollouts = [
        toy.rollout(TWICE, DIRECT),
        with_status(toy.rollout(TOOL, DIRECT), ToolStatus.ERROR),
        toy.rollout(TOOL, DIRECT, outcome=CallOutcome.MALFORMED),
        with_status(toy.rollout(TOOL, DIRECT, outcome=CallOutcome.OVER_LIMIT), ToolStatus.DENIED),
        toy.rollout(DIRECT),
    ]
    metrics = step_metrics([group_of(toy, *rollouts)])
    assert metrics["tool_call_valid_rate"] == pytest.approx(4 / 5)
    assert metrics["tool_success_rate"] == pytest.approx(2 / 5)
    assert metrics["well_formed_rate"] == pytest.approx(4 / 5)


def test_without_calls_their_rates_are_undefined(toy):
    metrics = step_metrics([group_of(toy, toy.rollout(DIRECT))], tools=("zoom",))
    undefined = {name for name, value in metrics.items() if value is None}
    assert undefined == {
        "tool_call_valid_rate",
        "tool_success_rate",
        "tool_pass1",
        "tool_reward_mean",
        "paired_tool_pass1",
        "paired_no_tool_pass1",
        "all_wrong_tool_subgroups",
        "all_wrong_after_resampling",
        "flipped_subgroups",
        "premature_stop",
        "declined_correctly",
        "failed_to_act",
        "forbidden_attempt",
        "forbidden_executed",
        "forbidden_dry_run",
        "forbidden_denied",
        "over_acting",
        "no_signal_at_calls",
        "recovery_rate",
        "continuation_pass1",
        "continuation_reward_mean",
    }
    assert metrics["tool_attempt_rate"] == 0


def test_no_groups_have_the_same_names_and_no_rates(toy):
    metrics = step_metrics([])
    some = step_metrics([group_of(toy, toy.rollout(DIRECT))])
    assert metrics.keys() == {name for name in some if not name.startswith("reward/")}
    assert metrics["rollouts"] == 0
    assert metrics["tool_attempt_rate"] is None


@pytest.mark.parametrize(
    ("thought", "mentioned"),
    [
        ("<think>I should image_zoom_in now</think>", True),
        ("<think>Image zoom-in would help</think>", True),
        ("opened by the prompt: image_zoom_in</think>", True),
        ("<think>never closed image_zoom_in", True),
        ("<think>image_zoom_inside</think>", False),
        ("<think>zoom</think>", False),
        ("image_zoom_in outside of thinking", False),
    ],
)
def test_mention_without_call_reads_the_thinking(toy, thought, mentioned):
    group = group_of(toy, toy.rollout(thought + DIRECT), toy.rollout(DIRECT))
    assert step_metrics([group], tools=("search", "image_zoom_in"))["mention_without_call"] == mentioned / 2
    assert step_metrics([group])["mention_without_call"] is None


def test_mentions_of_rollouts_that_do_call_are_not_counted(toy):
    group = group_of(toy, toy.rollout("<think>zoom</think><tool_call>{}</tool_call>", DIRECT))
    assert step_metrics([group], tools=("zoom",))["mention_without_call"] == 0


def test_premature_stops_are_wrong_and_made_fewer_calls_than_hops(toy):
    rollouts = [
        toy.rollout(TOOL, DIRECT),  # one call, wrong: premature
        toy.rollout(TOOL, DIRECT, reward=1),  # one call, right
        toy.rollout(TOOL, TOOL, DIRECT),  # two calls, wrong
        toy.rollout(TWICE, DIRECT),  # two calls in one turn
        toy.rollout(DIRECT),  # no tool use: not counted
    ]
    assert step_metrics([group_of(toy, *rollouts, hops=2)])["premature_stop"] == pytest.approx(1 / 4)
    assert step_metrics([group_of(toy, *rollouts)])["premature_stop"] is None


def test_labels_say_what_declining_means(toy):
    rollouts = (toy.rollout(TOOL, DIRECT), toy.rollout(DIRECT), toy.rollout(DIRECT))
    act = step_metrics([group_of(toy, *rollouts, labels=frozenset({Label.MUST_ACT}))])
    assert (act["declined_correctly"], act["failed_to_act"]) == (None, pytest.approx(2 / 3))
    decline = step_metrics([group_of(toy, *rollouts, labels=frozenset({Label.MUST_NOT_ACT}))])
    assert (decline["declined_correctly"], decline["failed_to_act"]) == (pytest.approx(2 / 3), None)


def test_branches_count_in_recovery_and_cost_but_in_no_rate(toy):
    source = toy.rollout(TOOL, DIRECT)
    point = BranchPoint(group=0, rollout=0, turn=0, token=4, confidence=0.5, snapshot=source.snapshots[0])
    continuations = tuple(toy.rollout(THINK + "x", DIRECT, reward=r, forced=4) for r in (0.0, 1.0))
    lost = replace(point, rollout=1)
    branches = (
        Branch(point=point, continuations=continuations),
        Branch(point=lost, continuations=continuations[:1]),
    )
    group = group_of(toy, source, source, toy.rollout(DIRECT)).with_branches(branches)
    metrics = step_metrics([group])
    expected = {
        "selected_prefixes": 2,
        "recovery_rate": 1 / 2,
        "continuation_pass1": 1 / 3,
        "continuations": 3,
        "rollouts": 6,
        "tokens": 10 + 10 + 3 + 3 * 4,  # each continuation sampled "x" and an answer
        "reward_mean": 0,
        "tool_attempt_rate": 2 / 3,
        "triggered_groups": 1,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_pass1_is_thresholded_and_mean_rewards_have_names_of_their_own(toy):
    source = toy.rollout(TOOL, DIRECT, reward=-0.1)
    point = BranchPoint(group=0, rollout=1, turn=0, token=4, confidence=0.5, snapshot=source.snapshots[0])
    continuations = tuple(toy.rollout(THINK + "x", DIRECT, reward=r, forced=4) for r in (0.3, 0.9))
    rollouts = (toy.rollout(TOOL, DIRECT, reward=1.2), source, toy.rollout(DIRECT, reward=0.4))
    group = group_of(toy, *rollouts).with_branches((Branch(point=point, continuations=continuations),))
    metrics = step_metrics([group])
    expected = {
        "tool_pass1": 0.5,
        "tool_reward_mean": 0.55,
        "no_tool_pass1": 0.0,
        "no_tool_reward_mean": 0.4,
        "paired_tool_pass1": 0.5,
        "paired_no_tool_pass1": 0.0,
        "continuation_pass1": 0.5,
        "continuation_reward_mean": 0.6,
        "reward_mean": 0.5,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_the_terms_of_the_reward_are_measured_by_name(toy):
    def scored(**terms: float) -> Rollout:
        rollout = toy.rollout(DIRECT, reward=sum(terms.values()))
        named = tuple(RewardTerm(name=name, value=value) for name, value in terms.items())
        return replace(rollout, episode=replace(rollout.episode, terms=named))

    groups = [group_of(toy, scored(correct=1.0, calls=-0.1), scored(correct=0.0)), group_of(toy, scored(correct=1.0))]
    metrics = step_metrics(groups)
    assert metrics["reward/correct"] == pytest.approx(2 / 3)
    assert metrics["reward/calls"] == pytest.approx(-0.1 / 3)
    assert metrics["reward_mean"] == pytest.approx(metrics["reward/correct"] + metrics["reward/calls"])
    estimate = evaluation_metrics(groups)["reward/calls"]
    assert estimate is not None
    assert estimate.value == pytest.approx(-0.1 / 3)


def test_recovered_subgroups_no_longer_count_as_all_wrong_after_resampling(toy):
    def branched(*rewards: float) -> Group:
        source = toy.rollout(TOOL, DIRECT)
        point = BranchPoint(group=0, rollout=0, turn=0, token=4, confidence=0.5, snapshot=source.snapshots[0])
        grown = tuple(toy.rollout(THINK + "x", DIRECT, reward=r, forced=4) for r in rewards)
        return group_of(toy, source, toy.rollout(DIRECT)).with_branches((Branch(point=point, continuations=grown),))

    groups = [
        branched(0, 1),
        branched(0, 0),
        group_of(toy, toy.rollout(TOOL, DIRECT)),
        group_of(toy, toy.rollout(TOOL, DIRECT, reward=1)),
        group_of(toy, toy.rollout(DIRECT)),
    ]
    metrics = step_metrics(groups)
    assert metrics["all_wrong_tool_subgroups"] == pytest.approx(3 / 4)
    assert metrics["all_wrong_after_resampling"] == pytest.approx(2 / 4)
    assert metrics["flipped_subgroups"] == pytest.approx(1 / 3)


def test_prompts_without_room_for_a_token_are_counted(toy):
    empty = toy.rollout("", stop=StopReason.MAX_TOKENS)
    assert step_metrics([group_of(toy, empty, empty, empty, toy.rollout(DIRECT))])["prompt_too_long"] == 0.75


def test_wrong_follows_the_threshold(toy):
    group = group_of(toy, toy.rollout(TOOL, DIRECT, reward=0.4), toy.rollout(DIRECT, reward=0.4))
    assert step_metrics([group])["all_wrong_tool_subgroups"] == 1
    assert step_metrics([group], success_threshold=0.4)["all_wrong_tool_subgroups"] == 0
    assert step_metrics([group], success_threshold=0.4)["triggered_groups"] == 0


def test_rollouts_cut_off_are_counted_and_not_well_formed(toy):
    group = group_of(toy, toy.rollout("x", stop=StopReason.MAX_TOKENS), toy.rollout(DIRECT))
    metrics = step_metrics([group])
    assert (metrics["cut_off_rate"], metrics["well_formed_rate"]) == (0.5, 0.5)


def test_agents_without_tokens_are_measured_too(toy):
    rollout = replace(toy.rollout(TOOL, DIRECT, reward=1), completions=())
    metrics = step_metrics([group_of(toy, rollout)])
    assert (metrics["tool_pass1"], metrics["tokens"]) == (1, 0)


def test_evaluation_gives_pass_at_k_and_every_rate_with_intervals(toy):
    groups = [
        group_of(toy, toy.rollout(TOOL, DIRECT, reward=1), *[toy.rollout(DIRECT)] * 3),
        group_of(toy, *[toy.rollout(DIRECT)] * 4),
        group_of(toy, toy.rollout(DIRECT, reward=1)),  # too few rollouts for Pass@4
    ]
    estimates = evaluation_metrics(groups, tools=("zoom",))
    assert estimates["pass1"] is not None
    assert estimates["pass1"].value == pytest.approx((1 / 4 + 0 + 1) / 3)
    assert estimates["pass1"].n == 3
    assert estimates["pass4"] is not None
    assert (estimates["pass4"].value, estimates["pass4"].n) == (0.5, 2)
    rates = step_metrics(groups, tools=("zoom",))
    for name, estimate in estimates.items():
        if not name.startswith("pass"):
            assert rates[name] == pytest.approx(None if estimate is None else estimate.value)
    assert estimates["tool_attempt_rate"] is not None
    assert estimates["tool_attempt_rate"].n == 9
    assert estimates["recovery_rate"] is None
    assert evaluation_metrics([])["pass1"] is None


def test_a_call_is_a_record_of_its_text(toy):
    """Guards the builder: the metrics above rest on what it records."""
    (record, _) = toy.rollout(TWICE, DIRECT).episode.calls
    assert isinstance(record, CallRecord)
    assert record.valid
