"""Tests of several methods as one: what each brings, what cannot stand together, and what the budget is shared as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from axpo.algorithm.methods import combined_method, method_named
from axpo.algorithm.methods.axpo_contrast import contrast_credit
from axpo.algorithm.methods.cispo import cispo_loss
from axpo.algorithm.selection import continuations_left
from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.run.validation import resolved
from axpo.settings.config import ConfigError, Cut, SamplingConfig, SelectionConfig, TrainConfig
from axpo_agents.types import Rollout

THOUGHT = "<think>t</think>"  # 3 tokens
TOOL = THOUGHT + "<tool_call>{}</tool_call>"
GUESS = THOUGHT + "<answer>1</answer>"


def test_a_combination_has_the_parts_of_both() -> None:
    both = method_named("axpo_forced+strata")
    forced, strata = method_named("axpo_forced"), method_named("axpo_strata")
    assert (both.name, both.label) == ("axpo_forced+strata", "AXPO, forced acting + strata")
    assert (both.refine, both.select, both.credit) == (forced.refine, forced.select, forced.credit)
    config = resolved(TrainConfig(method="axpo_forced+strata"))
    assert config.advantages.strata == strata.configure(TrainConfig()).advantages.strata == 0.5
    assert both.configure(config) == config, "applied twice it changes nothing more"
    assert method_named("axpo_forced+strata") is both


def test_every_pair_of_candidates_is_one_method_or_says_what_it_cannot_agree_on() -> None:
    names = ("strata", "contrast", "forced", "replay", "graded", "value", "either")
    refused = {}
    for first in names:
        for second in names:
            if first != second:
                try:
                    method_named(f"axpo_{first}+{second}").configure(TrainConfig())
                except ConfigError as error:
                    refused[first, second] = str(error)
    assert set(refused) == {("contrast", "either"), ("either", "contrast")}
    assert all("selection.cut" in told for told in refused.values())


def test_methods_of_other_kinds_combine_too() -> None:
    method = method_named("axpo+cispo")
    assert (method.select, method.loss) == (method_named("axpo").select, cispo_loss)
    config = resolved(TrainConfig(method="axpo_replay+strata+grpo_n16+dapo"))
    assert (config.replay.steps, config.advantages.strata, config.sampling.group_size) == (10, 0.5, 16)
    assert (config.loss.clip_high, config.loss.kl) == (0.28, 0.0)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gspo+cispo", "gspo and cispo each change loss"),
        ("tool_bonus+tool_penalty", "each change credit"),
        ("axpo_random+value", "set selection.ranking each to a value of its own"),
        ("grpo_n10+grpo_n16", "sampling.group_size"),
        ("axpo_strata+strata", "each method once"),
        ("axpo_strata+nope", "expected one of"),
        ("axpo_strata+", "expected one of"),
    ],
)
def test_what_cannot_stand_together_is_an_error_before_any_work(name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        resolved(TrainConfig(method=name))


def test_a_combination_may_be_kept_under_a_name_and_combined_again() -> None:
    plus = combined_method("axpo_plus", "AXPO+", [method_named("axpo_forced"), method_named("axpo_strata")])
    assert plus.changes is method_named("axpo")
    more = combined_method("more", "More", [plus, method_named("axpo_graded")])
    config = more.configure(TrainConfig())
    assert more.refine is method_named("axpo_forced").refine
    assert (config.advantages.strata, config.advantages.graded) == (0.5, True)


@dataclass
class Rounds:
    """Rounds in which nothing that is grown is right."""

    toy: SimpleNamespace
    groups: tuple[Group, ...]
    config: TrainConfig
    forced: list[int] = field(default_factory=list)

    def seed(self, purpose: str) -> int:
        return 0

    def attempt(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        grown = [list(group.branches) for group in groups]
        for point in points:
            new: tuple[Rollout, ...] = (self.toy.rollout(TOOL, "x", forced=4),) * point.continuations
            grown[point.group].append(Branch(point=point, continuations=new))
        return tuple(group.with_branches(tuple(new)) for group, new in zip(groups, grown, strict=True))

    def act(self, groups: Sequence[Group], points: Sequence[BranchPoint]) -> tuple[Group, ...]:
        self.forced += [point.group for point in points]
        return self.attempt(groups, points)


@pytest.mark.parametrize("name", ["axpo_contrast+forced", "axpo_forced+contrast"])
def test_what_is_done_one_after_the_other_shares_a_budget(toy: SimpleNamespace, name: str) -> None:
    def group(*texts: str) -> Group:
        return Group(question=toy.question(), rollouts=tuple(toy.rollout(text, reward=0.0) for text in texts))

    method = method_named(name)
    settings = SelectionConfig(budget=0.5, continuations=3)
    config = method.configure(TrainConfig(selection=settings, sampling=SamplingConfig(group_size=6)))
    # 12 rollouts: 2 prefixes of 3. One source takes at most 2 new continuations; nobody acts on the second question.
    groups = (group(TOOL, *[GUESS] * 5), group(*[GUESS] * 6))
    rounds = Rounds(toy, groups, config)
    assert method.refine is not None
    refined = method.refine(rounds)  # type: ignore[arg-type]
    assert rounds.forced == [1]
    assert [sum(len(b.continuations) for b in each.branches) for each in refined] == [2, 3]
    assert continuations_left(refined, settings) == 1


def test_contrast_leaves_a_forced_call_to_its_own_continuations(toy: SimpleNamespace) -> None:
    rollouts = tuple(toy.rollout(GUESS, reward=0.0) for _ in range(4))
    point = BranchPoint(
        group=0,
        rollout=0,
        turn=0,
        token=3,
        confidence=0.5,
        snapshot=rollouts[0].snapshots[0],
        continuations=2,
        added=toy.encode("<tool_call>"),
        added_logprobs=(-7.0,),
    )
    grown = tuple(toy.rollout(TOOL, "x", reward=reward, forced=4) for reward in (0.0, 1.0))
    group = Group(question=toy.question(), rollouts=rollouts, branches=(Branch(point=point, continuations=grown),))
    advantages = contrast_credit([group], TrainConfig(selection=SelectionConfig(cut=Cut.TOOL_CALL)))
    # The opening by Eq. 3 and 4, what follows by Eq. 2: half a unit over a deviation of sqrt(1/2).
    values = [(a.start, round(a.value, 3)) for a in advantages if a.rollout in grown]
    assert values == [(5, 1.5), (6, -0.707), (6, 0.707)]
