"""Defines `WorkerPool`, which runs calls in worker processes and kills those that run past their limit."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any, Final

from axpo_envs.engine.workers._nursery import Nursery
from axpo_envs.engine.workers._parcels import ToolParcel, pack, unpack
from axpo_envs.engine.workers._worker import Answer, Call, Ending, Load
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.tool.protocol import ToolTimeout

MAX_WORKERS: Final = 32
"""Calls that run at a time."""

MAX_TOOLS: Final = 64
"""Tools that a worker has at hand; before the next one it forgets them all."""

LOAD_LIMIT_S: Final = 120.0
"""Seconds in which a worker must have loaded a tool, the imports of its module included."""


class WorkerPool:
    """Worker processes, started as they are needed and kept for later calls.

    Args:
        size: how many there may be; further calls wait.
    """

    def __init__(self, size: int = MAX_WORKERS) -> None:
        self._room = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._nursery: Nursery | None = None

    def run(self, parcel: ToolParcel, given: tuple[Any, ...], *, limit_s: float) -> Any:
        """Calls `step(*given)` of a tool in a worker and returns what it returned.

        Raises:
            ToolTimeout: the call ran past the limit; it and the processes it has started are dead.
            EnvConfigError: a worker cannot load the tool.
            InfrastructureFault: the worker died.
            Exception: whatever the step raised.
        """
        with self._room:
            worker = self._take(parcel.key)
            try:
                answer = worker.call(parcel, given, limit_s)
            except _WorkerDiedError as error:
                status = self._bury(worker)
                raise InfrastructureFault(f"the worker of tool {parcel.name!r} died, exit status {status}") from error
            except BaseException:
                self._bury(worker)
                raise
            with self._lock:
                self._idle.append(worker)
        if answer.ending is Ending.RAISED:
            raise answer.value
        return answer.value

    def close(self) -> None:
        """Ends every worker; the next call starts afresh."""
        self._let_go(self._nursery)

    def disown(self) -> None:
        """In a forked child, to which the workers do not belong: lets go of them without ending them."""
        for worker in self._idle:
            worker.connection.close()
        if self._nursery is not None:
            self._nursery.disown()

    def _take(self, key: bytes) -> _Worker:
        """An idle worker, one that has the tool if there is one, or a new one."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                worker = next((idle for idle in self._idle if key in idle.loaded), self._idle[-1])
                self._idle.remove(worker)
            if worker.is_alive():
                return worker
            self._bury(worker)
        with self._lock:
            nursery = self._nursery = self._nursery or Nursery()
        try:
            return _Worker(nursery, *nursery.fork())
        except InfrastructureFault:
            if nursery.is_lost:
                self._let_go(nursery)
            raise

    def _bury(self, worker: _Worker) -> int:
        """Ends a worker for certain and returns its exit status."""
        worker.connection.close()
        try:
            return worker.nursery.kill(worker.process)
        except InfrastructureFault:
            self._let_go(worker.nursery)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.process, signal.SIGKILL)
        return -signal.SIGKILL

    def _let_go(self, nursery: Nursery | None) -> None:
        with self._lock:
            if nursery is None or nursery is not self._nursery:
                return
            self._nursery = None
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.connection.close()
        nursery.close()


class _WorkerDiedError(Exception):
    """A worker closed its connection without an answer."""


class _Worker:
    """A worker process as the pool sees it."""

    def __init__(self, nursery: Nursery, process: int, connection: Connection) -> None:
        self.nursery: Final = nursery
        self.process: Final = process
        self.connection: Final = connection
        self.loaded: dict[bytes, bytes] = {}

    def is_alive(self) -> bool:
        """For an idle worker, which has nothing to say but that it has ended."""
        return not self.connection.poll()

    def call(self, parcel: ToolParcel, given: tuple[Any, ...], limit_s: float) -> Answer:
        while True:
            payload = parcel.payload
            answer = self._load(parcel, payload)
            if answer.ending is Ending.DONE:
                answer = self._ask(Call(key=parcel.key, given=pack(given)), limit_s, ToolTimeout.after(limit_s))
            if answer.ending is not Ending.UNREADABLE:
                return answer
            if not parcel.send_code(instead_of=payload):
                raise EnvConfigError(f"a worker process cannot load tool {parcel.name!r}: {answer.value}")

    def _load(self, parcel: ToolParcel, payload: bytes) -> Answer:
        if self.loaded.get(parcel.key) is payload:
            return Answer(ending=Ending.DONE, value=None)
        forget = len(self.loaded) >= MAX_TOOLS
        if forget:
            self.loaded.clear()
        request = Load(key=parcel.key, payload=payload, path=tuple(sys.path), forget=forget)
        late = InfrastructureFault(f"tool {parcel.name!r} was not loaded by a worker within {LOAD_LIMIT_S:g} s")
        answer = self._ask(request, LOAD_LIMIT_S, late)
        if answer.ending is Ending.DONE:
            self.loaded[parcel.key] = payload
        return answer

    def _ask(self, request: Load | Call, limit_s: float, late: Exception) -> Answer:
        message = pack(request)
        try:
            self.connection.send_bytes(message)
            answered = self.connection.poll(limit_s)
            data = self.connection.recv_bytes() if answered else b""
        except (EOFError, OSError) as error:
            raise _WorkerDiedError from error
        if not answered:
            raise late
        answer: Answer = unpack(data)
        return answer


class _Shared:
    """The pool that all environments of this process use."""

    def __init__(self) -> None:
        self.pool = WorkerPool()

    def close(self) -> None:
        self.pool.close()

    def forget(self) -> None:
        self.pool.disown()
        self.pool = WorkerPool()


_SHARED: Final = _Shared()
atexit.register(_SHARED.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_SHARED.forget)


def shared_pool() -> WorkerPool:
    """The pool that all environments of this process use."""
    return _SHARED.pool
