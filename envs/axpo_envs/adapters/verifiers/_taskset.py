"""Defines `ToolEnvTaskset` and `TurnsEnv`: an environment of ours as tasks of verifiers, and how they are played."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import gymnasium

from axpo_envs.adapters.messages import content_of, image_url_part, opening_messages, turn_of_message
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError
from axpo_envs.observation import wrap_results
from axpo_envs.plumbing.extras import requiring
from axpo_envs.types import EpisodeState

with requiring("verifiers", "an environment for verifiers"):
    import verifiers.v1 as vf
    from pydantic import Field


class ToolEnvConfig(vf.TasksetConfig):  # type: ignore[misc]  # the library is not typed for us
    """Which environment, and which of its questions."""

    env: str = "axpo/VisualZoom-v0"
    """A Gymnasium id; `module:id` imports the module first."""
    env_args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of its constructor."""
    first: int = Field(0, ge=0)
    """Number of the first question."""
    questions: int = Field(100, ge=1)
    """How many."""


class ToolEnvData(vf.TaskData):  # type: ignore[misc]
    """What a task holds beside its prompt."""

    index: int
    """Number of the question in the environment."""


class ToolEnvTask(vf.Task[ToolEnvData]):  # type: ignore[misc]
    """A question of ours; `TurnsEnv` plays and scores it."""


class ToolEnvTaskset(vf.Taskset[ToolEnvTask, ToolEnvConfig]):  # type: ignore[misc]
    """The questions of an environment of ours, images kept, tools declared in the system prompt."""

    @cached_property
    def tool_env(self) -> ToolEnv:
        """The environment.

        Raises:
            EnvConfigError: it is no `ToolEnv`.
        """
        import axpo_envs  # noqa: F401  (registers the suite)

        module, _, name = self.config.env.rpartition(":")
        if module:
            importlib.import_module(module)
        env = gymnasium.make(name, disable_env_checker=True, **self.config.env_args).unwrapped
        if not isinstance(env, ToolEnv):
            raise EnvConfigError(f"taskset.env: expected a ToolEnv; {self.config.env} is a {type(env).__name__}")
        return env

    def load(self) -> Iterator[ToolEnvTask]:
        """One task a question; the reference answer is in none of them."""
        env, size = self.tool_env, self.tool_env.questions.size
        last = self.config.first + self.config.questions
        for index in range(self.config.first, last if size is None else min(last, size)):
            question = env.questions.question(index)
            messages = opening_messages(env, env.opening(env.begin(question)), image_url_part, declare_tools=True)
            *system, user = messages
            yield ToolEnvTask(
                ToolEnvData(
                    id=question.id,
                    prompt=[vf.UserMessage(content=user["content"])],
                    system_prompt=system[0]["content"] if system else None,
                    index=index,
                ),
                self.config.task,
            )


class TurnsEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """Who plays."""

    agent: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())
    """The policy; `TurnHarness`, where the plugin exports it, asks for its turns."""


class TurnsEnv(vf.Env[TurnsEnvConfig]):  # type: ignore[misc]
    """Plays an episode: the model's turns go to our environment, whose results come back as the user's turns.

    The reward is the environment's, its terms are metrics. An infrastructure fault is an error of the episode, which
    has no reward; verifiers may play it again (`env.retries`).
    """

    async def run(self, task: Any, agents: Any) -> None:
        """See `verifiers.v1.Env`.

        Raises:
            InfrastructureFault: a tool's machinery failed.
            ToolFault, RewardFault: the code of a tool, or of the reward, failed.
        """
        env: ToolEnv = self.taskset.tool_env
        async with agents.agent.interaction(task) as interaction:
            trace = interaction.trace
            # Rollouts of one question differ in the randomness of their tools.
            seed = int(digest_of("verifiers", str(trace.id))[:15], 16)
            state = env.begin(env.questions.question(task.data.index), seed=seed)
            segment = await interaction.turn()
            while not segment.terminated:
                turn = turn_of_message(segment.messages[-1].model_dump())
                state = await asyncio.to_thread(_after, env, state, turn, cut_off=bool(trace.is_truncated))
                if state.stop is not None:
                    break
                content = content_of(wrap_results(state.turns[-1].observation), image_url_part)
                segment = await interaction.turn([vf.UserMessage(content=content)])
        if trace.has_error and state.stop is None:
            return
        if state.stop is None:
            # A limit of verifiers' ended it: as a token limit of ours would have.
            state = await asyncio.to_thread(_after, env, state, "", cut_off=True)
        trace.record_reward("reward", state.reward)
        trace.record_metrics({term.name: term.value for term in state.terms})
        trace.info["stop"] = None if state.stop is None else state.stop.value


def _after(env: ToolEnv, state: EpisodeState, turn: str, *, cut_off: bool) -> EpisodeState:
    return env.advance(state, turn, cut_off=cut_off).state
