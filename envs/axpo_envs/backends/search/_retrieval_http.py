"""Defines `RetrievalHTTPServer`, which answers requests of the retrieval protocol.

| request | answer |
|---|---|
| `POST /retrieve` `{"queries": [text, ...], "topk"?: 3, "return_scores"?: false}` | `{"result": [[hit, ...], ...]}` |
| `POST /retrieve` `{"query": text, ...}` | the same with one inner list |
| `POST /documents` `{"ids": [text, ...]}` | `{"result": [document or null, ...]}` |
| `GET /health` | `{"status": "ok", "backend": fingerprint}` |

A document is `{"id", "title", "contents"}`, a hit is one or, with scores, `{"document", "score"}`. A query that cannot
be searched for has no hits. What went wrong is `{"error": text}`: 400 for a bad request, 411 and 413 for its size, 404
and 405 for what is not offered, 503 where the backend has a fault or the answer takes too long.

Nothing that clients do takes more than a bounded part of the server: the limits are the constants below. Connections
beyond the most that are served wait, unaccepted, until one ends; so do all while the process has no descriptor left.
That is why it is no starlette behind uvicorn: these bound neither a request's time nor accept, and spin without
descriptors.
"""

from __future__ import annotations

import io
import json
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from axpo_envs.backends.search._timed_reader import TimedReader
from axpo_envs.backends.search._types import SearchBackend
from axpo_envs.errors import InfrastructureFault
from axpo_envs.tool.protocol import ToolError

MAX_BODY_BYTES: Final = 16 << 20
"""Size of a request."""
MAX_ITEMS: Final = 10_000
"""Queries or ids in one request: trainers send those of a whole batch at once."""
MAX_TOP_K: Final = 100
"""Hits per query."""

MAX_QUERY_CHARS: Final = 10_000
"""Length of a query or an id."""
MAX_CONNECTIONS: Final = 256
"""Connections that are served at a time."""
IDLE_S: Final = 60.0
"""Seconds for which a connection is kept without a request."""
REQUEST_S: Final = 30.0
"""Seconds in which a request must have come in whole, from its first line on."""
ANSWER_S: Final = 120.0
"""Seconds after which no further query of a request is looked up."""
SEND_S: Final = 30.0
"""Seconds in which a client must have taken an answer."""

_DEFAULT_TOP_K: Final = 3
_BREATHER_S: Final = 0.1
_LOGGER: Final = logging.getLogger(__name__)


class RequestError(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RetrievalHTTPServer(ThreadingHTTPServer):
    """Answers every connection in a thread of its own, and knows them, so that it can end them."""

    request_queue_size = 128
    # A thread that still searches when the server has been stopped must not keep the process.
    daemon_threads = True
    block_on_close = False

    def __init__(self, backend: SearchBackend, host: str, port: int) -> None:
        self.backend = backend
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__((host, port), RequestHandler)

    def server_bind(self) -> None:
        """Binds the socket."""
        # Without the look-up of the host's name that HTTPServer makes, which may take seconds.
        socketserver.TCPServer.server_bind(self)

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection.

        Raises:
            OSError: none can be served now; the caller asks again.
        """
        with self._changed:
            room = self._changed.wait_for(lambda: len(self._open) < MAX_CONNECTIONS, timeout=_BREATHER_S)
        if not room:
            raise BlockingIOError("every connection that may be served is in use")
        try:
            return super().get_request()
        except OSError:
            # Out of descriptors, the socket stays readable: asked again at once, it would be asked for ever.
            time.sleep(_BREATHER_S)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts the thread of a new connection."""
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection."""
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection broke: the client's affair."""
        _LOGGER.debug("connection %s of %s broke", request, client_address, exc_info=True)

    def stop(self, grace_s: float) -> None:
        """Ends all connections, those with a request in progress after its answer if that comes within `grace_s`."""
        self.server_close()
        # Who waits for a further request reads the end of the connection; answers can still be written.
        self._end_all(socket.SHUT_RD)
        with self._changed:
            self._changed.wait_for(lambda: not self._open, timeout=grace_s)
        self._end_all(socket.SHUT_RDWR)

    def _end_all(self, direction: int) -> None:
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(direction)


class RequestHandler(BaseHTTPRequestHandler):
    """Reads one request after the other from a connection."""

    server: RetrievalHTTPServer
    protocol_version = "HTTP/1.1"
    # Headers and body are written one after the other; the second must not wait until the first is acknowledged.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Begins a connection."""
        super().setup()
        self._incoming = TimedReader(self.connection)
        self.rfile = io.BufferedReader(self._incoming)

    def handle_one_request(self) -> None:
        """Waits for a request, reads it and answers it."""
        self._incoming.until = time.monotonic() + IDLE_S
        super().handle_one_request()

    def parse_request(self) -> bool:
        """Reads the headers; what follows them has until the same time."""
        self._incoming.until = time.monotonic() + REQUEST_S
        return super().parse_request()

    def do_GET(self) -> None:
        """Answers a GET request."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Answers a POST request."""
        self._answer(self._post)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers what is no HTTP, or asks for another method."""
        self.close_connection = True
        self._send(code, {"error": message or explain or HTTPStatus(code).phrase})

    def log_message(self, format: str, *args: Any) -> None:
        """Logs instead of writing to stderr."""
        _LOGGER.debug("%s %s", self.address_string(), format % args)

    def _answer(self, handle: Callable[[], Mapping[str, Any]]) -> None:
        content: Mapping[str, Any]
        try:
            status, content = 200, handle()
        except OSError:
            raise
        except RequestError as error:
            status, content = error.status, {"error": str(error)}
        except InfrastructureFault as fault:
            _LOGGER.error("the backend has a fault: %s", fault)
            status, content = 503, {"error": str(fault)}
        except Exception:
            _LOGGER.exception("%s %s failed", self.command, self.path)
            status, content = 500, {"error": "internal error"}
        self._send(status, content)

    def _send(self, status: int, content: Mapping[str, Any]) -> None:
        body = json.dumps(content).encode("ascii")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        # The time for what is sent is one for headers and body together, and none is left of that for reading.
        self.connection.settimeout(SEND_S)
        self.end_headers()
        self.wfile.write(body)

    def _get(self) -> dict[str, Any]:
        if self.path == "/health":
            return {"status": "ok", "backend": self.server.backend.fingerprint}
        raise self._not_offered(("/retrieve", "/documents"), "POST")

    def _post(self) -> dict[str, Any]:
        request = self._read_json()
        if self.path == "/retrieve":
            return {"result": _retrieve(self.server.backend, request)}
        if self.path == "/documents" and self.server.backend.opens:
            return {"result": _open_documents(self.server.backend, request)}
        raise self._not_offered(("/health",), "GET")

    def _not_offered(self, paths: tuple[str, ...], method: str) -> RequestError:
        if self.path in paths:
            return RequestError(405, f"use {method} for {self.path}")
        return RequestError(404, f"there is no {self.path}; there are POST /retrieve, POST /documents, GET /health")

    def _read_json(self) -> dict[str, Any]:
        # What is left unread by an error would be taken for the next request.
        closes, self.close_connection = self.close_connection, True
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or "Transfer-Encoding" in self.headers:
            raise RequestError(411, "expected a Content-Length, and no Transfer-Encoding")
        if len(length) > 12 or int(length) > MAX_BODY_BYTES:
            raise RequestError(413, f"a request has at most {MAX_BODY_BYTES} bytes; this one has {length:.20}")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise RequestError(400, f"expected {length} bytes; got {len(body)}")
        self.close_connection = closes
        try:
            request = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RequestError(400, f"expected JSON: {error}") from None
        if not isinstance(request, dict):
            raise RequestError(400, f"expected a JSON object; got {type(request).__name__}")
        return request


def _retrieve(backend: SearchBackend, request: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    if ("queries" in request) == ("query" in request):
        raise RequestError(400, 'expected either "queries" or "query"')
    queries = _texts("queries", request["queries"] if "queries" in request else [request["query"]])
    top_k = request.get("topk")
    top_k = _DEFAULT_TOP_K if top_k is None else top_k
    if not isinstance(top_k, int) or isinstance(top_k, bool) or not 1 <= top_k <= MAX_TOP_K:
        raise RequestError(400, f'expected "topk" to be an integer from 1 to {MAX_TOP_K}; got {top_k!r:.80}')
    with_scores = request.get("return_scores", False)
    if not isinstance(with_scores, bool):
        raise RequestError(400, f'expected "return_scores" to be true or false; got {with_scores!r:.80}')
    return [_hits(backend, query, top_k, with_scores) for query in _in_time(queries)]


def _hits(backend: SearchBackend, query: str, top_k: int, with_scores: bool) -> list[dict[str, Any]]:
    try:
        hits = backend.search(query, top_k)
    except ToolError:
        return []
    if with_scores:
        return [{"document": hit.document.to_row(), "score": hit.score} for hit in hits]
    return [hit.document.to_row() for hit in hits]


def _open_documents(backend: SearchBackend, request: Mapping[str, Any]) -> list[dict[str, Any] | None]:
    documents = [backend.open(id) for id in _in_time(_texts("ids", request.get("ids")))]
    return [None if document is None else document.to_row() for document in documents]


def _texts(name: str, values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise RequestError(400, f'expected "{name}" to be a list of texts; got {values!r:.80}')
    if len(values) > MAX_ITEMS:
        raise RequestError(400, f'expected at most {MAX_ITEMS} "{name}"; got {len(values)}')
    longest = max(map(len, values), default=0)
    if longest > MAX_QUERY_CHARS:
        raise RequestError(400, f'expected at most {MAX_QUERY_CHARS} characters in each of "{name}"; got {longest}')
    return values


def _in_time(texts: list[str]) -> Iterator[str]:
    """The texts, as long as there is time to answer."""
    until = time.monotonic() + ANSWER_S
    for number, text in enumerate(texts):
        if time.monotonic() > until:
            raise RequestError(503, f"only {number} of {len(texts)} could be looked up in {ANSWER_S:g} s: send fewer")
        yield text
