"""Defines `serve_view`, which shows runs at an address of this machine until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from axpo.settings.config import ConfigError
from axpo.viewer._app import make_app
from axpo.viewer._library import Library
from axpo.viewer._looking_ahead import LookingAhead
from axpo.viewer._pages import Pages
from axpo.viewer._runs import Shelf
from axpo.viewer._shown import ShownIndex
from axpo_envs.plumbing.extras import requiring

with requiring("view", "`axpo view`"):
    import uvicorn

HOST: Final = "127.0.0.1"
"""The one address that is listened at: what models wrote is nobody else's to read."""
# Whoever started the server reads the line through a pipe, perhaps, and waits for it.
_PRINT: Final = partial(print, flush=True)


def serve_view(
    folders: Sequence[Path],
    *,
    port: int = 0,
    tools: Collection[str] = (),
    tokenizer: Path | None = None,
    announce: Callable[[str], None] = _PRINT,
) -> None:
    """Serves the pages of runs until Ctrl-C or SIGTERM.

    Args:
        folders: folders of runs, or folders in which runs lie.
        port: port to listen at; 0 for any that is free.
        tools: names of tools whose mentions count, besides those that rollouts call.
        tokenizer: a `tokenizer.json`, or a folder with one, for runs that bring none.
        announce: is told, once it listens, where.

    Raises:
        RunLogError: a folder does not exist, or holds no run.
        ConfigError: nobody can listen there.
    """
    shelf = Shelf(folders)
    library = Library(tools, ShownIndex())
    app = make_app(Pages(shelf, library, tokenizer=tokenizer))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise ConfigError(f"port: cannot listen at {HOST}, port {port}: {error.strerror}") from error
        listening.listen(128)
        url = f"http://{HOST}:{listening.getsockname()[1]}/"
        count = len(shelf.runs())
        announce(f"{count} {'run' if count == 1 else 'runs'} at {url} (Ctrl-C stops)")
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1, server_header=False
        )
        # It ends by raising again what it was stopped by.
        with suppress(KeyboardInterrupt), LookingAhead(shelf, library):
            uvicorn.Server(config).run(sockets=[listening])
