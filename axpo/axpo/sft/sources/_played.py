"""Defines `played_demonstrations`: episodes that a scripted agent plays, as demonstrations."""

from __future__ import annotations

import inspect
from typing import Any

from axpo.algorithm.seeds import derive_seed
from axpo.settings.config import ConfigError
from axpo.sft._demonstrations import DemonstratedTurn, Demonstration, Stretch
from axpo_agents.policy import TextAgent
from axpo_agents.rolling import roll_agent
from axpo_envs.env import ToolEnv
from axpo_envs.plumbing.named_object import load_named


def played_demonstrations(
    name: str, env: ToolEnv, *, episodes: int, min_reward: float, seed: int
) -> list[Demonstration]:
    """Lets an agent play, and keeps the episodes that earned at least a reward.

    Args:
        name: `package.module:name` of an agent (see `TextAgent`), or of what makes one, given the environment if it
            takes an argument.
        env: the environment; its questions are asked in order.
        episodes: how many are played; of a finite source each question once at most.
        min_reward: episodes with less are left out.
        seed: seeds the episodes.

    Raises:
        ConfigError: it is no agent.
        EnvConfigError: there is nothing of that name.
    """
    agent = _agent(load_named(name, "demonstrations"), name, env)
    count = episodes if env.questions.size is None else min(episodes, env.questions.size)
    starts = [env.begin(env.questions.question(i), seed=derive_seed(seed, "played", i)) for i in range(count)]
    return [
        Demonstration(
            env=env,
            start=start,
            turns=tuple(
                DemonstratedTurn(stretches=(Stretch(text=turn.text),), observation=turn.observation)
                for turn in rollout.episode.turns
            ),
        )
        for start, rollout in zip(starts, roll_agent(agent, env, starts), strict=True)
        if rollout.reward >= min_reward
    ]


def _agent(found: Any, name: str, env: ToolEnv) -> TextAgent:
    agent = found
    if inspect.isclass(found) or (callable(found) and not hasattr(found, "act")):
        agent = found(env) if inspect.signature(found).parameters else found()
    if not callable(getattr(agent, "act", None)):
        raise ConfigError(f"demonstrations: expected an agent with act(observation, state); {name} gives {agent!r}")
    made: TextAgent = agent
    return made
