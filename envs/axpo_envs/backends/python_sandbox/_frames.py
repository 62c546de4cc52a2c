"""Defines how host, warden and interpreters talk: a JSON object, bytes after it, open files with it.

Nothing that is read is executed or unpickled, and nothing longer than expected is read: the sender may be hostile.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

Header = dict[str, Any]

MOST_HEADER: Final = 1 << 22
"""Bytes of a header from a sender that is trusted: the longest code and the longest path fit."""
_LENGTHS: Final = struct.Struct("!II")
_MOST_DESCRIPTORS: Final = 8


class FrameError(ValueError):
    """What came is no frame, or too long a one."""


class Frame(NamedTuple):
    """One message."""

    header: Header
    """What it says."""
    body: bytes = b""
    """Raw data that goes with it."""
    descriptors: tuple[int, ...] = ()
    """Open file descriptors, the receiver's to close."""


class Bounds(NamedTuple):
    """How long a frame may be."""

    header: int = MOST_HEADER
    """Bytes of its header."""
    body: int = 0
    """Bytes of its body."""


_TRUSTED: Final = Bounds()


def pack(header: Header, body: bytes = b"") -> bytes:
    """A frame's bytes."""
    text = json.dumps(header).encode("ascii")
    return _LENGTHS.pack(len(text), len(body)) + text + body


def send(link: socket.socket, header: Header, body: bytes = b"", descriptors: Sequence[int] = ()) -> None:
    """Sends a frame, blocking."""
    data = pack(header, body)
    sent = socket.send_fds(link, [data], descriptors) if descriptors else 0
    link.sendall(data[sent:])


def receive(link: socket.socket, bounds: Bounds = _TRUSTED) -> Frame:
    """Receives a frame, blocking.

    Raises:
        EOFError: the other end was closed.
        FrameError: the bytes are no frame, or it is longer than its bounds.
    """
    data, descriptors, _, _ = socket.recv_fds(link, _LENGTHS.size, _MOST_DESCRIPTORS)
    data += _receive_exactly(link, _LENGTHS.size - len(data)) if data else b""
    header_length, body_length = lengths(data, bounds)
    header = read_header(_receive_exactly(link, header_length))
    return Frame(header, bytes(_receive_exactly(link, body_length)), tuple(descriptors))


async def receive_async(
    link: socket.socket, bounds: Bounds = _TRUSTED, *, body_of: Callable[[Header], int] | None = None
) -> Frame:
    """Like `receive` on a non-blocking socket, without file descriptors.

    Args:
        link: where it comes from.
        bounds: how long it may be.
        body_of: how long its body must be, by its header; it raises FrameError where the header makes no sense.
    """
    header_length, body_length = lengths(await _receive_exactly_async(link, _LENGTHS.size), bounds)
    header = read_header(await _receive_exactly_async(link, header_length))
    if body_of is not None and body_of(header) != body_length:
        raise FrameError(f"expected {body_of(header)} bytes after the header; {body_length} were announced")
    return Frame(header, bytes(await _receive_exactly_async(link, body_length)))


def read(descriptor: int) -> Frame:
    """Receives a frame from a trusted sender by `read` alone, blocking; its first read waits for the sender.

    Raises:
        EOFError: the other end was closed.
    """
    header_length, body_length = _LENGTHS.unpack(_read_exactly(descriptor, _LENGTHS.size))
    return Frame(json.loads(_read_exactly(descriptor, header_length)), _read_exactly(descriptor, body_length))


def write(descriptor: int, header: Header, body: bytes = b"") -> None:
    """Sends a frame by `write` alone, blocking."""
    data = memoryview(pack(header, body))
    while data:
        data = data[os.write(descriptor, data) :]


def _read_exactly(descriptor: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        received = os.read(descriptor, count - len(data))
        if not received:
            raise EOFError("the other end was closed")
        data += received
    return bytes(data)


def lengths(data: bytes | bytearray, bounds: Bounds) -> tuple[int, int]:
    """How long header and body of a frame are, from its first 8 bytes.

    Raises:
        EOFError: there are none.
        FrameError: they are longer than their bounds.
    """
    if not data:
        raise EOFError("the other end was closed")
    header_length, body_length = _LENGTHS.unpack(data)
    if header_length > bounds.header or body_length > bounds.body:
        raise FrameError(
            f"expected a frame of at most {bounds.header} + {bounds.body} bytes; "
            f"got one of {header_length} + {body_length}"
        )
    return header_length, body_length


def read_header(data: bytes | bytearray) -> Header:
    """A frame's header.

    Raises:
        FrameError: it is no JSON object.
    """
    try:
        header = json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise FrameError(f"expected JSON; got {bytes(data[:80])!r}") from error
    if not isinstance(header, dict):
        raise FrameError(f"expected a JSON object; got {bytes(data[:80])!r}")
    return header


def _receive_exactly(link: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        received = link.recv_into(view)
        if not received:
            raise EOFError("the other end was closed")
        view = view[received:]
    return data


async def _receive_exactly_async(link: socket.socket, count: int) -> bytearray:
    loop = asyncio.get_running_loop()
    data = bytearray(count)
    view = memoryview(data)
    while view:
        received = await loop.sock_recv_into(link, view)
        if not received:
            raise EOFError("the other end was closed")
        view = view[received:]
    return data
