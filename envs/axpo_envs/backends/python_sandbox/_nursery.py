"""Defines the nursery: the process in which modules are imported once, and from which every family is forked.

A family is a warden with the interpreters it keeps. The nursery executes nothing that it is sent and never meets
sandboxed code; so it is the one that keeps the right to mount, and makes the families' roots.
"""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from axpo_envs.backends.python_sandbox import _kernel as kernel
from axpo_envs.backends.python_sandbox._kernel import Namespaces
from axpo_envs.backends.python_sandbox._views import Root
from axpo_envs.backends.python_sandbox.protocol import FAMILY

_MOST_MESSAGE: Final = 16
_ROOT: Final = b"r"
_FAILED: Final = b"f"
_END_S: Final = 5.0
_OWN: Final = (
    Namespaces.USER
    | Namespaces.MOUNT
    | Namespaces.PID
    | Namespaces.NETWORK
    | Namespaces.IPC
    | Namespaces.HOST_NAME
    | Namespaces.CGROUP
)
"""The kinds of namespaces that a family has of its own."""


class Nursery:
    """Forks families and makes their roots until the host is gone.

    Args:
        control: where the host asks for families.
        host: a pidfd of the host.
        become_family: what a family's process does, given its connection to the host and that to the nursery.
        make_root: makes a root, where families have them; see `views.make_root`.
    """

    def __init__(
        self,
        control: socket.socket,
        host: int,
        become_family: Callable[[socket.socket, socket.socket], NoReturn],
        make_root: Callable[[], int] | None,
    ) -> None:
        self._control = control
        self._host = host
        self._become_family = become_family
        self._make_root = make_root
        self._selector = selectors.DefaultSelector()
        self._handles: set[int] = set()
        self._connections: set[socket.socket] = set()
        self._running = True

    def serve(self) -> None:
        """Serves until the host is gone; all families end with this process."""
        self._selector.register(self._control, selectors.EVENT_READ, self._start_family)
        self._selector.register(self._host, selectors.EVENT_READ, self._stop)
        while self._running:
            for key, _ in self._selector.select():
                key.data()
        self._wait_for_families()

    def _wait_for_families(self) -> None:
        """Gives families time to end by themselves, which takes all with it that their cells have started."""
        for connection in self._connections:
            connection.close()
        deadline = time.monotonic() + _END_S
        for handle in self._handles:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            poll.poll(max(0, 1000 * (deadline - time.monotonic())))

    def _stop(self) -> None:
        self._running = False

    def _start_family(self) -> None:
        """Forks a family on the host's demand, and tells the host its pidfd."""
        message, descriptors, _, _ = socket.recv_fds(self._control, _MOST_MESSAGE, 1)
        if message != FAMILY or not descriptors:
            self._stop()
            return
        roots, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with socket.socket(fileno=descriptors[0]) as control, theirs:
            try:
                process = os.fork() if self._make_root is None else kernel.fork_into(_OWN)
            except OSError as error:
                roots.close()
                self._control.send(_FAILED + f"{error.strerror}".encode())
                return
            if not process:
                try:
                    self._leave(roots)
                    self._become_family(control, theirs)
                finally:
                    os._exit(1)
        handle = os.pidfd_open(process)
        self._handles.add(handle)
        self._connections.add(roots)
        self._selector.register(handle, selectors.EVENT_READ, lambda: self._bury(handle, process))
        roots.setblocking(False)
        self._selector.register(roots, selectors.EVENT_READ, lambda: self._give_root(roots))
        socket.send_fds(self._control, [FAMILY], [handle])

    def _leave(self, roots: socket.socket) -> None:
        """In a new family: lets go of what is the nursery's, the connections of other families above all."""
        for key in tuple(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()
        roots.close()

    def _bury(self, handle: int, process: int) -> None:
        self._selector.unregister(handle)
        self._handles.discard(handle)
        os.close(handle)
        with suppress(ChildProcessError):
            os.waitpid(process, 0)

    def _give_root(self, roots: socket.socket) -> None:
        try:
            wanted = roots.recv(_MOST_MESSAGE) == _ROOT and self._make_root is not None
        except OSError:
            wanted = False
        if not wanted or self._make_root is None:
            self._selector.unregister(roots)
            self._connections.discard(roots)
            roots.close()
            return
        try:
            root = self._make_root()
        except OSError:
            with suppress(OSError):
                roots.send(_FAILED)
            return
        try:
            # One that does not read its roots has had enough of them.
            with suppress(OSError):
                socket.send_fds(roots, [_ROOT], [root], socket.MSG_DONTWAIT)
        finally:
            os.close(root)


class Roots:
    """A family's roots, which the nursery makes. One is always asked for in advance.

    Args:
        connection: the connection to the nursery.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._taking = asyncio.Lock()
        connection.send(_ROOT)

    def take_first(self) -> Root:
        """A root with an empty scratch folder; this process waits for it."""
        self._connection.settimeout(10.0)
        root = self._receive()
        self._connection.setblocking(False)
        return root

    async def take(self, deadline: float) -> Root:
        """A root with an empty scratch folder.

        Args:
            deadline: when to give up, by the monotonic clock.

        Raises:
            TimeoutError: the deadline has passed.
            OSError: none can be made.
        """
        async with asyncio.timeout_at(deadline), self._taking:
            loop = asyncio.get_running_loop()
            readable: asyncio.Future[None] = loop.create_future()

            def arrive() -> None:
                if not readable.done():
                    readable.set_result(None)

            loop.add_reader(self._connection, arrive)
            try:
                await readable
            finally:
                loop.remove_reader(self._connection)
            return self._receive()

    def _receive(self) -> Root:
        message, descriptors, _, _ = socket.recv_fds(self._connection, _MOST_MESSAGE, 1)
        self._connection.send(_ROOT)
        if message != _ROOT or not descriptors:
            raise OSError("no root could be made for an interpreter")
        return Root(descriptors[0])
