"""Defines `Play`, which plays one episode of an environment with an engine of rLLM."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from axpo.adapters.rllm._library import Library
from axpo.adapters.rllm._messages import has_seen_none, is_cut_off, opening, turn_of, user_message
from axpo_agents.rolling import REDO, advance
from axpo_envs.adapters.messages import function_schemas
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.observation import without_tags, wrap_results
from axpo_envs.types import EpisodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One episode."""

    env: ToolEnv
    library: Library
    engine: Any
    execute: Callable[..., Awaitable[EpisodeState]]
    """Runs a function in another thread: rLLM's loop serves many episodes."""
    options: Mapping[str, Any]
    """What the engine is told besides the messages."""

    async def into(self, trajectory: Any, index: int, uid: str) -> Any:
        """Plays question `index`, and writes a step for every turn into a trajectory of rLLM's.

        Returns:
            rLLM's reason for the end. Where a limit of the engine's ended it, the last step has the reward of no
            answer.

        Raises:
            InfrastructureFault: a tool's machinery failed, or the engine broke off a turn.
        """
        state = self.env.begin(self.env.questions.question(index), seed=int(digest_of("rllm", uid)[:15], 16))
        messages = opening(self.env, state)
        try:
            while state.stop is None:
                output = await self.engine.get_model_response(messages, application_id=uid, **self._told())
                state, messages = await self._turn(trajectory, state, messages, output)
        except self.library.event as event:
            if not self.library.is_limit(event.reason):
                raise
            if trajectory.steps:
                state = await self._advance(state, "", cut_off=True)
                trajectory.steps[-1].reward, trajectory.steps[-1].done = state.reward, True
            return event.reason
        return self.library.ended(state.stop)

    async def _turn(
        self, trajectory: Any, state: EpisodeState, messages: list[dict[str, Any]], output: Any
    ) -> tuple[EpisodeState, list[dict[str, Any]]]:
        if has_seen_none(output, messages):
            warnings.warn(
                "rLLM's engine tells nothing of the messages' images; those of verl read them with a processor "
                "and a parser for Qwen's models",
                stacklevel=2,
            )
        limit = self.options.get("max_tokens", getattr(self.engine, "max_response_length", None))
        text = turn_of(output)
        state = await self._advance(state, text, cut_off=is_cut_off(output, limit))
        messages = [*messages, {"role": "assistant", "content": text}]
        trajectory.steps.append(
            self.library.step(
                chat_completions=messages,
                model_response=text,
                model_output=output,
                action=text,
                reward=state.reward,
                done=state.stop is not None,
            )
        )
        if state.stop is None:
            messages = [*messages, user_message(wrap_results(without_tags(state.turns[-1].observation)))]
        return state, messages

    def _advance(self, state: EpisodeState, text: str, *, cut_off: bool) -> Awaitable[EpisodeState]:
        return self.execute(advance, self.env, state, text, cut_off=cut_off, retries=REDO)

    def _told(self) -> dict[str, Any]:
        # A chat server refuses an empty list of tools.
        tools = {"tools": function_schemas(self.env.tools)} if self.env.tools else {}
        return {**tools, **self.options}
