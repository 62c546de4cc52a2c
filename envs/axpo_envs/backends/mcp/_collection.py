"""Defines `mcp_tools`, which makes the tools of an MCP server tools of an environment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, overload

from axpo_envs.backends.mcp._server import McpServer
from axpo_envs.engine._event_loop import run_coroutine
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.extras import requiring
from axpo_envs.tool.protocol import Effects

with requiring("mcp", "`mcp_tools`"):
    from axpo_envs.backends.mcp._connection import Connection
    from axpo_envs.backends.mcp._tool import McpLimits, McpTool


class McpTools(Sequence[McpTool]):
    """The tools of one server, as a sequence.

    Closing it, leaving it as a context manager, forgetting it with its tools, or ending the process closes the
    connection, and ends a server that was started for it.
    """

    def __init__(self, tools: Iterable[McpTool], connection: Connection) -> None:
        self._tools = tuple(tools)
        self._connection = connection

    @overload
    def __getitem__(self, index: int) -> McpTool: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[McpTool, ...]: ...
    def __getitem__(self, index: int | slice) -> McpTool | tuple[McpTool, ...]:
        """The tool at that place, or several."""
        return self._tools[index]

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"McpTools({', '.join(tool.name for tool in self._tools)}; {self._connection.server})"

    def __enter__(self) -> McpTools:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> McpTools:
        return self

    def close(self) -> None:
        """Closes the connection of this process; a later call opens another."""
        self._connection.close()


def mcp_tools(
    server: str | Sequence[str] | McpServer,
    *,
    only: Collection[str] | None = None,
    prefix: str = "",
    effects: Effects | str | Mapping[str, Effects | str] = Effects.EXTERNAL,
    timeout_s: float = 30.0,
    max_chars: int = 20_000,
) -> McpTools:
    """Connects to an MCP server and makes tools of what it offers.

    ```python
    gymnasium.make("axpo/ToolTask-v0", questions=..., tools=mcp_tools("npx -y @modelcontextprotocol/server-everything"))
    ```

    All episodes share the server. What it keeps from call to call is therefore shared by branches, too, and is no part
    of a snapshot: a tool of such a server is `EXTERNAL`, executed exactly once per call that a policy made. A tool
    whose results depend on its arguments alone may be declared `PURE`. What the server's own annotations say of that
    (`readOnlyHint`, `idempotentHint`) is not enough: they are hints of a party that the SDK tells not to trust, and a
    tool that only reads still reads what others write.

    A server that crashed, or closed the connection, is started or connected to anew for the next call. The call during
    which it happened raises an `InfrastructureFault`, since nobody knows whether it took effect (one of a `PURE` tool
    is made once more first).

    Args:
        server: a command, a URL of streamable HTTP, or an `McpServer` with further settings.
        only: the server's names of the tools to take; None for all.
        prefix: stands before the names by which a policy calls them, so that two servers' names do not meet.
        effects: what executing the tools does, for all or by the server's names; those not named are external.
        timeout_s: seconds after which a call is cancelled; the policy reads that it was.
        max_chars: characters of text of a result that the policy reads.

    Raises:
        EnvConfigError: the server cannot be used, does not offer what is asked for, or a setting is unusable.
    """
    limits = McpLimits(timeout_s=timeout_s, max_chars=max_chars)
    chosen = _Chosen.of(effects)
    connection = Connection(McpServer.of(server))
    try:
        offered = {tool.name: tool for tool in run_coroutine(connection.tools())}
        for name in (*(only or ()), *chosen.named):
            if name not in offered:
                known = ", ".join(offered) or "none"
                raise EnvConfigError(f"{connection.server} has no tool {name!r}; its tools are: {known}")
        made = [
            McpTool(tool, connection, name=prefix + name, effects=chosen.effects_of(name), limits=limits)
            for name, tool in offered.items()
            if only is None or name in only
        ]
    except InfrastructureFault as fault:
        # At this point nothing has run yet: it is the user's to mend.
        raise EnvConfigError(str(fault)) from fault
    except BaseException:
        connection.close()
        raise
    return McpTools(made, connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """What a user says of the tools' effects."""

    named: Mapping[str, Effects]
    """By the server's names."""
    others: Effects
    """For all that have no name there."""

    @classmethod
    def of(cls, given: Effects | str | Mapping[str, Effects | str]) -> _Chosen:
        if isinstance(given, Mapping):
            named = {name: _checked(f"effects of {name!r}", effects) for name, effects in given.items()}
            return cls(named=named, others=Effects.EXTERNAL)
        return cls(named={}, others=_checked("effects", given))

    def effects_of(self, name: str) -> Effects:
        return self.named.get(name, self.others)


def _checked(what: str, effects: Effects | str) -> Effects:
    allowed = (Effects.PURE, Effects.EXTERNAL)
    if effects not in allowed:
        names = " or ".join(allowed)
        raise EnvConfigError(f"{what}: expected {names}, for the server keeps its state to itself; got {effects!r}")
    return Effects(effects)
