"""Defines `TimedStep`, which runs a tool's step in a worker process so that its time limit holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from axpo_envs.engine.workers._parcels import ToolParcel
from axpo_envs.engine.workers._pool import shared_pool
from axpo_envs.errors import EnvConfigError
from axpo_envs.imaging._decoding import WHITE
from axpo_envs.tool._function import FunctionTool
from axpo_envs.tool.protocol import Tool, ToolContext


class TimedStep:
    """The step of a tool with a time limit.

    Args:
        tool: the tool.

    Raises:
        EnvConfigError: it has no limit, it cannot be pickled, or this system cannot fork processes.
    """

    def __init__(self, tool: Tool) -> None:
        if tool.timeout_s is None or not tool.timeout_s > 0:
            raise EnvConfigError(f"tool {tool.name!r}: expected timeout_s > 0 seconds; got {tool.timeout_s}")
        if not hasattr(os, "fork"):
            raise EnvConfigError(f"tool {tool.name!r}: a time limit needs a Unix system, or an async tool")
        self._tool = tool
        self._limit_s = tool.timeout_s
        # Its images may be large; a function that does not ask for the context needs none of it.
        self._needs_context = not isinstance(tool, FunctionTool) or tool.body.context_parameter is not None
        self._parcel = _parcel(tool)

    def __call__(self, arguments: Mapping[str, Any], state: Any, context: ToolContext | None) -> tuple[Any, Any]:
        """Runs the step.

        Raises:
            ToolTimeout: it was killed at the limit.
            EnvConfigError: a worker cannot load the tool.
            InfrastructureFault: the worker died.
            Exception: whatever the step raised.
        """
        needed = self._needs_context or (isinstance(context, ToolContext) and context.background != WHITE)
        given = (arguments, state, context if needed else None)
        outcome: tuple[Any, Any] = shared_pool().run(self._parcel, given, limit_s=self._limit_s)
        return outcome

    def __deepcopy__(self, memo: dict[int, Any]) -> TimedStep:
        # It never changes.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # The parcel is made anew: it belongs to the workers of a process.
        return TimedStep, (self._tool,)


def _parcel(tool: Tool) -> ToolParcel:
    home = tool.function.__module__ if isinstance(tool, FunctionTool) else type(tool).__module__
    try:
        return ToolParcel(name=tool.name, tool=tool, home=home)
    except Exception as error:
        raise EnvConfigError(
            f"tool {tool.name!r} has a time limit, so it runs in a worker process, and something it refers to cannot "
            f"be sent there ({type(error).__name__}: {error}); make such things within the function, make the tool "
            "async, or let it keep its limit itself"
        ) from error
