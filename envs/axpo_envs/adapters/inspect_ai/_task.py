"""Defines `inspect_task`: an environment of ours as a task of inspect_ai, played by any of its models."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from axpo_envs.adapters.messages import data_url, turn_of_message
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.images import ImageRef
from axpo_envs.observation import without_tags, wrap_results
from axpo_envs.plumbing.extras import requiring
from axpo_envs.types import EpisodeState, Parts

with requiring("inspect-ai", "a task of inspect_ai"):
    from inspect_ai import Task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import (
        ChatMessageSystem,
        ChatMessageTool,
        ChatMessageUser,
        ContentImage,
        ContentReasoning,
        ContentText,
        get_model,
    )
    from inspect_ai.scorer import Score, accuracy, scorer, stderr
    from inspect_ai.solver import solver
    from inspect_ai.tool import ToolInfo, ToolParams

_STORED: Final = "axpo_episode"
"""Where the end of the episode stands in a sample's store."""


def inspect_task(env: ToolEnv, count: int, *, first: int = 0) -> Any:
    """A task of inspect_ai: `inspect_ai.eval(inspect_task(env, 100), model="openai/...")`.

    A sample is a question, its images in it. The solver lets the model act until the episode ends, several calls a
    turn, each answered by a message of its own; the scorer is the environment's reward, `accuracy` its mean.

    Args:
        env: asks the questions and executes the turns; samples share it.
        count: how many questions.
        first: number of the first.
    """
    samples = [_sample(env, index) for index in range(first, first + count)]
    return Task(
        dataset=MemoryDataset(samples, name=env.rules.env_id),
        solver=environment_solver(env),
        scorer=environment_scorer(),
        name=env.rules.env_id.replace("/", "-"),
    )


@solver  # type: ignore[untyped-decorator]
def environment_solver(env: ToolEnv) -> Any:
    """Plays the episode of a sample.

    An infrastructure fault is raised: inspect_ai ends the sample with an error (see its `fail_on_error` and
    `retry_on_error`), which has no score. Epochs differ in the randomness of their tools.

    Args:
        env: executes the turns.
    """
    tools = [
        ToolInfo(name=tool.name, description=tool.description, parameters=_parameters(tool.parameters))
        for tool in env.tools
    ]

    async def solve(state: Any, generate: Any) -> Any:
        del generate
        index = int(state.metadata["index"])
        seed = int(digest_of("inspect", index, state.epoch)[:15], 16)
        episode = env.begin(env.questions.question(index), seed=seed)
        while episode.stop is None and not state.completed:
            state.output = await get_model().generate(state.messages, tools=tools)
            message = state.output.message
            state.messages.append(message)
            cut_off = state.output.stop_reason in ("max_tokens", "model_length")
            text, before = _turn_text(message), episode
            transition = await asyncio.to_thread(env.advance, before, text, cut_off=cut_off)
            episode = transition.state
            if episode.stop is None:
                state.messages.extend(_answers(env, episode, message))
        # A limit of inspect_ai's own ended it.
        if episode.stop is None:
            episode = env.advance(episode, "", cut_off=True).state
        state.store.set(_STORED, _ended(episode))
        return state

    return solve


@scorer(metrics=[accuracy(), stderr()])  # type: ignore[untyped-decorator]
def environment_scorer() -> Any:
    """The reward of the episode that `environment_solver` played; its terms and why it ended in the metadata."""

    async def score(state: Any, target: Any) -> Any:
        del target
        ended = state.store.get(_STORED)
        if ended is None:
            raise RuntimeError("expected the episode of a sample to have ended: use environment_solver")
        return Score(
            value=ended["reward"], answer=ended["answer"], metadata={"stop": ended["stop"], "terms": ended["terms"]}
        )

    return score


def _ended(episode: EpisodeState) -> dict[str, Any]:
    assert episode.stop is not None
    return {
        "reward": episode.reward,
        "answer": episode.turns[-1].answer,
        "stop": episode.stop.value,
        "terms": {term.name: term.value for term in episode.terms},
    }


def _sample(env: ToolEnv, index: int) -> Any:
    question = env.questions.question(index)
    system = [ChatMessageSystem(content=env.instructions)] if env.instructions else []
    user = ChatMessageUser(content=_content(env.opening(env.begin(question))))
    return Sample(id=question.id, input=[*system, user], target=question.answer, metadata={"index": index})


def _content(parts: Parts) -> Any:
    if not any(isinstance(part, ImageRef) for part in parts):
        return "".join(part for part in parts if isinstance(part, str))
    return [
        ContentImage(image=data_url(part)) if isinstance(part, ImageRef) else ContentText(text=part)
        for part in parts
        if part
    ]


def _turn_text(message: Any) -> str:
    calls = [{"name": call.function, "arguments": call.arguments} for call in message.tool_calls or ()]
    reasoning = [part.reasoning for part in message.content if isinstance(part, ContentReasoning)]
    return turn_of_message({"content": message.text, "reasoning_content": "\n".join(reasoning), "tool_calls": calls})


def _answers(env: ToolEnv, episode: EpisodeState, message: Any) -> list[Any]:
    """A message for every call that the model's API knows of; of calls written into the text, one of the user's."""
    turn, calls = episode.turns[-1], list(message.tool_calls or ())
    if len(calls) != len(turn.calls):
        return [ChatMessageUser(content=_content(wrap_results(without_tags(turn.observation))))]
    return [
        ChatMessageTool(
            content=_content(without_tags(env.results([record]))), tool_call_id=call.id, function=call.function
        )
        for call, record in zip(calls, turn.calls, strict=True)
    ]


def _parameters(schema: Any) -> Any:
    kept = {name: schema[name] for name in ("properties", "required", "additionalProperties") if name in schema}
    return ToolParams.model_validate({"type": "object", **kept})
