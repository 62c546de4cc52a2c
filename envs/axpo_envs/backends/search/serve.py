"""Defines `serve_search` and `SearchServer`, which offer a search backend over the retrieval protocol."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

from axpo_envs.backends.search._local import LocalIndex
from axpo_envs.backends.search._retrieval_http import RetrievalHTTPServer
from axpo_envs.backends.search._types import SearchBackend, check_backend
from axpo_envs.errors import EnvConfigError

# Whoever started the server reads the line through a pipe, perhaps, and waits for it.
_PRINT: Final = partial(print, flush=True)
# Whoever sends SIGTERM kills after a few seconds.
_COMMAND_STOP_S: Final = 0.5
_LOOK_S: Final = 0.2


class SearchServer:
    """Serves a search backend from a thread, within a `with` block.

    Args:
        backend: what to search.
        host: address to listen at; by default only this machine can connect.
        port: port to listen at; 0 for any that is free.
        stop_s: seconds that answers in progress have at the end of the block.

    Raises:
        EnvConfigError: nobody can listen there, or the backend lacks something.
    """

    def __init__(self, backend: SearchBackend, *, host: str = "127.0.0.1", port: int = 0, stop_s: float = 30.0) -> None:
        check_backend(backend)
        self._host = host
        self._stop_s = stop_s
        try:
            self._server = RetrievalHTTPServer(backend, host, port)
        except (OSError, OverflowError) as error:
            raise EnvConfigError(f"cannot listen at {host}, port {port}: {error}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="search server")

    @property
    def url(self) -> str:
        """Where to retrieve."""
        return f"{self._base}/retrieve"

    @property
    def documents_url(self) -> str:
        """Where to open documents."""
        return f"{self._base}/documents"

    @property
    def _base(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.server_address[1]}"

    def __enter__(self) -> SearchServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.stop(self._stop_s)


def serve_search(
    corpus: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    cache: str | Path | None = None,
    announce: Callable[[str], None] = _PRINT,
) -> None:
    """Serves a corpus until Ctrl-C or SIGTERM; requests that are being answered then have half a second.

    It is called from the main thread, which alone may wait for signals.

    Args:
        corpus: the JSONL file (see `LocalIndex`).
        host: address to listen at; by default only this machine can connect.
        port: port to listen at; 0 for any that is free.
        cache: folder for the index (see `LocalIndex`).
        announce: is told, once it listens, where, and what is served.

    Raises:
        EnvConfigError: the corpus is wrong, or nobody can listen there.
        InfrastructureFault: the index cannot be written.
    """
    index = LocalIndex(corpus, cache=cache)
    stop = threading.Event()
    with SearchServer(index, host=host, port=port, stop_s=_COMMAND_STOP_S) as server:
        before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
        try:
            announce(f"serving {len(index)} documents of {corpus} at {server.url} (Ctrl-C stops)")
            # A signal that comes just before the wait begins interrupts nothing: its handler runs at the next look.
            while not stop.wait(_LOOK_S):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            signal.signal(signal.SIGTERM, before)
