"""Defines `LastWords`: what a server wrote to its standard error last, for the message about its end."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import Final, TextIO

from axpo_envs.plumbing.web.redaction import redact

_SHOWN_CHARS: Final = 2000
_KEPT_BYTES: Final = 4 * _SHOWN_CHARS
_READ_BYTES: Final = 1 << 16


class LastWords:
    """The end of what is written into a pipe, read on the running event loop as it comes.

    A context manager, which gives the file to hand to the process; to be closed here once the process has it, so that
    the pipe ends with the process.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = -1
        self._kept = b""
        self._file: TextIO | None = None

    def __enter__(self) -> TextIO:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._loop.add_reader(self._reader, self._read)
        self._file = os.fdopen(writer, "w")
        return self._file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._read()
        self._close_reader()
        if self._file is not None:
            self._file.close()

    @property
    def text(self) -> str:
        """The last lines, without any registered secret."""
        # More is kept than is shown, so that a secret is found whole even where the shown text begins within it.
        return redact(self._kept.decode("utf-8", errors="replace"))[-_SHOWN_CHARS:].strip()

    def _read(self) -> None:
        if self._reader < 0:
            return
        try:
            data = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return
        self._kept = (self._kept + data)[-_KEPT_BYTES:]
        if not data:
            self._close_reader()

    def _close_reader(self) -> None:
        if self._reader >= 0:
            self._loop.remove_reader(self._reader)
            os.close(self._reader)
            self._reader = -1
