"""Defines `WholeLines`, which hands on bytes line by line, and `ENCODING`, the text encoding UTF-8 that decodes so.

The SDK joins every piece that it reads of a line with all pieces before, so that a line of 20 MB takes it many seconds
in which no other call of the process goes on. Given whole lines it has nothing to join.
"""

from __future__ import annotations

import codecs
from typing import Final

ENCODING: Final = "axpo-whole-lines"
"""UTF-8 of which no character comes before its line has ended; what is not UTF-8 becomes U+FFFD."""
MAX_LINE_BYTES: Final = 128 << 20
"""Length of a line; of a longer one the beginning alone is handed on."""

_KEPT_BYTES: Final = 1000


class WholeLines:
    """Keeps the beginning of a line until its end comes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def add(self, piece: bytes) -> bytes:
        """The lines that are whole with this piece, each with its line end."""
        whole, end, rest = piece.rpartition(b"\n")
        if not end:
            self._keep(rest)
            return b""
        lines = b"".join((*self._pieces, whole, end))
        self._pieces, self._length = [], 0
        self._keep(rest)
        return lines

    def rest(self) -> bytes:
        """The beginning of a line that has not ended."""
        return b"".join(self._pieces)

    def _keep(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length <= MAX_LINE_BYTES:
            self._pieces.append(piece)
        else:
            # What follows is dropped: cut, it is no message, and who waits for it is told so.
            self._pieces = [self.rest()[:_KEPT_BYTES]]


class _Decoder(codecs.IncrementalDecoder):
    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._lines = WholeLines()

    def decode(self, data: bytes, final: bool = False) -> str:  # type: ignore[override]  # typeshed: any buffer
        lines = self._lines.add(bytes(data))
        return (lines + self._lines.rest() if final else lines).decode("utf-8", "replace")


def _find(name: str) -> codecs.CodecInfo | None:
    # Names are looked up with underscores.
    if name.replace("_", "-") != ENCODING:
        return None
    return codecs.CodecInfo(codecs.utf_8_encode, codecs.utf_8_decode, incrementaldecoder=_Decoder, name=ENCODING)


codecs.register(_find)
