"""Defines what a worker process runs, `Post`, and how it is seen from elsewhere, `Worker`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

import cloudpickle

from axpo_envs.engine.workers._parcels import pack, unpack
from axpo_envs.engine.workers._worker import Answer, Ending, _pack_exception
from axpo_envs.errors import InfrastructureFault


class WorkerLost(InfrastructureFault):
    """A worker died, or was given up, before it answered; what it was asked may have been done, in part or in whole."""


class Worker(Protocol):
    """A worker process as others see it."""

    def ask(self, method: str, *given: Any) -> bytes:
        """Has its `Post` call a method, and waits; several threads may ask.

        Returns:
            What `Post.answer` returned.

        Raises:
            WorkerLost: it is gone.
        """
        ...

    def end(self) -> None:
        """Ends the process, if it still runs."""
        ...


def order(make: Callable[[], Any]) -> bytes:
    """What a `Post` makes its object of; what cannot be imported elsewhere (closures, `__main__`) travels by value.

    Raises:
        Exception: it cannot be pickled; whatever its parts raise.
    """
    # Not `pack`, which leaves of a tool what runs a call.
    return pack((tuple(sys.path), cloudpickle.dumps(make)))


def answer_of(data: bytes) -> Any:
    """The value that a post answered with.

    Raises:
        Exception: what was raised there, with that process's traceback as a note.
    """
    answer: Answer = unpack(data)
    if answer.ending is Ending.RAISED:
        raise answer.value
    return answer.value


class Post:
    """What a worker process runs: an object that is made by the first call, so that failing to is an answer, too.

    Args:
        ordered: what `order` returned.
    """

    def __init__(self, ordered: bytes) -> None:
        self._ordered = ordered
        self._lock = threading.Lock()
        self._made: Any = None

    def answer(self, method: str, *given: Any) -> bytes:
        """Calls a method of the object; what it returns or raises, for `answer_of`."""
        try:
            return pack(Answer(ending=Ending.DONE, value=getattr(self._object(), method)(*given)))
        except BaseException as error:
            return _pack_exception(error)

    def _object(self) -> Any:
        with self._lock:
            if self._made is None:
                path, made = unpack(self._ordered)
                sys.path += [folder for folder in path if folder not in sys.path]
                self._made = unpack(made)()
            return self._made


class LocalWorker:
    """A worker in this process, to try things without any other.

    Args:
        ordered: what `order` returned.
    """

    def __init__(self, ordered: bytes) -> None:
        self._post: Final = Post(ordered)
        self._gone = False

    def ask(self, method: str, *given: Any) -> bytes:
        """See `Worker`; an answer that comes after the end is lost."""
        if not self._gone:
            answer = self._post.answer(method, *given)
            if not self._gone:
                return answer
        raise WorkerLost("the worker has ended")

    def end(self) -> None:
        """Nothing is answered any more."""
        self._gone = True
