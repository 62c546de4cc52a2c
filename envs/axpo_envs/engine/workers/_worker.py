"""Defines `serve`, what a worker process does: load tools, run calls, answer."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass
from enum import StrEnum
from multiprocessing.connection import Connection
from typing import Any

from axpo_envs.engine.workers._parcels import pack, unpack
from axpo_envs.plumbing.web.redaction import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Asks a worker to have a tool at hand."""

    key: bytes
    """What calls name it by; a tool of that key is replaced."""
    payload: bytes
    """The packed tool."""
    path: tuple[str, ...]
    """`sys.path` of the asking process, from which it imports."""
    forget: bool
    """It drops the tools that it had at hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Asks a worker to run a step."""

    key: bytes
    """The tool."""
    given: bytes
    """The packed (arguments, state, context)."""


class Ending(StrEnum):
    """How a request ended."""

    DONE = "done"
    """The value is what the step returned; None for a tool that was loaded."""
    RAISED = "raised"
    """The value is the exception, with the worker's traceback as its note."""
    UNREADABLE = "unreadable"
    """The value says why the request could not be unpacked, usually because something in it cannot be imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A worker's answer to a request."""

    ending: Ending
    """How it ended."""
    value: Any
    """What came of it."""


def serve(descriptor: int) -> None:
    """Answers requests on a socket until the other end is closed."""
    connection = Connection(descriptor)
    tools: dict[bytes, Any] = {}
    while True:
        try:
            request = connection.recv_bytes()
        except (EOFError, OSError):
            return
        answer = _answer(request, tools)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        connection.send_bytes(answer)


def _answer(data: bytes, tools: dict[bytes, Any]) -> bytes:
    request: Load | Call = unpack(data)
    try:
        if isinstance(request, Load):
            if request.forget:
                tools.clear()
            sys.path[:] = request.path
            tools[request.key] = unpack(request.payload)
            return pack(Answer(ending=Ending.DONE, value=None))
        given = unpack(request.given)
    except Exception as error:
        return pack(Answer(ending=Ending.UNREADABLE, value=f"{type(error).__name__}: {error}"))
    try:
        return pack(Answer(ending=Ending.DONE, value=tools[request.key].step(*given)))
    except BaseException as error:
        return _pack_exception(error)


def _pack_exception(error: BaseException) -> bytes:
    """The exception where it travels unharmed, else one that says as much; never one that would end the asker."""
    note = redact(f"In a worker process:\n{''.join(traceback.format_exception(error))}")
    try:
        copy = unpack(pack(error))
        whole = type(copy) is type(error) and str(copy) == str(error) and isinstance(error, Exception)
    except Exception:
        whole = False
    sent = error if whole else RuntimeError(f"{type(error).__name__}: {error}")
    sent.add_note(note)
    return pack(Answer(ending=Ending.RAISED, value=sent))
