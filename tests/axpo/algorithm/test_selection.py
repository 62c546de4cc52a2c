from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axpo.algorithm.selection import is_triggered, prefix_budget, select_prefixes
from axpo.algorithm.types import Branch, Group
from axpo.settings.config import Cut, Ranking, SelectionConfig

TOOL = "<think>t</think><tool_call>{}</tool_call>"
DIRECT = "<think>t</think><answer>1</answer>"


def group_of(toy: SimpleNamespace, *rollouts: tuple[str, float, float]) -> Group:
    """A group of (text, reward, probability of every token)."""
    made = tuple(toy.rollout(text, reward=reward, probability=p) for text, reward, p in rollouts)
    return Group(question=toy.question(), rollouts=made)


def chosen(
    groups: list[Group], seed: int = 0, *, success_threshold: float = 0.5, **config: Any
) -> list[tuple[int, int]]:
    settings = replace(SelectionConfig(), **config)
    points = select_prefixes(groups, settings, seed=seed, success_threshold=success_threshold)
    return [(point.group, point.rollout) for point in points]


def test_a_prefix_ends_behind_the_opening_tag_and_is_ranked_by_the_mean_probability_of_its_call(toy):
    text = "<think>t</think><tool_call>ab</tool_call><end>"
    probabilities = [0.9, 0.9, 0.9, 0.1, 0.2, 0.3, 0.6, 0.9]  # the call's four tokens: 0.1, 0.2, 0.3, 0.6
    rollout = toy.rollout(text)
    completion = replace(rollout.completions[0], logprobs=tuple(math.log(p) for p in probabilities))
    group = Group(question=toy.question(), rollouts=(replace(rollout, completions=(completion,)),))

    (point,) = select_prefixes([group], SelectionConfig(budget=4.0), seed=0)

    assert (point.group, point.rollout, point.turn, point.token) == (0, 0, 0, 4)
    assert toy.decode(completion.ids[: point.token]) == "<think>t</think><tool_call>"
    assert point.confidence == pytest.approx(0.3)
    assert point.snapshot is rollout.snapshots[0]
    assert point.continuations == 4


def test_the_cut_lies_in_the_first_turn_that_calls_a_tool(toy):
    rollout = toy.rollout("no call yet", "x<tool_call>{}</tool_call>", "y<tool_call>{}</tool_call>")
    group = Group(question=toy.question(), rollouts=(rollout,))
    (point,) = select_prefixes([group], SelectionConfig(budget=4.0), seed=0)
    assert (point.turn, point.token) == (1, 2)
    assert point.snapshot is rollout.snapshots[1]


def test_under_a_tight_budget_the_least_confident_questions_get_the_prefixes(toy):
    groups = [
        group_of(toy, (TOOL, 0, 0.8), (TOOL, 0, 0.3), (DIRECT, 0, 0.5), (DIRECT, 1, 0.5)),
        group_of(toy, (TOOL, 1, 0.1), (TOOL, 0, 0.1), (DIRECT, 0, 0.5), (DIRECT, 0, 0.5)),  # a tool use succeeded
        group_of(toy, (TOOL, 0, 0.6), (DIRECT, 0, 0.5), (DIRECT, 0, 0.5), (DIRECT, 0, 0.5)),
        group_of(toy, (TOOL, 0, 0.2), (TOOL, 0, 0.1), (TOOL, 0, 0.9), (TOOL, 0, 0.9)),
        group_of(toy, (DIRECT, 0, 0.1), (DIRECT, 0, 0.1), (DIRECT, 0, 0.1), (DIRECT, 0, 0.1)),  # nothing was tried
    ]
    # 20 rollouts: floor(0.25 * 20 / 2) = 2 of three triggered questions.
    assert chosen(groups, continuations=2) == [(3, 1), (0, 1)]
    # floor(0.5 * 20 / 2) = 5: every question once, then the least confident of what is left.
    assert chosen(groups, continuations=2, budget=0.5) == [(3, 1), (0, 1), (2, 0), (3, 0), (0, 0)]
    # More budget than candidates: the rest is not spent.
    assert len(chosen(groups, continuations=2, budget=2.0)) == 7


def test_ties_go_to_the_earlier_group_and_rollout(toy):
    groups = [group_of(toy, (TOOL, 0, 0.5), (TOOL, 0, 0.5)) for _ in range(2)]
    assert chosen(groups, budget=4.0) == [(0, 0), (1, 0), (0, 1), (1, 1)]


@pytest.mark.parametrize(
    ("budget", "continuations", "rollouts", "prefixes"),
    [(0.25, 4, 128, 8), (0.25, 4, 31, 1), (0.25, 4, 15, 0), (0.29, 1, 100, 29), (0.0, 4, 128, 0), (1.5, 3, 2, 1)],
)
def test_the_budget_is_floored_in_decimal(toy, budget, continuations, rollouts, prefixes):
    group = group_of(toy, *[(TOOL, 0, 0.5)] * rollouts)
    assert len(chosen([group], budget=budget, continuations=continuations)) == prefixes


@given(hundredths=st.integers(1, 300), rollouts=st.integers(1, 300), continuations=st.integers(2, 8))
def test_the_budget_is_exact(hundredths, rollouts, continuations):
    config = SelectionConfig(budget=hundredths / 100, continuations=continuations)
    assert prefix_budget(config, rollouts) == hundredths * rollouts // (100 * continuations)


def test_sources_without_room_behind_the_tag_are_no_candidates(toy):
    full = "<think>t</think><tool_call>"
    groups = [group_of(toy, (full, 0, 0.1), (TOOL, 0, 0.9)), group_of(toy, (full, 0, 0.1), (full, 0, 0.1))]
    assert is_triggered(groups[1], success_threshold=0.5)
    for cut in (Cut.TOOL_CALL, Cut.QUESTION):
        assert chosen(groups, budget=4.0, cut=cut) == [(0, 1)]


def test_a_source_that_has_grown_branches_is_not_cut_again(toy):
    group = group_of(toy, (TOOL, 0, 0.1), (TOOL, 0, 0.9))
    (first,) = select_prefixes([group], SelectionConfig(budget=0.5, continuations=1), seed=0)
    assert first.rollout == 0
    grown = replace(group, branches=(Branch(point=first, continuations=(toy.rollout(TOOL),)),))
    assert chosen([grown], budget=4.0) == [(0, 1)]


def test_nothing_is_selected_of_nothing():
    assert select_prefixes([], SelectionConfig(), seed=0) == ()


def test_wrong_means_below_the_threshold(toy):
    group = group_of(toy, (TOOL, 0.3, 0.5), (DIRECT, 1, 0.5))
    assert is_triggered(group, success_threshold=0.31)
    assert not is_triggered(group, success_threshold=0.3)
    assert chosen([group], budget=4.0) == [(0, 0)]
    assert chosen([group], budget=4.0, success_threshold=0.3) == []


def test_rollouts_without_tokens_trigger_but_are_no_sources(toy):
    textual = replace(toy.rollout(TOOL), completions=())
    group = Group(question=toy.question(), rollouts=(textual, toy.rollout(TOOL)))
    assert chosen([group], budget=4.0) == [(0, 1)]


def test_random_ranking_is_uniform_reproducible_and_still_breadth_first(toy):
    groups = [
        group_of(toy, (TOOL, 0, 0.1), (TOOL, 0, 0.2), (TOOL, 0, 0.3)),
        group_of(toy, (TOOL, 0, 0.9), (DIRECT, 0, 0.5), (DIRECT, 0, 0.5)),
    ]
    config = {"ranking": Ranking.RANDOM, "continuations": 1, "budget": 0.4}  # two prefixes
    drawn = [chosen(groups, seed, **config) for seed in range(300)]
    assert drawn == [chosen(groups, seed, **config) for seed in range(300)]
    assert all({group for group, _ in points} == {0, 1} for points in drawn)
    sources = Counter(rollout for points in drawn for group, rollout in points if group == 0)
    assert all(70 <= sources[rollout] <= 130 for rollout in range(3))
    first = Counter(points[0][0] for points in drawn)
    assert all(120 <= first[group] <= 180 for group in range(2))


def test_resampling_from_scratch_takes_the_same_sources_and_freezes_nothing(toy):
    group = group_of(toy, (TOOL, 0, 0.9), (TOOL, 0, 0.2))
    (point,) = select_prefixes([group], SelectionConfig(budget=2.0, cut=Cut.QUESTION), seed=0)
    assert (point.rollout, point.turn, point.token) == (1, 0, 0)
    assert point.confidence == pytest.approx(0.2)
    assert point.snapshot is group.rollouts[1].snapshots[0]


def test_no_tool_prefixes_come_from_failed_no_tool_subgroups_and_end_behind_the_thinking(toy):
    groups = [
        group_of(toy, (DIRECT, 0, 0.6), (DIRECT, 0, 0.4), (TOOL, 1, 0.1)),
        group_of(toy, (DIRECT, 0, 0.1), (DIRECT, 1, 0.1), (TOOL, 0, 0.1)),  # a guess succeeded
        group_of(toy, ("<answer>1</answer>", 0, 0.7), ("<think>never closed", 0, 0.1)),
    ]
    points = select_prefixes(groups, SelectionConfig(budget=4.0, cut=Cut.NO_TOOL), seed=0)
    assert [(p.group, p.rollout, p.turn, p.token) for p in points] == [(0, 1, 0, 3), (2, 0, 0, 0), (0, 0, 0, 3)]
    assert [p.confidence for p in points] == pytest.approx([0.4, 0.7, 0.6])


rollout_specs = st.tuples(st.sampled_from([TOOL, DIRECT]), st.sampled_from([0.0, 0.0, 1.0]), st.floats(0.01, 1.0))
group_specs = st.lists(st.lists(rollout_specs, min_size=1, max_size=5), max_size=5)


@settings(max_examples=60)
@given(specs=group_specs, budget=st.floats(0, 3), k=st.integers(1, 4), ranking=st.sampled_from(Ranking))
def test_selection_spends_its_budget_breadth_first_on_sources_of_triggered_groups(toy, specs, budget, k, ranking):
    groups = [group_of(toy, *spec) for spec in specs]
    points = select_prefixes(groups, SelectionConfig(budget=budget, continuations=k, ranking=ranking), seed=3)

    total = sum(len(group.rollouts) for group in groups)
    sources = [
        (g, r)
        for g, group in enumerate(groups)
        if is_triggered(group, success_threshold=0.5)
        for r, rollout in enumerate(group.rollouts)
        if rollout.used_tool
    ]
    places = [(point.group, point.rollout) for point in points]
    assert len(points) * k <= budget * total + 1e-9
    # The decimal as it is written: 0.3333333333333333 of 3 rollouts are none.
    assert len(points) == min(len(sources), math.floor(Fraction(str(budget)) * total / k))
    assert len(set(places)) == len(places)
    assert set(places) <= set(sources)
    taken = Counter(group for group, _ in places)
    available = Counter(group for group, _ in sources)
    for group in available:
        assert all(taken[group] >= taken[other] - 1 or taken[group] == available[group] for other in taken)
    if ranking is Ranking.UNCERTAINTY:
        for group in taken:
            confidences = [point.confidence for point in points if point.group == group]
            assert confidences == sorted(confidences)
