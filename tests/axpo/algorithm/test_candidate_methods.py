"""Tests of what goes beyond AXPO's paper: strata, contrast, graded credit, value of branching, both boundaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from axpo.algorithm._certainty import certainty
from axpo.algorithm.advantages import compute_advantages, stratified
from axpo.algorithm.methods import method_named
from axpo.algorithm.selection import select_prefixes
from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.settings.config import AdvantageConfig, Cut, Ranking, SamplingConfig, SelectionConfig, TrainConfig
from axpo_agents.types import Rollout
from axpo_envs.types import StopReason

THINK = "<think>t</think><tool_call>"  # 4 tokens
TOOL = THINK + "{}</tool_call>"
DIRECT = "<answer>1</answer>"
ZOOM = THINK + '{"name": "zoom", "arguments": {}}</tool_call>'
HALF = math.sqrt(0.5) / (1 + 1e-6 * math.sqrt(2))
"""Normalized 1 among (1, 0): half a unit over a sample standard deviation of sqrt(1/2), plus 1e-6."""


def group_of(toy: SimpleNamespace, *rollouts: tuple[str, float], branches: tuple[Branch, ...] = ()) -> Group:
    made = tuple(toy.rollout(text, DIRECT, reward=reward) for text, reward in rollouts)
    return Group(question=toy.question(), rollouts=made, branches=branches)


def grow(toy: SimpleNamespace, source: int, *rewards: float) -> Branch:
    continuations = tuple(toy.rollout(TOOL, DIRECT, reward=reward, forced=4) for reward in rewards)
    snapshot = continuations[0].snapshots[0]
    point = BranchPoint(group=0, rollout=source, turn=0, token=4, confidence=0.5, snapshot=snapshot)
    return Branch(point=point, continuations=continuations)


class TestStrata:
    @pytest.mark.parametrize(
        ("share", "lift", "expected"),
        [
            (0.0, False, (-0.5, -0.5, 1.5, -0.5)),
            (0.5, False, (-0.25, -0.25, 0.75 + HALF / 2, -0.25 - HALF / 2)),
            (1.0, False, (0.0, 0.0, HALF, -HALF)),
            (0.5, True, (-0.25, -0.25, 1.5, -0.5)),
            (1.0, True, (0.0, 0.0, 1.5, -0.5)),
        ],
    )
    def test_rollouts_compare_with_their_like(
        self, toy: SimpleNamespace, share: float, lift: bool, expected: tuple[float, ...]
    ) -> None:
        group = group_of(toy, (TOOL, 0.0), (TOOL, 0.0), (DIRECT, 1.0), (DIRECT, 0.0))
        values = stratified(group, AdvantageConfig(strata=share, strata_lift=lift))
        assert values == pytest.approx(expected, abs=1e-5)

    def test_undivided_they_are_less_their_means(self, toy: SimpleNamespace) -> None:
        group = group_of(toy, (TOOL, 0.0), (DIRECT, 1.0), (TOOL, 1.0), (DIRECT, 1.0))
        assert stratified(group, AdvantageConfig(strata=1.0, divide_by_std=False)) == [-0.5, 0.0, 0.5, 0.0]

    def test_sources_and_continuations_are_credited_as_in_axpo(self, toy: SimpleNamespace) -> None:
        rollouts = ((TOOL, 0.0), (TOOL, 0.0), (DIRECT, 1.0), (DIRECT, 0.0))
        group = group_of(toy, *rollouts, branches=(grow(toy, 0, 1.0, 0.0),))
        plain = [a.value for a in compute_advantages([group], AdvantageConfig())]
        strata = [a.value for a in compute_advantages([group], AdvantageConfig(strata=1.0))]
        assert [strata[0], *strata[4:]] == [plain[0], *plain[4:]]
        assert strata[1:4] == pytest.approx([0.0, HALF, -HALF])
        assert method_named("axpo_strata").configure(TrainConfig()).advantages.strata == 0.5


def test_graded_credit_is_the_mean_of_the_continuations(toy: SimpleNamespace) -> None:
    group = group_of(toy, *[(TOOL, 0.0)] * 4, branches=(grow(toy, 1, 1.0, 0.0, 0.0, 0.0),))
    config = method_named("axpo_graded").configure(TrainConfig()).advantages
    values = [a.value for a in compute_advantages([group], config)]
    # 0.25 among (0, 0.25, 0, 0) is 3/16 over 1/8.
    assert values == pytest.approx([0.0, (3 / 16) / (1 / 8 + 1e-6), 0.0, 0.0, 0.75, -0.25, -0.25, -0.25])


class TestValue:
    def test_the_certainty_is_that_of_the_question_and_of_the_tool(self, toy: SimpleNamespace) -> None:
        # Question: 1 of 4 right. Rollouts that zoom first: 5 of 8 right, those of the other group included.
        first = group_of(toy, (ZOOM, 0.0), (ZOOM, 0.0), (DIRECT, 1.0), (DIRECT, 0.0))
        second = group_of(toy, *[(ZOOM, 1.0)] * 5, (ZOOM, 0.0), (DIRECT, 0.0))
        point = BranchPoint(
            group=0, rollout=0, turn=0, token=4, confidence=0.5, snapshot=first.rollouts[0].snapshots[0]
        )
        chance = (2 / 6 + 6 / 10) / 2
        assert certainty([first, second], point, 0.5) == pytest.approx((2 * chance - 1) ** 2)

    def test_the_least_certain_prefix_comes_first(self, toy: SimpleNamespace) -> None:
        hopeless = group_of(toy, (TOOL, 0.0), (TOOL, 0.0), (DIRECT, 0.0), (DIRECT, 0.0))
        open_ = group_of(toy, (TOOL, 0.0), (TOOL, 0.0), (DIRECT, 1.0), (DIRECT, 1.0))
        config = SelectionConfig(budget=0.25, continuations=2, ranking=Ranking.VALUE)
        (point,) = select_prefixes([hopeless, open_], config, seed=0)
        assert point.group == 1
        # Question 2 of 4 right: 3/6. Nameless calls: none of 4 right: 1/6.
        assert point.confidence == pytest.approx((2 * (3 / 6 + 1 / 6) / 2 - 1) ** 2)
        assert method_named("axpo_value").configure(TrainConfig()).selection.ranking is Ranking.VALUE


class TestEither:
    def points(self, toy: SimpleNamespace, *confidences: float, answer: str = "a" * 30) -> list[tuple[int, int, float]]:
        """Where a rollout of a call and an answer is cut whose tokens have those probabilities (the answer's first
        20; the rest is certain)."""
        rollout = toy.rollout(TOOL, answer)
        call, result = (math.log(confidence) for confidence in confidences)
        first, second = rollout.completions
        turns = (
            replace(first, logprobs=(call,) * len(first.ids)),
            replace(second, logprobs=tuple(result if n < 20 else 0.0 for n in range(len(second.ids)))),
        )
        group = Group(question=toy.question(), rollouts=(replace(rollout, completions=turns),))
        config = SelectionConfig(budget=4.0, cut=Cut.EITHER)
        return [(p.turn, p.token, p.confidence) for p in select_prefixes([group], config, seed=0)]

    def test_the_cut_is_where_the_policy_was_less_sure(self, toy: SimpleNamespace) -> None:
        assert self.points(toy, 0.5, 0.25) == [(1, 0, pytest.approx(0.25))]
        assert self.points(toy, 0.25, 0.5) == [(0, 4, pytest.approx(0.25))]
        assert self.points(toy, 0.5, 0.25, answer="") == [(0, 4, pytest.approx(0.5))]
        assert method_named("axpo_either").configure(TrainConfig()).selection.cut is Cut.EITHER

    def test_a_call_without_a_turn_behind_it_is_cut_as_in_axpo(self, toy: SimpleNamespace) -> None:
        group = Group(question=toy.question(), rollouts=(toy.rollout(TOOL),))
        (point,) = select_prefixes([group], SelectionConfig(budget=4.0, cut=Cut.EITHER), seed=0)
        assert (point.turn, point.token) == (0, 4)


@dataclass
class Rounds:
    """Rounds whose continuations get the rewards that a test says, by source."""

    toy: SimpleNamespace
    groups: tuple[Group, ...]
    config: TrainConfig
    reward: Callable[[int, int], float]
    waves: list[list[int]] = field(default_factory=list)

    def seed(self, purpose: str) -> int:
        return 0

    def attempt(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        self.waves.append([point.rollout for point in points])
        grown = [list(group.branches) for group in groups]
        for point in points:
            assert point.continuations == 1
            tried = sum(wave.count(point.rollout) for wave in self.waves)
            new: Rollout = self.toy.rollout(TOOL, DIRECT, reward=self.reward(point.rollout, tried), forced=4)
            grown[point.group].append(Branch(point=point, continuations=(new,)))
        return tuple(group.with_branches(tuple(new)) for group, new in zip(groups, grown, strict=True))


class TestContrast:
    def resampled(
        self, toy: SimpleNamespace, reward: Callable[[int, int], float], **selection: Any
    ) -> tuple[Rounds, Group]:
        method = method_named("axpo_contrast")
        settings = SelectionConfig(**{"budget": 1.0, "continuations": 3, **selection})
        config = method.configure(TrainConfig(selection=settings, sampling=SamplingConfig(group_size=6)))
        rounds = Rounds(toy, (group_of(toy, *[(TOOL, 0.0)] * 6),), config, reward)
        assert method.refine is not None
        (group,) = method.refine(rounds)  # type: ignore[arg-type]
        return rounds, group

    def test_a_success_ends_a_source_and_frees_its_place(self, toy: SimpleNamespace) -> None:
        # A budget of 2 prefixes x 3 continuations is 6, at most 2 a source, hence 3 sources at a time. Source 0 is
        # right at once, 1 at its second try, 2 never; then come 3 and 4.
        rounds, group = self.resampled(
            toy, lambda source, tried: float((source, tried) in ((0, 1), (1, 2))), budget=1.0
        )
        assert rounds.waves == [[0, 1, 2], [1, 2, 3]]
        rewards = {b.point.rollout: [c.reward for c in b.continuations] for b in group.branches}
        assert rewards == {0: [1.0], 1: [0.0, 1.0], 2: [0.0, 0.0], 3: [0.0]}
        assert [b.point.continuations for b in group.branches] == [1, 2, 2, 1]

    def test_without_success_every_source_gets_one_less_than_k(self, toy: SimpleNamespace) -> None:
        rounds, group = self.resampled(toy, lambda source, tried: 0.0)
        assert rounds.waves == [[0, 1, 2], [0, 1, 2]]
        assert [len(branch.continuations) for branch in group.branches] == [2, 2, 2]

    def test_it_ends_when_nothing_waits(self, toy: SimpleNamespace) -> None:
        rounds, group = self.resampled(toy, lambda source, tried: 1.0, budget=9.0)
        assert rounds.waves == [[0, 1, 2, 3, 4, 5]]
        assert len(group.branches) == 6
        assert self.resampled(toy, lambda source, tried: 1.0, budget=0.1)[0].waves == []

    def test_the_sources_end_compares_with_its_continuations(self, toy: SimpleNamespace) -> None:
        group = group_of(toy, *[(TOOL, 0.0)] * 4, branches=(grow(toy, 0, 0.0, 1.0),))
        method = method_named("axpo_contrast")
        advantages = method.credit([group], method.configure(TrainConfig()))
        prefix, *others, end, failed, recovered = advantages
        assert prefix.value == pytest.approx(0.75 / (0.5 + 1e-6))
        assert [a.value for a in others] == [0.0, 0.0, 0.0]
        assert [a.value for a in (end, failed, recovered)] == [-0.5, -0.5, 1.0]
        assert (prefix.start, prefix.stop, end.start) == (2, 6, 6)
        assert end.rollout is prefix.rollout
        assert end.stop == len(end.rollout.sequence().ids)
        assert recovered.start == 6

    def test_what_ran_over_a_limit_counts_and_is_not_trained(self, toy: SimpleNamespace) -> None:
        group = group_of(toy, *[(TOOL, 0.0)] * 4, branches=(grow(toy, 0, 0.0, 1.0),))
        cut_off = toy.rollout(TOOL, DIRECT, stop=StopReason.MAX_TURNS)
        group = replace(group, rollouts=(cut_off, *group.rollouts[1:]))
        method = method_named("axpo_contrast")
        config = TrainConfig(advantages=AdvantageConfig(mask_truncated=True))
        values = [a.value for a in method.credit([group], config)]
        assert values == [pytest.approx(0.75 / (0.5 + 1e-6)), 0.0, 0.0, 0.0, -0.5, 1.0]
