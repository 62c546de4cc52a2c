"""Defines `Started`, the first process of a sandbox, and how it is spawned."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import weakref
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox._families import Families, FamilyRefusedError
from axpo_envs.backends.python_sandbox._frames import FrameError, Header
from axpo_envs.backends.python_sandbox.limits import SandboxLimits
from axpo_envs.backends.python_sandbox.protocol import Setup
from axpo_envs.errors import EnvConfigError, InfrastructureFault

_START_S: Final = 120.0
_END_S: Final = 5.0
_ENVIRONMENT: Final = {
    # Sets of strings are iterated in the same order in every process.
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "MPLBACKEND": "agg",
    # Every arena of the allocator takes 64 MB of the address space that is limited.
    "MALLOC_ARENA_MAX": "1",
    # Threads of libraries would not survive a fork.
    **dict.fromkeys(("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
}


class RefusedError(Exception):
    """An isolation cannot be had here; the message says why."""


class Started:
    """A sandbox's first process and the connections to it; it ends with this object, or with this process.

    Args:
        process: the process.
        startup: the connection on which it reports.
        control: the one for packets to the nursery.
        arena: the folder it was given.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], startup: socket.socket, control: socket.socket, arena: Path
    ) -> None:
        self._startup = startup
        self._control = control
        self._process = process
        self._families: list[Families] = []
        self._end = weakref.finalize(self, _end, process, (startup, control), arena, self._families)

    @property
    def families(self) -> Families:
        """What it has forked; there once `begin` has returned."""
        return self._families[0]

    def set_up(self, setup: Setup) -> Header:
        """Has it set up the isolation; returns what it reports.

        Raises:
            RefusedError: it cannot.
            InfrastructureFault: it does not answer, which says nothing of what it can.
        """
        try:
            frames.send(self._startup, asdict(setup))
            return self._receive()
        except TimeoutError as error:
            raise InfrastructureFault(f"the Python sandbox did not start within {_START_S:g} s") from error
        except (OSError, EOFError, FrameError) as error:
            raise RefusedError(str(error)) from None

    def wait_for_imports(self) -> tuple[str, ...]:
        """Waits for the modules to be imported; returns those that are not installed.

        Raises:
            EnvConfigError: one of them cannot be imported in the sandbox.
            InfrastructureFault: it ended.
        """
        try:
            return tuple(self._receive()["missing"])
        except RefusedError as error:
            raise EnvConfigError(f"a preloaded module cannot be imported in the Python sandbox: {error}") from None
        except (OSError, EOFError, FrameError) as error:
            raise InfrastructureFault(f"the Python sandbox ended while it started: {error}") from error

    def begin(self, limits: SandboxLimits, live: int) -> tuple[str, ...]:
        """Has it fork a first family; returns what its interpreters are restricted by.

        Raises:
            RefusedError: it cannot.
            InfrastructureFault: it ended.
        """
        try:
            self._families.append(Families(self._control, limits, live))
        except FamilyRefusedError as error:
            raise RefusedError(str(error)) from None
        except (OSError, EOFError) as error:
            raise InfrastructureFault(f"the Python sandbox ended while it started: {error}") from error
        return self.families.mechanisms

    def close(self) -> None:
        """Ends it, and all that it has started."""
        self._end()

    def abandon(self) -> None:
        """Forgets it without ending it: it belongs to the process that this one was forked from."""
        self._end.detach()
        self._process.returncode = 0
        for families in self._families:
            families.abandon()
        for connection in (self._startup, self._control):
            connection.close()

    def _receive(self) -> Header:
        self._startup.settimeout(_START_S)
        header = frames.receive(self._startup).header
        if "failed" in header:
            raise RefusedError(header["failed"])
        return header


def spawn(command: Iterable[str], arena: Path, errors: IO[bytes]) -> Started:
    """Spawns a sandbox's first process.

    Args:
        command: the program and its arguments; the numbers of the connections and of this process follow.
        arena: the folder that it is given; it is removed where there is no such program.
        errors: takes what it writes to its standard error.

    Raises:
        RefusedError: the program cannot be executed.
    """
    startup, their_startup = socket.socketpair()
    control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    host = os.pidfd_open(os.getpid())
    passed = (their_startup.fileno(), their_control.fileno(), host)
    try:
        process = subprocess.Popen(
            [*command, *map(str, passed)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=passed,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        startup.close()
        control.close()
        arena.rmdir()
        raise RefusedError(str(error)) from None
    finally:
        their_startup.close()
        their_control.close()
        os.close(host)
    return Started(process, startup, control, arena)


def _end(
    process: subprocess.Popen[bytes],
    connections: Iterable[socket.socket],
    arena: Path,
    families: Iterable[Families],
) -> None:
    for each in families:
        each.close()
    # Without connections the nursery ends by itself, and takes care of what it has started.
    for connection in connections:
        connection.close()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(arena, ignore_errors=True)
