from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from axpo.algorithm.sampling import resample, sample_groups
from axpo.algorithm.selection import select_prefixes
from axpo.algorithm.types import Group
from axpo.settings.config import SamplingConfig, SelectionConfig
from axpo_agents.rolling import Lost
from axpo_agents.transformers_policy import load_policy
from axpo_envs.env import ToolEnv, ToolEnvSpec
from axpo_envs.errors import InfrastructureFault, SnapshotError
from axpo_envs.questions.sources import ListQuestions
from axpo_envs.rewards.reward import ExactMatch
from axpo_envs.tools import ToolContext, tool
from axpo_envs.types import Question

CONFIG = SamplingConfig(
    questions=2, group_size=3, max_turn_tokens=200, max_episode_tokens=1000, fault_retries=2, fault_wait_s=0.0
)
THINK = "<think>t</think>"


class Camera:
    """A tool whose calls of numbers listed in `broken` meet an infrastructure fault."""

    def __init__(self, *broken: int) -> None:
        self.broken = set(broken)
        self.calls = 0
        self.seeds: list[int] = []

    def is_broken(self, number: int) -> bool:
        return number in self.broken

    def env(self, **changes: Any) -> ToolEnv:
        @tool
        def look(at: str, context: ToolContext) -> str:
            """Looks at something."""
            self.calls += 1
            self.seeds.append(context.seed)
            if self.is_broken(self.calls):
                raise InfrastructureFault(f"call {self.calls} is lost")
            return f"seen {at}"

        questions = ListQuestions([Question(id=f"q{i}", prompt=(f"Question {i}?",), answer="good") for i in range(4)])
        rules = ToolEnvSpec(env_id="test", questions=questions, tools=(look,), reward=ExactMatch(), max_turns=1)
        return ToolEnv(replace(rules, **changes))


def call(at: str) -> str:
    return f'<tool_call>{{"name": "look", "arguments": {{"at": "{at}"}}}}</tool_call>'


def looking(text: str, rng: random.Random) -> str:
    """Looks and then fails; behind an opened call it may find the right place."""
    if text.endswith("<tool_call>"):
        return call(rng.choice(["good", "bad"])).removeprefix("<tool_call>")
    if "seen" in text:
        return "<answer>good</answer>" if "seen good" in text else "<answer>bad</answer>"
    return THINK + call("bad")


def continued(groups: Sequence[Group]) -> list[tuple[int, ...]]:
    """The tokens of every continuation."""
    branches = [branch for group in groups for branch in group.branches]
    return [continuation.sequence().ids for branch in branches for continuation in branch.continuations]


def questions_of(env: ToolEnv, count: int = 2) -> list[Question]:
    return [env.questions.question(number) for number in range(count)]


def test_every_question_gets_its_group(toy):
    camera = Camera()
    env = camera.env()
    groups = sample_groups(questions_of(env), toy.Policy(looking), env, CONFIG, seed=0)
    assert [group.question for group in groups] == questions_of(env)
    assert [len(group.rollouts) for group in groups] == [3, 3]
    assert all(r.episode.question is group.question for group in groups for r in group.rollouts)
    assert all(group.branches == () for group in groups)
    assert len(set(camera.seeds)) == 6  # every episode has its own environment seed


def test_groups_are_a_function_of_the_seed(toy):
    def script(text: str, rng: random.Random) -> str:
        return f"<answer>{rng.random()}</answer>"

    env = Camera().env()
    sample = [sample_groups(questions_of(env), toy.Policy(script), env, CONFIG, seed=seed) for seed in (0, 0, 1)]
    assert sample[0] == sample[1]
    assert sample[0] != sample[2]
    answers = {rollout.episode.turns[0].answer for group in sample[0] for rollout in group.rollouts}
    assert len(answers) == 6


def test_what_a_question_becomes_does_not_depend_on_the_questions_beside_it(toy):
    env = Camera().env()
    policy = load_policy("tiny-random")
    config = replace(CONFIG, max_turn_tokens=8)
    questions = questions_of(env, 4)
    together = sample_groups(questions, policy, env, config, seed=0)
    policy.forget()
    apart = [group for question in questions for group in sample_groups([question], policy, env, config, seed=0)]
    assert [[r.sequence().ids for r in group.rollouts] for group in together] == [
        [r.sequence().ids for r in group.rollouts] for group in apart
    ]
    turns = [rollout.sequence().ids for group in together for rollout in group.rollouts]
    assert len(set(turns)) == len(turns)


def test_a_question_that_is_asked_twice_gets_two_different_groups(toy):
    env = Camera().env()
    policy = load_policy("tiny-random")
    (question,) = questions_of(env, 1)
    first, second = sample_groups([question] * 2, policy, env, replace(CONFIG, max_turn_tokens=8), seed=0)
    assert {r.sequence().ids for r in first.rollouts}.isdisjoint(r.sequence().ids for r in second.rollouts)


def test_a_faulty_call_is_executed_again_with_the_same_tokens(toy, caplog):
    drawn = []

    def script(text: str, rng: random.Random) -> str:
        drawn.append(rng.random())
        return looking(text, rng)

    camera = Camera(2, 5, 6)
    env = camera.env()
    with caplog.at_level(logging.WARNING):
        groups = sample_groups(questions_of(env), toy.Policy(script), env, CONFIG, seed=0)
    assert [len(group.rollouts) for group in groups] == [3, 3]
    assert camera.calls == 9
    assert len(drawn) == 12, "two turns each, none of them sampled again"
    assert not caplog.records
    undisturbed = sample_groups(questions_of(env), toy.Policy(looking), Camera().env(), CONFIG, seed=0)
    assert [[r.sequence() for r in g.rollouts] for g in groups] == [
        [r.sequence() for r in g.rollouts] for g in undisturbed
    ]


@pytest.mark.parametrize("rate", [0.2, 0.6])
def test_faults_of_a_tool_do_not_thin_out_acting(toy, rate):
    def script(text: str, rng: random.Random) -> str:
        return "<answer>bad</answer>" if rng.random() < 0.7 and "seen" not in text else looking(text, rng)

    chance = random.Random(0)
    sound, faulty = Camera(), Camera()
    faulty.is_broken = lambda number: chance.random() < rate  # type: ignore[method-assign]
    config = replace(CONFIG, group_size=100, fault_retries=30)
    acted = []
    for env in (sound.env(), faulty.env()):
        (group,) = sample_groups(questions_of(env, 1), toy.Policy(script), env, config, seed=1)
        acted.append([rollout.used_tool for rollout in group.rollouts])
    assert acted[0] == acted[1]
    assert sound.calls == sum(acted[0]) < faulty.calls


def test_episodes_lost_for_good_shrink_their_group_and_are_reported(toy, caplog):
    config = replace(CONFIG, fault_retries=0)
    env = Camera(1, 2, 3, 5).env()
    lost: list[Lost] = []
    with caplog.at_level(logging.WARNING):
        groups = sample_groups(questions_of(env), toy.Policy(looking), env, config, seed=0, on_lost=lost.append)
    assert [(group.question.id, len(group.rollouts)) for group in groups] == [("q1", 2)]
    assert [episode.used_tool for episode in lost] == [True] * 4
    assert "4 episodes were lost to infrastructure faults, 4 of them after they had called a tool" in caplog.text
    assert "call 5 is lost" in caplog.text


def test_if_everything_is_lost_the_fault_is_raised(toy):
    env = Camera(*range(100)).env()
    with pytest.raises(InfrastructureFault, match="call 18 is lost"):  # 6 calls, each tried three times
        sample_groups(questions_of(env), toy.Policy(looking), env, CONFIG, seed=0)


def test_continuations_branch_from_the_cut_and_leave_the_source_alone(toy):
    env, policy = Camera().env(), toy.Policy(looking)
    groups = sample_groups(questions_of(env), policy, env, CONFIG, seed=0)
    points = select_prefixes(groups, SelectionConfig(budget=1.4), seed=0)
    assert len(points) == 2
    grown = resample(groups, points, policy, env, CONFIG, seed=1)
    assert [group.rollouts for group in grown] == [group.rollouts for group in groups]
    assert [group.branches[0].point for group in grown] == sorted(points, key=lambda point: point.group)
    rewards = set()
    for group in grown:
        (branch,) = group.branches
        assert len(branch.continuations) == 4
        source = group.rollouts[branch.point.rollout].completions[0]
        for continuation in branch.continuations:
            first = continuation.completions[0]
            assert first.forced == branch.point.token == 4
            assert first.ids[:4] == source.ids[:4]
            assert toy.decode(first.ids[:4]) == THINK + "<tool_call>"
            rewards.add(continuation.reward)
    assert rewards == {0.0, 1.0}
    again, otherwise = (resample(groups, points, policy, env, CONFIG, seed=seed) for seed in (1, 2))
    assert continued(again) == continued(grown) != continued(otherwise)


def test_two_branches_of_one_group_stay_in_the_order_of_their_points(toy):
    env, policy = Camera().env(), toy.Policy(looking)
    groups = sample_groups(questions_of(env, 1), policy, env, CONFIG, seed=0)
    points = select_prefixes(groups, SelectionConfig(budget=2.0, continuations=2), seed=0)
    (grown,) = resample(groups, points, policy, env, CONFIG, seed=0)
    assert tuple(branch.point for branch in grown.branches) == points
    assert [len(branch.continuations) for branch in grown.branches] == [2, 2, 2]


def test_without_points_nothing_changes(toy):
    env, policy = Camera().env(), toy.Policy(looking)
    groups = sample_groups(questions_of(env), policy, env, CONFIG, seed=0)
    rounds = len(policy.calls)
    assert resample(groups, (), policy, env, CONFIG, seed=0) == groups
    assert len(policy.calls) == rounds


def test_a_prefix_that_lost_all_its_continuations_is_given_up(toy, caplog):
    camera = Camera()
    env, policy = camera.env(), toy.Policy(looking)
    groups = sample_groups(questions_of(env), policy, env, CONFIG, seed=0)
    points = select_prefixes(groups, SelectionConfig(budget=0.67, continuations=2), seed=0)
    camera.broken = {camera.calls + number for number in (1, 2, 3)}  # both of the first point, one of the second
    lost: list[Lost] = []
    with caplog.at_level(logging.WARNING):
        grown = resample(groups, points, policy, env, replace(CONFIG, fault_retries=0), seed=0, on_lost=lost.append)
    assert [len(group.branches) for group in grown] == [0, 1]
    assert len(grown[1].branches[0].continuations) == 1
    assert len(lost) == 3
    assert "a prefix of question 'q0' is given up" in caplog.text


def test_the_run_goes_on_when_every_prefix_is_given_up(toy):
    camera = Camera()
    env, policy = camera.env(), toy.Policy(looking)
    groups = sample_groups(questions_of(env), policy, env, CONFIG, seed=0)
    points = select_prefixes(groups, SelectionConfig(budget=1.4), seed=0)
    camera.broken = set(range(1000))
    assert resample(groups, points, policy, env, CONFIG, seed=0) == groups


def test_no_episode_becomes_longer_than_its_model_was_made_for(toy):
    class Short(toy.Policy):
        max_tokens = 15

    env = Camera().env()
    (group,) = sample_groups(questions_of(env, 1), Short(looking), env, CONFIG, seed=0)
    assert {len(rollout.sequence().ids) for rollout in group.rollouts} == {15}


def test_points_of_another_environment_are_refused(toy):
    env, policy = Camera().env(), toy.Policy(looking)
    groups = sample_groups(questions_of(env), policy, env, CONFIG, seed=0)
    points = select_prefixes(groups, SelectionConfig(budget=1.4), seed=0)
    for changes in ({"env_id": "other"}, {"max_turns": 2}):
        with pytest.raises(SnapshotError, match="cannot go on with question 'q0'"):
            resample(groups, points, policy, Camera().env(**changes), CONFIG, seed=0)
