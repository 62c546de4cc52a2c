"""Defines `open_transport`, which opens the streams to an MCP server and notices when they end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Generic, TextIO, TypeVar

import httpx2
from anyio import EndOfStream
from mcp import types
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from axpo_envs.backends.mcp._lines import ENCODING
from axpo_envs.backends.mcp._messages import CallResults, RefusalBody, RepairedBody
from axpo_envs.backends.mcp._server import McpServer
from axpo_envs.errors import EnvConfigError

MAX_EVENT_BYTES: Final = 128 << 20
"""Size of one answer over HTTP; the SDK's own limit of 1 MiB is less than many an image."""

_CONNECT_S: Final = 30.0
_REFUSED: Final = frozenset((401, 403, 407))
# What a server, or what stands before it, answers while it cannot serve.
_UNABLE: Final = frozenset((408, 429, 502, 503, 504))
_UNCOMPRESSED: Final = {"Accept-Encoding": "identity"}
"""What is compressed could not be repaired."""

Item = TypeVar("Item")


class ServerTroubleError(Exception):
    """A server answered that it is unable to serve."""


class Watch:
    """What is known of a connection's end."""

    def __init__(self) -> None:
        self.stands = False
        """The server has answered; set by whoever asked it."""
        self.lost = False
        """Nothing more will come."""


@asynccontextmanager
async def open_transport(server: McpServer, watch: Watch, errors: TextIO) -> AsyncIterator[tuple[Any, Any]]:
    """The streams to a server, as `mcp.Client` takes them.

    Args:
        server: the server; a command is run and, at the end, stopped with all its children.
        watch: is told of the end of the stream.
        errors: takes what a command writes to its standard error; closed here once the command runs.

    Raises:
        EnvConfigError: a key or a variable is missing, or an address refuses the key.
    """
    if server.command:
        parameters = StdioServerParameters(
            command=server.command[0],
            args=list(server.command[1:]),
            env=server.environment_values(),
            cwd=server.folder,
            encoding=ENCODING,
            encoding_error_handler="replace",
        )
        async with stdio_client(parameters, errlog=errors) as (read, write):
            errors.close()
            results = CallResults()
            yield _WatchedStream(read, watch, results), _SendingStream(write, results)
        return
    # How long an answer may take is the business of each call's own limit.
    timeout = httpx2.Timeout(_CONNECT_S, read=None)
    hooks: dict[str, list[Any]] = {"response": [_ReadAnswer(watch)]}
    if server.key is not None:
        server.key.read()
        hooks["request"] = [_Authorize(server)]
    async with (
        httpx2.AsyncClient(timeout=timeout, event_hooks=hooks, headers=_UNCOMPRESSED) as client,
        streamable_http_client(server.url, http_client=client, max_sse_event_size=MAX_EVENT_BYTES) as (read, write),
    ):
        results = CallResults()
        yield _WatchedStream(read, watch, results), _SendingStream(write, results)


class _WatchedStream(Generic[Item]):
    """A stream of messages that tells when it has ended."""

    def __init__(self, stream: Any, watch: Watch, results: CallResults) -> None:
        self._stream = stream
        self._watch = watch
        self._results = results

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def receive(self) -> Item:
        try:
            item = await self._stream.receive()
        except Exception:
            self._watch.lost = True
            raise
        read: Item = self._results.received(item)
        return read

    def __aiter__(self) -> _WatchedStream[Item]:
        return self

    async def __anext__(self) -> Item:
        try:
            return await self.receive()
        except EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> _WatchedStream[Item]:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._watch.lost = True
        result: bool | None = await self._stream.__aexit__(kind, error, trace)
        return result


class _SendingStream:
    """A stream of messages to a server that tells which of them are calls."""

    def __init__(self, stream: Any, results: CallResults) -> None:
        self._stream = stream
        self._results = results

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def send(self, item: Any) -> None:
        self._results.sent(item)
        await self._stream.send(item)

    async def __aenter__(self) -> _SendingStream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        result: bool | None = await self._stream.__aexit__(kind, error, trace)
        return result


class _Authorize:
    """Adds the key to a request that is on its way out, so that no client object holds it."""

    def __init__(self, server: McpServer) -> None:
        self._key = server.key

    async def __call__(self, request: httpx2.Request) -> None:
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key.read()}"


class _ReadAnswer:
    """Tells failures of a server from answers, which the SDK gives one and the same error, and mends the answers."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def __call__(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status in _REFUSED:
            raise EnvConfigError(f"it answered {status}: check the key (key_variable)")
        is_json = response.headers.get("content-type", "").startswith("application/json")
        if status in _UNABLE or (status >= 500 and not is_json):
            if not self._watch.stands:
                raise ServerTroubleError(f"it answered {status}")
            # Raised here, it would end the other calls that are under way, too.
            code = types.CONNECTION_CLOSED if status in _UNABLE else types.INTERNAL_ERROR
            response.stream = RefusalBody(code, f"the tool's server answered {status}", response.stream)
            response.headers = httpx2.Headers({"content-type": "application/json"})
        elif "content-encoding" not in response.headers:
            response.stream = RepairedBody(response.stream)
