"""Defines `play_reference` and `play_model`: the episodes of a scripted agent, and of any model that can be named."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from axpo.settings.values import Count, CountOrNone, Name, NonNegative
from axpo_agents.policy import TextAgent
from axpo_benchmarks.harness._models import agent_named, is_agent_name
from axpo_benchmarks.harness._said import Speaker, Spoken, play
from axpo_envs.env import ToolEnv
from axpo_envs.plumbing.extras import require_extra
from axpo_envs.plumbing.web import EnvironmentKey
from axpo_envs.types import Episode

Episodes: TypeAlias = dict[str, Sequence[Episode]]
"""Rollouts by the id of their question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How models are asked."""

    samples: Count = 1
    """Rollouts per injection of a model; the reference agents are asked once."""
    temperature: NonNegative = 0.0
    """Sampling temperature; 0 takes the most probable tokens."""
    max_turn_tokens: Count = 1024
    """Token limit of one turn."""
    seed: CountOrNone = 0
    """Seeds the sampling."""
    tokenizer: Name | None = None
    """With a server: the checkpoint it runs, to send it token ids; without, it is asked by chat messages."""
    served_model: Name | None = None
    """With a server that is asked by messages: the name it knows the model by."""
    key_variable: Name | None = None
    """With a server: the environment variable that holds its key."""


def play_reference(agent: TextAgent, env: ToolEnv) -> Episodes:
    """Every question once."""
    return _spoken(Spoken(agent), env, samples=1, seed=0)


def play_model(model: str, env: ToolEnv, asking: Asking) -> Episodes:
    """The rollouts of a model.

    Args:
        model: a run's or a checkpoint's folder, `tiny`, a Hugging Face id, a server's address, or
            `package.module:NAME` of an agent that writes text.
        env: asks the questions.
        asking: how it is asked.

    Raises:
        ConfigError: the model cannot be found, or a setting does not suit it.
        PolicyError: the checkpoint cannot be loaded.
        InfrastructureFault: the server stayed unreachable: nothing of it is scored.
        MissingExtraError: a package is not installed.
    """
    is_server = model.startswith(("http://", "https://"))
    if not is_server and is_agent_name(model):
        return _spoken(agent_named(model), env, samples=asking.samples, seed=asking.seed)
    if not is_server or asking.tokenizer is not None:
        return _sampled(model, env, asking)
    require_extra("remote", f"`axpo-bench injections` of {model}")
    from axpo_benchmarks.harness.chat_agent import ChatAgent, ChatSettings

    settings = ChatSettings(
        url=model,
        model=asking.served_model,
        key=None if asking.key_variable is None else EnvironmentKey(asking.key_variable),
        temperature=asking.temperature,
        max_tokens=asking.max_turn_tokens,
    )
    with closing(ChatAgent(settings)) as chat:
        return _spoken(chat, env, samples=asking.samples, seed=asking.seed)


def _spoken(speaker: Speaker, env: ToolEnv, *, samples: int, seed: int) -> Episodes:
    assert env.questions.size is not None
    questions = (env.questions.question(index) for index in range(env.questions.size))
    return {
        question.id: [
            play(speaker, env, env.begin(question, seed=seed + number), seed=seed + number).episode
            for number in range(samples)
        ]
        for question in questions
    }


def _sampled(model: str, env: ToolEnv, asking: Asking) -> Episodes:
    from axpo import EvalConfig, locate_checkpoint
    from axpo.checkpoint_evaluation import open_policy
    from axpo.evaluation.evaluate import EvaluationPlan, sample_held_out
    from axpo.settings.config import SamplingConfig
    from axpo.terminal.unfailing import say

    assert env.questions.size is not None
    located = locate_checkpoint(
        EvalConfig(
            checkpoint=model,
            tokenizer=asking.tokenizer,
            key_variable=asking.key_variable,
            env=env.rules.env_id,
            seed=asking.seed,
        ),
        warn=lambda text: say(f"axpo-bench: {text}"),
    )
    sampling = SamplingConfig(
        group_size=asking.samples, temperature=asking.temperature, max_turn_tokens=asking.max_turn_tokens
    )
    plan = EvaluationPlan(questions=env.questions.size, sampling=sampling, seed=asking.seed)
    with open_policy(located) as policy:
        held_out = sample_held_out(policy, env, plan)
    if held_out.lost:
        say(f"axpo-bench: {len(held_out.lost)} rollouts of {model} were lost to infrastructure faults; none is scored")
    return {group.question.id: [rollout.episode for rollout in group.rollouts] for group in held_out.groups}
