"""Defines `tool_environments`, an environment of ours as TRL's `environment_factory`, its reward and its rows."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from axpo_agents.rolling import REDO, advance
from axpo_envs.adapters.messages import Content, content_of, pillow_part, turn_of_message
from axpo_envs.adapters.signatures import python_signature
from axpo_envs.digest import digest_of
from axpo_envs.env import ToolEnv
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.examples import call_turn
from axpo_envs.observation import without_tags
from axpo_envs.parsing import parse_turn
from axpo_envs.plumbing.web import Retries
from axpo_envs.tool.protocol import Tool
from axpo_envs.types import EpisodeState

_TAKEN: Final = ("reset", "get_reward")
"""What TRL itself calls; it takes every other public method for a tool."""


class ToolEpisode:
    """One episode as TRL drives it; subclasses made by `tool_environments` have a method for every tool.

    TRL executes the calls that it parsed itself, each of them a turn of the episode here, and shows the environment no
    text: neither thinking nor a call that does not parse. `environment_reward` brings the last message.
    """

    _env: ToolEnv
    _retries: Retries
    _numbers: Iterator[int]

    def __init__(self) -> None:
        self._state: EpisodeState | None = None
        self._problem: Exception | None = None

    def reset(self, **row: Any) -> Content:
        """Begins the episode of a row of `environment_rows`; its question goes behind the row's last message.

        Raises:
            ValueError: the row has no `index`.
        """
        if "index" not in row:
            raise ValueError(f"expected a row with an index, as environment_rows makes it; got {sorted(row)}")
        self._problem = None
        self._state = None
        # Tools with randomness of their own differ between the rollouts of a group.
        seed = int(digest_of("trl", row.get("seed", 0), int(row["index"]), next(self._numbers))[:15], 16)
        try:
            question = self._env.questions.question(int(row["index"]))
            self._state = self._env.begin(question, seed=seed)
        except InfrastructureFault as fault:
            self._problem = fault
            return ""
        return content_of(self._env.opening(self._state), pillow_part)

    def _call(self, tool: Tool, arguments: Mapping[str, Any]) -> Content:
        """The result of a call, as a tool's message holds it.

        TRL shows the policy whatever a tool raises. A fault of ours is kept, for `environment_reward` to raise it, and
        one of the infrastructure, so that the rollout goes without a reward.
        """
        if self._problem is not None or self._state is None:
            raise InfrastructureFault(str(self._problem or "the episode has not begun"))
        if self._state.stop is not None:
            return f"Error: the episode is over ({self._state.stop})."
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            self._state = advance(self._env, self._state, call_turn(tool.name, given), retries=self._retries)
        except Exception as problem:
            self._problem = problem
            raise
        turn = self._state.turns[-1]
        parts = turn.observation or turn.calls[-1].result.content
        return content_of(without_tags(parts), pillow_part)

    def _finish(self, completion: Sequence[Mapping[str, Any]]) -> float | None:
        """Ends the episode with the last message and scores it; None where the infrastructure failed.

        Raises:
            ToolFault, RewardFault: the code of a tool, or of the reward, failed.
        """
        if self._problem is None and self._state is not None and self._state.stop is None:
            last = completion[-1] if completion and completion[-1].get("role") == "assistant" else {}
            text = turn_of_message(last)
            # A call in the last message was not executed: TRL could not parse it, or ran into a limit.
            unfinished = not last or bool(parse_turn(text).calls)
            try:
                self._state = advance(self._env, self._state, text, cut_off=unfinished, retries=self._retries)
            except Exception as problem:
                self._problem = problem
        if isinstance(self._problem, InfrastructureFault):
            return None
        if self._problem is not None:
            raise self._problem
        assert self._state is not None
        return self._state.reward


def tool_environments(env: ToolEnv, *, retries: Retries = REDO) -> type[ToolEpisode]:
    """An environment of ours as `GRPOTrainer(environment_factory=...)` takes it: a class with a method for every tool.

    Give the trainer `environment_reward` among its `reward_funcs`, `environment_rows` as its data, and
    `max_tool_calling_iterations=env.rules.max_turns`. Images of questions and of results are Pillow images in the
    messages, as TRL hands them to the processor.

    Args:
        env: asks the questions and executes the calls; one serves all rollouts.
        retries: how often a call that met an infrastructure fault is made again.

    Raises:
        EnvConfigError: a tool's name, or that of an argument, cannot be a method's.
    """
    methods = {tool.name: _method(tool) for tool in env.tools}
    for name in methods:
        if not name.isidentifier() or name.startswith("_") or name in _TAKEN:
            raise EnvConfigError(
                f"expected tools that TRL can find as public methods, none of them {' or '.join(_TAKEN)}; got {name!r}"
            )
    fixed = {"_env": env, "_retries": retries, "_numbers": itertools.count()}
    name = "".join(letter for letter in env.rules.env_id.title() if letter.isalnum())
    return type(name or "Environment", (ToolEpisode,), {**methods, **fixed})


def environment_reward(
    completions: Sequence[Sequence[Mapping[str, Any]]], environments: Sequence[ToolEpisode], **_: Any
) -> list[float | None]:
    """The environments' own rewards, for `reward_funcs`: every episode ends with its rollout's last message.

    Rollouts that met an infrastructure fault have None, which TRL leaves out of means and updates.

    Raises:
        ToolFault, RewardFault: the code of a tool, or of the reward, failed.
    """
    return [environment._finish(completion) for environment, completion in zip(environments, completions, strict=True)]


def environment_rows(env: ToolEnv, count: int, *, first: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    """Rows for `datasets.Dataset.from_list`: the instructions, an empty user's message, and which question to ask.

    Args:
        env: the environment.
        count: how many questions.
        first: number of the first.
        seed: of the randomness of its tools.
    """
    system = [{"role": "system", "content": env.instructions}] if env.instructions else []
    return [
        {"prompt": [*system, {"role": "user", "content": ""}], "index": index, "seed": seed}
        for index in range(first, first + count)
    ]


def _method(tool: Tool) -> Any:
    described = python_signature(tool)

    def method(self: ToolEpisode, **arguments: Any) -> Content:
        return self._call(tool, arguments)

    method.__name__ = method.__qualname__ = tool.name
    method.__doc__ = described.docstring
    method.__annotations__ = described.annotations
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = inspect.Signature([this, *described.parameters])  # type: ignore[attr-defined]
    return method
