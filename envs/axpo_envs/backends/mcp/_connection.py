"""Defines `Connection`: an MCP server that is called for as long as it takes, over as many sessions as it takes."""

from __future__ import annotations

import asyncio
import atexit
import os
import time
import uuid
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import mcp
import pydantic
from mcp import types

from axpo_envs.backends.mcp._server import McpServer
from axpo_envs.backends.mcp._session import Session
from axpo_envs.engine._event_loop import run_coroutine
from axpo_envs.errors import InfrastructureFault
from axpo_envs.parsing import clip
from axpo_envs.tool.protocol import ToolError, ToolTimeout

# The beginnings of what the SDK says of answers that came and could not be taken, which are no losses.
_UNREADABLE: Final = ("SSE stream failed", "Failed to parse")
_SHOWN_CHARS: Final = 2000
_CLOSE_S: Final = 15.0


class Connection:
    """Calls the tools of one server; connects when it is first used, and again when the connection broke.

    Its coroutines run on the loop of `engine._event_loop`. A process that inherits it by forking, or gets a copy,
    connects by itself; copies within a process are one and the same.

    Args:
        server: the server.
    """

    def __init__(self, server: McpServer, *, identity: str | None = None) -> None:
        self.server: Final = server
        self._identity = identity or uuid.uuid4().hex
        self._homes: dict[int, _Home] = {}
        _CONNECTIONS[self._identity] = self
        weakref.finalize(self, _stop_sessions, self._homes).atexit = False

    def __reduce__(self) -> tuple[Any, ...]:
        return _connection_of, (self.server, self._identity)

    async def tools(self) -> tuple[types.Tool, ...]:
        """What the server offers now.

        Raises:
            EnvConfigError: the server cannot be run, or refuses.
            InfrastructureFault: it cannot be connected to.
        """
        return (await self._stand(self.server.start_s)).tools

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, limit_s: float, repeatable: bool
    ) -> types.CallToolResult:
        """Calls a tool once.

        Args:
            name: the tool's name at the server.
            arguments: the arguments.
            limit_s: seconds after which the request is cancelled. Connecting does not count; it has `start_s` of its
                own. A call that is made again has what is left of both.
            repeatable: a call whose connection broke may be made again.

        Raises:
            ToolError: the server refuses the request; the message is the policy's to read.
            ToolTimeout: it was cancelled at the limit.
            EnvConfigError, InfrastructureFault: as in `tools`; or the connection broke before the result came.
        """
        connecting, calling = _TimeLeft(self.server.start_s), _TimeLeft(limit_s)
        for last in (False, True):
            with connecting:
                session = await self._stand(connecting.seconds)
            try:
                with calling:
                    return await _call(session, name, arguments, calling)
            except mcp.MCPError as error:
                never_ran = self._refuses_session(error)
                if not (session.broken or never_ran or _means_loss(error)):
                    raise ToolError(clip(error.message, _SHOWN_CHARS)) from None
                await _leave(session)
                if last or not (repeatable or never_ran):
                    what = f"lost the connection during a call of {name} ({error.message})"
                    raise InfrastructureFault(session.describe(what)) from None
        raise AssertionError("the second attempt returns or raises")

    def close(self) -> None:
        """Closes this process's session: a server that was started for it is gone afterwards. A call opens another."""
        home = self._homes.get(os.getpid())
        if home is not None and home.session is not None:
            run_coroutine(home.session.close(), limit_s=_CLOSE_S)

    async def _stand(self, limit_s: float) -> Session:
        """The session of this process; a new one where there is none, or it broke."""
        home = self._homes.setdefault(os.getpid(), _Home())
        until = asyncio.get_running_loop().time() + limit_s
        try:
            async with asyncio.timeout_at(until):
                await home.lock.acquire()
        except TimeoutError:
            raise InfrastructureFault(f"{self.server} did not answer within {self.server.start_s:g} s") from None
        try:
            if home.session is None or home.session.broken or home.session.retired:
                if home.session is not None:
                    await _leave(home.session)
                home.session = await self._open(until)
            return home.session
        finally:
            home.lock.release()

    async def _open(self, until: float) -> Session:
        """A new session; attempts and the waits in between end at that time of the loop."""
        retries, failures, loop = self.server.retries, 0, asyncio.get_running_loop()
        while True:
            session = Session(self.server)
            try:
                await session.standing(until)
                return session
            except InfrastructureFault:
                failures += 1
                wait = retries.wait_s(failures)
                if failures >= retries.attempts or loop.time() + wait >= until:
                    session.stop()
                    raise
            except BaseException:
                session.stop()
                raise
            await session.close()
            await asyncio.sleep(wait)

    def _refuses_session(self, error: mcp.MCPError) -> bool:
        """Whether a server of streamable HTTP no longer knows the session, and so never looked at the call."""
        return bool(self.server.url) and error.code == types.INVALID_REQUEST


class _Home:
    """The session of one process."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.lock = asyncio.Lock()


class _TimeLeft:
    """Seconds of which those spent within it are taken."""

    def __init__(self, seconds: float) -> None:
        self.given: Final = seconds
        self.seconds = seconds
        self._since = 0.0

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds = max(0.0, self.seconds - (time.monotonic() - self._since))


async def _call(session: Session, name: str, arguments: Mapping[str, Any], left: _TimeLeft) -> types.CallToolResult:
    try:
        async with asyncio.timeout(left.seconds) as limit:
            # At the limit the SDK tells the server that the request is cancelled.
            return await session.call(name, arguments)
    except TimeoutError:
        if limit.expired():
            raise ToolTimeout.after(left.given) from None
        raise InfrastructureFault(session.describe(f"cannot be written to during a call of {name}")) from None
    except (pydantic.ValidationError, mcp.InputRequiredRoundsExceededError) as error:
        raise ToolError(f"the tool's server gave no result: {clip(str(error), 200)}") from None
    except RuntimeError as error:
        raise InfrastructureFault(session.describe(f"was let go of during a call of {name}: {error}")) from error


def _means_loss(error: mcp.MCPError) -> bool:
    unreadable = error.message.startswith(_UNREADABLE)
    return error.code in (types.CONNECTION_CLOSED, types.PARSE_ERROR) and not unreadable


async def _leave(session: Session) -> None:
    """Has a session take no further calls; a broken one is closed, so that a server is gone before its successor."""
    if session.broken:
        await session.close()
    else:
        session.retire()


# A connection that comes back from another process is the one that went there.
_CONNECTIONS: Final[weakref.WeakValueDictionary[str, Connection]] = weakref.WeakValueDictionary()


def _connection_of(server: McpServer, identity: str) -> Connection:
    return _CONNECTIONS.get(identity) or Connection(server, identity=identity)


def _stop_sessions(homes: Mapping[int, _Home]) -> None:
    """Has a forgotten connection's session closed, without waiting: any thread may be collecting garbage."""
    home = homes.get(os.getpid())
    if home is not None and home.session is not None:
        with suppress(RuntimeError):
            home.session.loop.call_soon_threadsafe(home.session.stop)


@atexit.register
def _close_connections() -> None:
    for connection in list(_CONNECTIONS.values()):
        with suppress(Exception):
            connection.close()
