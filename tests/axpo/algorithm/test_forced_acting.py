"""Tests of forced acting: whose calls are forced open, what the opening is credited with, and a whole step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
import torch

from axpo.algorithm._call_opening import opening_behind
from axpo.algorithm.advantages import compute_advantages
from axpo.algorithm.batching import build_batch
from axpo.algorithm.methods import method_named
from axpo.algorithm.methods.axpo_forced import forced_points
from axpo.algorithm.methods.axpo_idle import idle_points
from axpo.algorithm.step import Training, train_step
from axpo.algorithm.types import Branch, BranchPoint, Group
from axpo.settings.config import (
    AdvantageConfig,
    ConfigError,
    LossConfig,
    OptimConfig,
    SamplingConfig,
    SelectionConfig,
    TrainConfig,
)
from axpo_agents.testing import save_small_llama
from axpo_agents.transformers_policy import load_policy

THOUGHT = "<think>t</think>"  # 3 tokens
GUESS = THOUGHT + "<answer>1</answer>"
TOOL = THOUGHT + "<tool_call>{}</tool_call>"


def forced_group(toy: SimpleNamespace, rewards: tuple[float, ...], *new: float) -> Group:
    """Guesses with these rewards; behind the thought of the first a call was forced open."""
    rollouts = tuple(toy.rollout(GUESS, reward=reward) for reward in rewards)
    opening = toy.encode("<tool_call>")
    point = BranchPoint(
        group=0,
        rollout=0,
        turn=0,
        token=3,
        confidence=0.5,
        snapshot=rollouts[0].snapshots[0],
        added=opening,
        added_logprobs=(-7.0,),
    )
    continuations = tuple(toy.rollout(TOOL, "x", reward=reward, forced=4) for reward in new)
    return Group(
        question=toy.question(), rollouts=rollouts, branches=(Branch(point=point, continuations=continuations),)
    )


def texts(toy: SimpleNamespace, group: Group) -> list[tuple[str, float]]:
    """The trained texts with their advantages."""
    advantages = compute_advantages([group], AdvantageConfig())
    batches = build_batch(advantages, LossConfig(kl=0.0, skip_zero_advantage=False), OptimConfig(minibatches=1), seed=0)
    found = []
    for items in (items for batch in batches for items in batch.micro_batches):
        for item in items:
            sampled = [token for token, own in zip(item.sequence.ids, item.sequence.sampled, strict=True) if own]
            trained = [token for token, own in zip(sampled, item.trained, strict=True) if own]
            found.append((toy.decode(trained), round(item.advantage, 4)))
    return sorted(found)


def test_the_opening_is_trained_once_where_it_recovered_and_the_source_keeps_its_advantage(
    toy: SimpleNamespace,
) -> None:
    found = texts(toy, forced_group(toy, (0.0, 0.0, 0.0, 0.0), 1.0, 0.0))
    call = "{}</tool_call>x"
    # The opening: 1 among (1, 0, 0, 0). Its continuations: (1, 0).
    assert found == sorted([*[(GUESS, 0.0)] * 4, (call, 0.7071), (call, -0.7071), ("<tool_call>", 1.5)])


def test_an_opening_that_failed_is_not_blamed(toy: SimpleNamespace) -> None:
    found = texts(toy, forced_group(toy, (0.0, 1.0, 0.0, 0.0), 0.0, 0.0))
    assert found == sorted([*[(GUESS, -0.5)] * 3, (GUESS, 1.5), *[("{}</tool_call>x", 0.0)] * 2])


def test_calls_are_forced_where_nobody_called_and_least_confident_answers_come_first(toy: SimpleNamespace) -> None:
    def group(*rollouts: tuple[str, float, float]) -> Group:
        made = tuple(toy.rollout(text, reward=reward, probability=p) for text, reward, p in rollouts)
        return Group(question=toy.question(), rollouts=made)

    acted = group((TOOL, 1.0, 0.1), (GUESS, 0.0, 0.1))
    sure = group((GUESS, 1.0, 0.1), (GUESS, 0.0, 0.9))
    unsure = group((GUESS, 0.0, 0.8), (GUESS, 0.0, 0.2))
    solved = group((GUESS, 1.0, 0.1), (GUESS, 1.0, 0.1))
    config = TrainConfig(selection=SelectionConfig(budget=0.5, continuations=2))

    def found(*groups: Group, **budget: float) -> list[tuple[int, int, int, int]]:
        settings = replace(config, selection=replace(config.selection, **budget))
        return [(p.group, p.rollout, p.turn, p.token) for p in forced_points(groups, settings)]

    assert found(acted, sure, unsure, solved) == [(2, 1, 0, 3), (1, 1, 0, 3)]
    assert found(acted, sure, unsure, solved, budget=0.25) == [(2, 1, 0, 3)]
    # A triggered group takes one of the two prefixes, so that one is left.
    triggered = group((TOOL, 0.0, 0.1), (GUESS, 0.0, 0.1))
    assert found(triggered, sure, unsure, solved) == [(2, 1, 0, 3)]


def test_idle_failures_act_where_few_called_first_and_one_a_question_before_a_second(toy: SimpleNamespace) -> None:
    def group(*rollouts: tuple[str, float, float]) -> Group:
        made = tuple(toy.rollout(text, reward=reward, probability=p) for text, reward, p in rollouts)
        return Group(question=toy.question(), rollouts=made)

    acted = group((TOOL, 1.0, 0.1), (GUESS, 0.0, 0.1), (GUESS, 1.0, 0.1), (GUESS, 1.0, 0.1))
    idle = group((GUESS, 0.0, 0.9), (GUESS, 0.0, 0.3), (GUESS, 1.0, 0.1), (GUESS, 0.0, 0.6))
    solved = group(*[(GUESS, 1.0, 0.1)] * 4)
    config = TrainConfig(selection=SelectionConfig(budget=1.0, continuations=2))

    def found(*groups: Group, budget: float = 1.0) -> list[tuple[int, int, int, int]]:
        settings = replace(config, selection=replace(config.selection, budget=budget))
        return [(p.group, p.rollout, p.turn, p.token) for p in idle_points(groups, settings)]

    assert found(acted, idle, solved) == [(1, 1, 0, 3), (0, 1, 0, 3), (1, 3, 0, 3), (1, 0, 0, 3)]
    assert found(acted, idle, solved, budget=0.34) == [(1, 1, 0, 3), (0, 1, 0, 3)]
    # Of the two prefixes a triggered group takes one.
    triggered = group((TOOL, 0.0, 0.1), *[(GUESS, 1.0, 0.1)] * 3)
    assert found(triggered, idle, solved, budget=0.34) == [(1, 1, 0, 3)]


def test_a_policy_that_cannot_write_calls_is_refused(toy: SimpleNamespace) -> None:
    policy = toy.Policy(lambda text, rng: "x")
    with pytest.raises(ConfigError, match="ToyPolicy"):
        opening_behind(policy, (), "zoom")


def test_the_opening_is_that_of_the_models_own_format(tmp_path: Path) -> None:
    save_small_llama(tmp_path)
    policy = load_policy(str(tmp_path))
    found = opening_behind(policy, (), "zoom")
    assert found is not None
    assert policy.tokenizer.decode(list(found)) == '{"name":'
    # Llama's calls begin a turn.
    assert opening_behind(policy, tuple(policy.encode_turn("I look first. ")), "zoom") is None


def test_axpo_plus_is_the_variant_of_that_page_and_axpo_is_left_as_it_is() -> None:
    plus, idle = method_named("axpo_plus"), method_named("axpo_idle")
    assert (plus.name, plus.label) == ("axpo_plus", "AXPO+")
    assert replace(plus, name=idle.name, label=idle.label) == idle
    assert method_named("axpo").refine is None


@pytest.mark.parametrize("method", ["axpo_forced", "axpo_idle"])
def test_a_step_forces_calls_with_the_probability_that_they_have(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    toy_env: Any = __import__("toy_env")
    config = toy_env.toy_config(Path("unused"), steps=1, method=method)
    sampling = SamplingConfig(questions=4, group_size=4, max_turn_tokens=16)
    config = replace(
        config,
        sampling=sampling,
        selection=SelectionConfig(budget=0.5, continuations=2),
        optim=replace(config.optim, lr=1e-3),
    )
    policy, before = load_policy("tiny-random"), load_policy("tiny-random")
    outcome = train_step(Training.of(config, gymnasium.make(toy_env.ENV_ID).unwrapped, policy), 1)
    forced = [branch for group in outcome.groups for branch in group.branches if branch.point.added]
    assert forced
    for branch in forced:
        point = branch.point
        for continuation in branch.continuations:
            assert continuation.used_tool
            turn = continuation.completions[point.turn]
            assert turn.cut == point.token + len(point.added)
            assert turn.ids[point.token : turn.cut] == point.added
            assert turn.logprobs[point.token : turn.cut] == point.added_logprobs
            with torch.no_grad():
                (scored,) = before.logprobs([continuation.sequence()])
            assert scored[point.token : turn.cut].tolist() == pytest.approx(point.added_logprobs, abs=1e-4)
    assert outcome.discarded_tokens == 0
    assert method_named(method).select is method_named("axpo").select
