"""Defines what is kept of an interpreter's output: its beginning and its end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

_CHUNK: Final = 1 << 16
_FLOOD: Final = 1 << 24
"""Bytes after which a cell that goes on writing is stopped."""


class Output:
    """Reads a pipe as it fills and keeps a bounded part of it.

    Args:
        most: bytes to keep.
    """

    def __init__(self, most: int) -> None:
        self.flooded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when more came than anybody would read."""
        self._reading, self.writing = os.pipe2(os.O_CLOEXEC)
        self.name = str(Path(f"/proc/self/fd/{self.writing}").readlink())
        """What the pipe is called in /proc."""
        self._head, self._tail, self._count = bytearray(), bytearray(), 0
        self._head_size, self._tail_size = most - most // 2, most // 2
        os.set_blocking(self._reading, False)
        asyncio.get_running_loop().add_reader(self._reading, self._read)

    def close_writing(self) -> None:
        """Gives up this side's writing end; the interpreter has it."""
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1

    def finish(self) -> bytes:
        """Takes what is still in the pipe, closes it, and returns what was kept of all."""
        self.close_writing()
        while self._read():
            pass
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)
        left_out = self._count - len(self._head) - len(self._tail)
        if not left_out:
            return bytes(self._head + self._tail)
        # Half a character at the cut becomes no character.
        parts = (part.decode("utf-8", "ignore") for part in (self._head, self._tail))
        return f"\n[... {left_out} bytes left out ...]\n".join(parts).encode()

    def _read(self) -> bool:
        """Reads once; whether there may be more."""
        try:
            data = os.read(self._reading, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self._reading)
            return False
        self._count += len(data)
        room = self._head_size - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        del self._tail[: max(0, len(self._tail) - self._tail_size)]
        if self._count > _FLOOD and not self.flooded.done():
            self.flooded.set_result(None)
        return self._count <= _FLOOD
