"""Defines `McpTool`, one tool of an MCP server as a tool of an environment."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp import types

from axpo_envs.backends.mcp._argument_schema import ArgumentSchema
from axpo_envs.backends.mcp._connection import Connection
from axpo_envs.backends.mcp._content import parts_of
from axpo_envs.engine._event_loop import run_coroutine
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.imaging._decoding import WHITE
from axpo_envs.tool.protocol import Effects, ToolContext
from axpo_envs.types import Parts, Question, ToolResult, ToolStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class McpLimits:
    """What a call may take and give.

    Raises:
        EnvConfigError: a limit is out of range.
    """

    timeout_s: float
    """Seconds after which a call is cancelled."""
    max_chars: int
    """Characters of text of a result that the policy reads."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s < math.inf or self.max_chars < 1:
            raise EnvConfigError(f"expected timeout_s > 0 seconds and max_chars >= 1; got {self}")


class McpTool:
    """A tool of an MCP server. Made by `mcp_tools`; it may be called from any thread, and pickled.

    Args:
        offered: what the server says of it.
        connection: the connection to the server.
        name: the name a policy calls it by.
        effects: what executing it does.
        limits: what a call may take and give.

    Raises:
        EnvConfigError: its schema is no JSON schema of an object.
    """

    def __init__(
        self, offered: types.Tool, connection: Connection, *, name: str, effects: Effects, limits: McpLimits
    ) -> None:
        self._offered = offered
        self._connection = connection
        self._name = name
        self._effects = effects
        self._limits = limits
        where = f"{connection.server}, tool {offered.name!r}"
        try:
            self._schema = ArgumentSchema(offered.input_schema, where=where)
        except ValueError as error:
            advice = "; only=[...] takes the server's other tools"
            raise EnvConfigError(f"{where}: its inputSchema is no JSON schema of arguments: {error}{advice}") from None
        schema = self._schema.document
        self._parameters = {key: value for key, value in schema.items() if key != "$schema"}

    def __repr__(self) -> str:
        return f"McpTool({self._name!r}, {self._connection.server})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (self._offered, self._connection, self._name, self._effects, self._limits)

    def __deepcopy__(self, memo: dict[int, Any]) -> McpTool:
        # It never changes, and Gymnasium copies the keyword arguments that environments are made with.
        return self

    @property
    def name(self) -> str:
        """The name a policy calls it by."""
        return self._name

    @property
    def description(self) -> str:
        """What the server says it does; its title or name where it says nothing."""
        return str(self._offered.description or self._offered.title or self._offered.name)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments, the server's."""
        return self._parameters

    @property
    def effects(self) -> Effects:
        """External unless the user said otherwise."""
        return self._effects

    @property
    def timeout_s(self) -> float | None:
        """None: it keeps its limit by itself, so that a server that is started again does not count as a slow call."""
        return None

    @property
    def limits(self) -> McpLimits:
        """What a call may take and give."""
        return self._limits

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments, unchanged, if they fit the server's schema.

        Raises:
            ToolArgumentError: they do not, or are too many to check.
            ToolTimeout: checking took longer than a call may.
        """
        self._schema.check(arguments, limit_s=self._limits.timeout_s)
        return dict(arguments)

    def initial_state(self, question: Question) -> None:
        """None: what the server keeps, it keeps to itself."""
        del question

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext | None) -> tuple[ToolResult, Any]:
        """As `step_async`, for callers that block."""
        return run_coroutine(self.step_async(arguments, state, context))

    async def step_async(
        self, arguments: Mapping[str, Any], state: Any, context: ToolContext | None
    ) -> tuple[ToolResult, Any]:
        """What the server answers, text and images; transparent ones are laid on white without a context.

        Raises:
            ToolError: the server refuses the request.
            ToolTimeout: the call took longer than its limit, and the server was told so.
            InfrastructureFault: the server cannot be connected to, or the connection broke before the result came:
                whether the call took effect is then unknown. A tool declared pure is called once more before.
        """
        repeatable = self._effects is Effects.PURE
        result = await self._connection.call(
            self._offered.name, arguments, limit_s=self._limits.timeout_s, repeatable=repeatable
        )
        # Large images take their time, and other tools share the loop.
        background = WHITE if context is None else context.background
        content = await asyncio.to_thread(parts_of, result, max_chars=self._limits.max_chars, background=background)
        if result.is_error:
            return ToolResult(status=ToolStatus.ERROR, content=_as_error(content)), state
        return ToolResult(content=content), state


def _as_error(content: Parts) -> Parts:
    """The content, beginning with the word that all errors begin with."""
    first = content[0]
    if isinstance(first, ImageRef) or not first.lower().startswith("error"):
        return ("Error: ", *content)
    return content


def _remake(offered: types.Tool, connection: Connection, name: str, effects: Effects, limits: McpLimits) -> McpTool:
    return McpTool(offered, connection, name=name, effects=effects, limits=limits)
