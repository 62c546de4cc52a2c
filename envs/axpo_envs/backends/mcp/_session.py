"""Defines `Session`: one standing connection to an MCP server, from its beginning to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import mcp
from mcp import types

from axpo_envs.backends.mcp._last_words import LastWords
from axpo_envs.backends.mcp._messages import result_of
from axpo_envs.backends.mcp._server import McpServer
from axpo_envs.backends.mcp._transport import Watch, open_transport
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.web.redaction import redact

_MAX_PAGES: Final = 100
_END_S: Final = 10.0


class Session:
    """A connection that one task opens, keeps and closes, as the SDK demands. Made and used on one event loop.

    Args:
        server: the server.
    """

    def __init__(self, server: McpServer) -> None:
        self.tools: tuple[types.Tool, ...] = ()
        """The server's tools, once it stands."""
        self.loop = asyncio.get_running_loop()
        self._server = server
        self._watch = Watch()
        self._words = LastWords()
        self._client: asyncio.Future[mcp.Client] = self.loop.create_future()
        self._causes: tuple[BaseException, ...] = ()
        self._stop = asyncio.Event()
        self._calls = 0
        self._retired = False
        self._task = self.loop.create_task(self._keep(), name=str(server))
        _OPEN.add(self)
        self._task.add_done_callback(lambda _: _OPEN.discard(self))

    @property
    def broken(self) -> bool:
        """Whether it was lost or closed: nothing more can be asked."""
        return self._watch.lost or self._task.done() or self._stop.is_set()

    @property
    def retired(self) -> bool:
        """Whether it takes no further calls."""
        return self._retired

    def retire(self) -> None:
        """Takes no further calls, and closes when the last of those under way is over."""
        self._retired = True
        if not self._calls:
            self.stop()

    async def call(self, name: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """The result of one call; cancelling it has the SDK tell the server.

        Raises:
            mcp.MCPError: the server refuses the request, or the connection broke.
            ToolError: its answer holds nothing that can be read.
        """
        client = await self.standing()
        self._calls += 1
        try:
            return result_of(await client.call_tool(name, dict(arguments)))
        finally:
            self._calls -= 1
            if self._retired:
                self.retire()

    async def standing(self, until: float | None = None) -> mcp.Client:
        """The client, once the connection stands.

        Args:
            until: time of the loop until which it is waited for; None for as long as the server has.

        Raises:
            EnvConfigError: the command cannot be run, or the address refuses.
            InfrastructureFault: the connection does not come to stand.
        """
        try:
            async with asyncio.timeout_at(self.loop.time() + self._server.start_s if until is None else until):
                return await asyncio.shield(self._client)
        except TimeoutError:
            self.stop()
            raise InfrastructureFault(self.describe(f"did not answer within {self._server.start_s:g} s")) from None

    def stop(self) -> None:
        """Has the connection closed, without waiting for it."""
        self._stop.set()
        if not self._client.done():
            self._task.cancel()

    async def close(self) -> None:
        """Closes the connection; a process that was started for it is gone afterwards."""
        self.stop()
        await asyncio.wait([self._task], timeout=_END_S)

    def describe(self, what: str) -> str:
        """A sentence about the server, with what is known of the connection's end."""
        causes = redact("; ".join(f"{type(cause).__name__}: {cause}" for cause in self._causes))
        said = f"; its last words: {self._words.text}" if self._words.text else ""
        return f"{self._server} {what}" + (f" ({causes})" if causes else "") + said

    async def _keep(self) -> None:
        problem: Exception | None = None
        try:
            with self._words as errors:
                async with mcp.Client(open_transport(self._server, self._watch, errors)) as client:
                    self.tools = await _list_tools(client)
                    self._watch.stands = True
                    self._client.set_result(client)
                    await self._stop.wait()
        except Exception as error:
            problem = error
        finally:
            self._watch.lost = True
            self._causes = tuple(_single_errors(problem)) if problem is not None else ()
            if not self._client.done():
                self._client.set_exception(self._failure())
                # Whoever waited for it may be gone.
                self._client.exception()

    def _failure(self) -> Exception:
        """Why it does not come to stand."""
        for cause in self._causes:
            if isinstance(cause, EnvConfigError):
                return EnvConfigError(self.describe(f"cannot be used: {redact(str(cause))}"))
            if isinstance(cause, FileNotFoundError | PermissionError | NotADirectoryError):
                return EnvConfigError(f"{self._server} cannot be run: {cause}")
        return InfrastructureFault(self.describe("cannot be connected to"))


async def _list_tools(client: mcp.Client) -> tuple[types.Tool, ...]:
    tools: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tuple(tools)


def _single_errors(error: BaseException) -> list[BaseException]:
    """The errors of a group, those of groups within it included, without the frames, which hold keys and variables."""
    if isinstance(error, BaseExceptionGroup):
        return [single for part in error.exceptions for single in _single_errors(part)]
    return [error.with_traceback(None)]


# An event loop alone does not keep its tasks from being collected as garbage.
_OPEN: Final[set[Session]] = set()
