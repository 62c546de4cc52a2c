"""Defines how the warden has interpreters fork: to execute a cell, or to be rid of what a cell has started."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from axpo_envs.python_sandbox import frames
from axpo_envs.python_sandbox.interpreter import NO_FORK, READY, Passed
from axpo_envs.python_sandbox.supervision import Supervisor, TamperedError
from axpo_envs.python_sandbox.ward import Ward

_PATIENCE_S: Final = 30.0
"""For what an interpreter does in milliseconds; one that takes longer, on however busy a machine, is broken."""
_CREDENTIALS_SIZE: Final = 12


class ForkRefusedError(Exception):
    """The kernel would not fork: the machine is out of memory or processes."""


@dataclass(frozen=True, slots=True)
class _Newborn:
    """A process that an interpreter has forked."""

    process: int
    """Its id."""
    link: socket.socket
    """The connection to it."""
    link_name: str
    """What its end of the link is called in /proc."""


async def fork(parent: Ward, passed: Passed, descriptors: Sequence[int], supervisor: Supervisor) -> Ward:
    """Has an interpreter fork and be at rest again; the child waits for a cell.

    Args:
        parent: the interpreter; it runs, and is ended where that fails.
        passed: what the child is told.
        descriptors: the open file descriptors that go with it, behind that of the link.
        supervisor: gets to know the child.

    Raises:
        TamperedError: it did not do as it was told.
        ForkRefusedError: the kernel refused.
    """
    try:
        async with asyncio.timeout(_PATIENCE_S):
            newborn = await _ask(parent, passed, descriptors)
            if await asyncio.get_running_loop().sock_recv(parent.link, len(READY)) != READY:
                raise TamperedError("it did not come to rest again")
        return _take_charge(newborn, supervisor)
    except ForkRefusedError:
        await parent.end()
        raise
    except (OSError, TamperedError) as error:
        await parent.end()
        raise TamperedError(str(error) or "it did not fork in time") from error


async def replace(ward: Ward, supervisor: Supervisor) -> Ward:
    """Ends an interpreter in favour of a fork of it, which has its memory and its place, and is alone.

    Args:
        ward: the interpreter; it runs.
        supervisor: gets to know the other.

    Raises:
        TamperedError: it did not do as it was told.
        ForkRefusedError: the kernel refused.
    """
    passed = Passed(alone=True, root=False, scratch="/")
    heir = None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            with Path(os.devnull).open("wb") as nowhere:
                newborn = await _ask(ward, passed, (nowhere.fileno(),))
            ward.heir = newborn.process
            place, ward.place = ward.place, None
            # With the end of its parent the newborn becomes this process's child.
            await ward.end()
            heir = _take_charge(newborn, supervisor)
            heir.place = place
            await asyncio.get_running_loop().sock_sendall(heir.link, READY)
            await _greeting(heir.link)
        return heir
    except (OSError, TamperedError) as error:
        await (heir or ward).end()
        raise TamperedError(str(error) or "it did not come to rest in time") from error


async def _ask(parent: Ward, passed: Passed, descriptors: Sequence[int]) -> _Newborn:
    """Has an interpreter fork, and waits for the child to report."""
    ours, theirs = socket.socketpair()
    # The kernel tells who sends.
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    ours.setblocking(False)
    name = str(Path(f"/proc/self/fd/{theirs.fileno()}").readlink())
    parent.allowance.set(fork=True)
    try:
        with theirs:
            frames.send(parent.link, asdict(passed), descriptors=(theirs.fileno(), *descriptors))
        process = await _greeting(ours)
        if process == parent.process:
            raise TamperedError("it did not fork")
    except BaseException:
        ours.close()
        raise
    finally:
        parent.allowance.set()
    return _Newborn(process, ours, name)


def _take_charge(newborn: _Newborn, supervisor: Supervisor) -> Ward:
    try:
        ward = Ward(newborn.process, newborn.link, newborn.link_name)
    except OSError:
        newborn.link.close()
        with suppress(ProcessLookupError):
            os.kill(newborn.process, signal.SIGKILL)
        raise
    supervisor.admit(ward.process, ward.allowance)
    ward.ended.add_done_callback(lambda _: supervisor.dismiss(ward.process))
    return ward


async def _greeting(link: socket.socket) -> int:
    """Waits for a process to report on its link; returns its id, as the kernel tells it."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def arrive() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(link, arrive)
    try:
        await readable
    finally:
        loop.remove_reader(link)
    said, extra, _, _ = link.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS_SIZE))
    if said == NO_FORK:
        raise ForkRefusedError("the machine is out of memory or processes")
    if said != READY or not extra:
        raise TamperedError("it did not come up")
    return int.from_bytes(extra[0][2][:4], "little")
