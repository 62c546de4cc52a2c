"""Defines `Toolbox`: the tools of an environment by name, each with the way its steps are run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from axpo_envs.engine._event_loop import run_coroutine
from axpo_envs.engine._frozen import ADVICE, find_mutable
from axpo_envs.engine.workers import TimedStep
from axpo_envs.errors import EnvConfigError, InfrastructureFault, ToolFault
from axpo_envs.tool.protocol import AsyncTool, Tool, ToolContext
from axpo_envs.types import Question, ToolResult

ToolStates: TypeAlias = tuple[tuple[str, Any], ...]
"""(tool name, state) of the tools that keep one, in the environment's order."""


class Step(Protocol):
    """One call of a tool, from state to state, its time limit kept."""

    def __call__(self, arguments: Mapping[str, Any], state: Any, context: ToolContext, /) -> tuple[ToolResult, Any]:
        """As `Tool.step`; raises `ToolTimeout` where the call was stopped."""
        ...


class Toolbox:
    """The tools of an environment, by name.

    | a tool | runs | at its time limit |
    |---|---|---|
    | is an `AsyncTool` | on the event loop shared by all of them | is cancelled |
    | has a time limit | in a worker process | is killed with its process |
    | has none | in the calling thread, at no cost | |

    Args:
        tools: the tools, in the order in which they are shown to the policy.

    Raises:
        EnvConfigError: something is no tool, two share a name, or one with a time limit cannot be sent to a worker.
    """

    __slots__ = ("_by_name", "_steps", "tools")

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools: Final = tuple(tools)
        self._by_name: dict[str, Tool] = {}
        self._steps: dict[str, Step] = {}
        for tool in self.tools:
            if not isinstance(tool, Tool):
                raise EnvConfigError(f"expected tools with the members of axpo_envs.tools.Tool; got {tool!r}")
            if tool.name in self._by_name:
                raise EnvConfigError(f"tool names must be unique; got {tool.name!r} twice")
            self._by_name[tool.name] = tool
            self._steps[tool.name] = _step_of(tool)

    def find(self, name: str) -> Tool | None:
        """The tool of that name, if there is one."""
        return self._by_name.get(name)

    def step(self, tool: Tool, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[Any, Any]:
        """Runs one call of one of the tools; what comes back is as the tool returned it, unchecked.

        Raises:
            ToolTimeout: it was stopped at its time limit.
            Exception: whatever the tool raises.
        """
        return self._steps[tool.name](arguments, state, context)

    def initial_states(self, question: Question) -> ToolStates:
        """The states at the start of an episode.

        Raises:
            ToolFault: a tool fails to make one, or makes one that is no immutable data.
        """
        states = ((tool.name, _initial_state(tool, question)) for tool in self.tools)
        return tuple((name, state) for name, state in states if state is not None)


def _step_of(tool: Tool) -> Step:
    if isinstance(tool, AsyncTool):
        return partial(_await_step, tool)
    return tool.step if tool.timeout_s is None else TimedStep(tool)


def _await_step(
    tool: AsyncTool, arguments: Mapping[str, Any], state: Any, context: ToolContext
) -> tuple[ToolResult, Any]:
    return run_coroutine(tool.step_async(arguments, state, context), limit_s=tool.timeout_s)


def _initial_state(tool: Tool, question: Question) -> Any:
    try:
        state = tool.initial_state(question)
    except InfrastructureFault:
        raise
    except Exception as error:
        what = f"tool {tool.name!r} raised {type(error).__name__}: {error} when asked for its initial state"
        raise ToolFault(f"{what} (question {question.id!r})") from error
    if state is not None and (problem := find_mutable(state)):
        raise ToolFault(f"the initial state of tool {tool.name!r}: {problem}; {ADVICE}")
    return state
