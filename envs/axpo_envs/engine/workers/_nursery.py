"""Defines the nursery: a small process without threads from which workers are forked, and the program it runs.

Owner and nursery talk over a socket pair in messages of fixed size: FORK with a descriptor, answered by the new
worker's process id; KILL with a process id, answered by its exit status once it is gone. The nursery ends, and its
workers with it, when the owner's end of the socket is closed, as it is whenever the owner dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from typing import Final, NoReturn

from axpo_envs.engine.workers._worker import serve
from axpo_envs.errors import InfrastructureFault

START_LIMIT_S: Final = 60.0
"""Seconds in which a nursery must have started."""

_REQUEST: Final = struct.Struct("=cq")
_REPLY: Final = struct.Struct("=q")
_FORK: Final = b"f"
_KILL: Final = b"k"
_SINGLE_THREADED: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Nursery:
    """A running nursery, as its owner sees it.

    Raises:
        InfrastructureFault: it did not start.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_lost = False
        """It has died; another one is needed."""
        self._socket, other = socket.socketpair()
        try:
            with other:
                self._process = _start(other.fileno())
            self._socket.settimeout(START_LIMIT_S)
            self._receive()
            self._socket.settimeout(None)
        except OSError as error:
            self._socket.close()
            raise InfrastructureFault(f"the nursery of the tools' workers did not start: {error!r}") from error

    def fork(self) -> tuple[int, Connection]:
        """A new worker: its process id, and the connection on which it answers.

        Raises:
            InfrastructureFault: the nursery has died, or the system has no room for another process.
        """
        own, other = socket.socketpair()
        connection = Connection(own.detach())
        try:
            with other:
                process = self._ask(_FORK, 0, [other.fileno()])
            if process < 0:
                raise InfrastructureFault(f"no worker process could be started: {os.strerror(-process)}")
        except BaseException:
            connection.close()
            raise
        return process, connection

    def kill(self, process: int) -> int:
        """Kills a worker and its process group; returns its exit status once it is gone.

        Raises:
            InfrastructureFault: the nursery has died.
        """
        return os.waitstatus_to_exitcode(self._ask(_KILL, process))

    def close(self) -> None:
        """Ends the nursery and its workers."""
        self._socket.close()
        try:
            self._process.wait(timeout=START_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def disown(self) -> None:
        """In a forked child, to which the nursery does not belong: lets go of it without ending it."""
        self._socket.close()
        self._process.returncode = 0

    def _ask(self, operation: bytes, process: int, descriptors: list[int] | None = None) -> int:
        with self._lock:
            try:
                socket.send_fds(self._socket, [_REQUEST.pack(operation, process)], descriptors or [])
                return self._receive()
            except OSError as error:
                self.is_lost = True
                raise InfrastructureFault(f"the nursery of the tools' workers has died: {error!r}") from error

    def _receive(self) -> int:
        reply = self._socket.recv(_REPLY.size, socket.MSG_WAITALL)
        if len(reply) < _REPLY.size:
            raise ConnectionError("it closed its socket; its standard error may say why")
        return int(_REPLY.unpack(reply)[0])


def _start(descriptor: int) -> subprocess.Popen[bytes]:
    path = [str(entry) for entry in sys.path]
    program = f"import sys; sys.path[:] = {path!r}; from {__name__} import main; main({descriptor})"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.DEVNULL,
        pass_fds=[descriptor],
        # In a session of its own, Ctrl-C reaches the owner alone, who then decides.
        start_new_session=True,
        env={**dict.fromkeys(_SINGLE_THREADED, "1"), **os.environ},
    )


def main(descriptor: int) -> None:
    """The nursery's program: forks and kills workers until the socket's other end is closed."""
    owner = socket.socket(fileno=descriptor)
    children: set[int] = set()
    owner.sendall(_REPLY.pack(0))
    try:
        while True:
            message, descriptors, *_ = socket.recv_fds(owner, _REQUEST.size, 1)
            if len(message) < _REQUEST.size:
                return
            operation, process = _REQUEST.unpack(message)
            if operation == _FORK:
                reply = _fork(owner, descriptors[0])
                children.update({reply} if reply > 0 else ())
            else:
                reply = _kill(process)
                children.discard(process)
            owner.sendall(_REPLY.pack(reply))
    finally:
        for child in children:
            _kill(child)


def _fork(owner: socket.socket, descriptor: int) -> int:
    """The new worker's process id, or the negative number of the system's error."""
    try:
        process = os.fork()
    except OSError as error:
        os.close(descriptor)
        return -(error.errno or 1)
    if process == 0:
        owner.close()
        _be_worker(descriptor)
    os.close(descriptor)
    # Both sides do it, so that it is done for both.
    with contextlib.suppress(OSError):
        os.setpgid(process, process)
    return process


def _be_worker(descriptor: int) -> NoReturn:
    try:
        os.setpgid(0, 0)
        serve(descriptor)
    finally:
        os._exit(0)


def _kill(process: int) -> int:
    # A worker that has died is a zombie until it is waited for here, so its id is nobody else's.
    for send in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            send(process, signal.SIGKILL)
    return os.waitpid(process, 0)[1]
