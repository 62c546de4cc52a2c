"""Defines `FunctionBody`, the part of a function tool that runs."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from axpo_envs.engine._event_loop import run_coroutine
from axpo_envs.errors import InfrastructureFault
from axpo_envs.imaging._decoding import WHITE
from axpo_envs.tool._returned import as_result
from axpo_envs.tool._signature import STATE_PARAMETER
from axpo_envs.tool.protocol import ToolContext, ToolError
from axpo_envs.types import ToolResult


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FunctionBody:
    """What runs when a function tool is called; it stands in for the tool in worker processes."""

    function: Callable[..., Any]
    """The function."""
    errors: tuple[type[Exception], ...]
    """Exceptions of the function that the policy reads, besides `ToolError`."""
    context_parameter: str | None
    """The parameter that takes the `ToolContext`; None without one."""
    keeps_state: bool
    """It takes the state in the parameter `state` and returns (result, new state)."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function as if it were not decorated."""
        return self.function(*args, **kwargs)

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext | None) -> tuple[ToolResult, Any]:
        """Calls the function; a coroutine is run to its end.

        Args:
            arguments: the validated arguments.
            state: the state; None for a function that keeps none.
            context: where it is called; None will do for a function that does not ask and images laid on white.

        Raises:
            ToolError: the function raised it, or one of the declared `errors`.
            TypeError: the function returned what `as_result` does not take, or no new state.
        """
        with self._translating():
            value = self.function(**self._filled_in(arguments, state, context))
        if inspect.iscoroutine(value):
            value = run_coroutine(self._awaited(value))
        return self._outcome(value, state, context)

    async def step_async(
        self, arguments: Mapping[str, Any], state: Any, context: ToolContext
    ) -> tuple[ToolResult, Any]:
        """As `step`, for an async function."""
        value = await self._awaited(self.function(**self._filled_in(arguments, state, context)))
        return self._outcome(value, state, context)

    async def _awaited(self, awaitable: Awaitable[Any]) -> Any:
        # On the loop itself: what ends a thread would end the loop.
        with self._translating():
            return await awaitable

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (ToolError, InfrastructureFault):
            raise
        except self.errors as error:
            raise ToolError(f"{type(error).__name__}: {error}") from error
        except SystemExit as error:
            # A function ends neither the program that it is a tool of, nor the event loop that others share.
            raise RuntimeError(f"it called sys.exit({error.code!r})") from error

    def _filled_in(self, arguments: Mapping[str, Any], state: Any, context: ToolContext | None) -> dict[str, Any]:
        given = dict(arguments)
        if self.context_parameter is not None:
            given[self.context_parameter] = context
        if self.keeps_state:
            given[STATE_PARAMETER] = state
        return given

    def _outcome(self, value: Any, state: Any, context: ToolContext | None) -> tuple[ToolResult, Any]:
        background = WHITE if context is None else context.background
        if not self.keeps_state:
            return as_result(value, background=background), state
        if not (isinstance(value, tuple) and len(value) == 2):
            raise TypeError(f"a tool with a state returns a tuple (result, new state); got {value!r}")
        return as_result(value[0], background=background), value[1]
