"""Defines how the warden brings interpreters to rest and has them fork, none of which is left to their own code."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox import _tracing as tracing
from axpo_envs.backends.python_sandbox._branching import Branching, Prepared
from axpo_envs.backends.python_sandbox._interpreter import LINK, NO_FORK, READY
from axpo_envs.backends.python_sandbox._output import Output
from axpo_envs.backends.python_sandbox._registers import Rest
from axpo_envs.backends.python_sandbox._seccomp import ARRIVE
from axpo_envs.backends.python_sandbox._supervision import Supervisor, TamperedError, has_threads
from axpo_envs.backends.python_sandbox._tracing import HoldError, NoForkError
from axpo_envs.backends.python_sandbox._ward import Ward

_SPARE: Final = 3
"""File descriptors from here on are given to a branch for a moment, in place of its parent's files."""
_HERE: Final = b"."
_CREDENTIALS_SIZE: Final = 12


async def come_to_rest(ward: Ward, deadline: float) -> None:
    """Holds an interpreter as soon as it waits for its next cell; nothing that it does moves it from there.

    Raises:
        TamperedError: it does not come to wait.
    """
    try:
        ward.rest = await tracing.hold(ward.process, "read", LINK, deadline)
    except HoldError as error:
        raise TamperedError(str(error)) from error


async def fork(parent: Ward, prepared: Prepared, output: Output, supervisor: Supervisor) -> Ward:
    """Has an interpreter at rest fork. The child has its place and waits for a cell; the parent stays at rest.

    Neither executes an instruction of its own meanwhile: what is to be done before the child runs, the kernel does on
    the warden's orders.

    Args:
        parent: the interpreter.
        prepared: what the child is given.
        output: where it writes.
        supervisor: answers the kernel's questions meanwhile, and gets to know the child.

    Raises:
        TamperedError: it cannot be done.
        NoForkError: the kernel refused.
    """
    rest = parent.rest
    assert rest is not None
    async with _orders(supervisor, parent.process):
        try:
            process = await tracing.fork(parent.process, rest, supervisor.answer_waiting)
        except (HoldError, NoForkError) as error:
            await parent.end()
            if isinstance(error, HoldError):
                raise TamperedError(str(error)) from error
            raise
    ours, theirs = socket.socketpair()
    with theirs:
        names = frozenset({_name_of(theirs.fileno()), output.name})
        given = [(theirs.fileno(), LINK), (output.writing, 1), (output.writing, 2), *prepared.files]
        ward = Ward(process, ours, names)
        _take_charge(ward, supervisor)
        try:
            await _equip(process, rest, prepared, given, supervisor)
            tracing.release(process)
        except BaseException as error:
            ward.kill()
            if isinstance(error, HoldError):
                raise TamperedError(str(error)) from error
            raise
    return ward


async def _equip(
    process: int, rest: Rest, prepared: Prepared, given: list[tuple[int, int]], supervisor: Supervisor
) -> None:
    """Gives a newborn its file descriptors in place of its parent's, its root, its folder and its end."""
    spares = [one for one in (prepared.root, prepared.folder, prepared.confinement) if one is not None]
    numbers = dict(zip(spares, range(_SPARE, _SPARE + len(spares)), strict=True))
    pump = supervisor.answer_waiting
    async with _orders(supervisor, process, [*numbers.items()]):
        await tracing.call(process, rest, pump, ARRIVE, 0)
        if prepared.root is not None:
            tracing.put(process, rest.free, _HERE)
            await tracing.call(process, rest, pump, "fchdir", numbers[prepared.root])
            await tracing.call(process, rest, pump, "chroot", rest.free)
        if prepared.folder is not None:
            # One that its owner may not enter any more is left alone; the child is at the top of its root.
            with suppress(tracing.CallFailedError):
                await tracing.call(process, rest, pump, "fchdir", numbers[prepared.folder])
        if prepared.confinement is not None:
            await tracing.call(process, rest, pump, "landlock_restrict_self", numbers[prepared.confinement], 0)
        for number in numbers.values():
            await tracing.call(process, rest, pump, "close", number)
        set_parent_death_signal = 1
        await tracing.call(process, rest, pump, "prctl", set_parent_death_signal, int(signal.SIGKILL))
    async with _orders(supervisor, process, given):
        await tracing.call(process, rest, pump, ARRIVE, 0)


@asynccontextmanager
async def _orders(
    supervisor: Supervisor, process: int, given: list[tuple[int, int]] | None = None
) -> AsyncIterator[None]:
    supervisor.held[process] = given or []
    try:
        yield
    finally:
        del supervisor.held[process]


async def replace(ward: Ward, supervisor: Supervisor, deadline: float) -> Ward:
    """Ends an interpreter in favour of a fork of it, which has its memory and its place, and is alone.

    The interpreter forks itself, for only it can do so between the steps of its threads. The fork is looked at like any
    other process that has executed what it was sent.

    Args:
        ward: the interpreter; it runs.
        supervisor: gets to know the other.
        deadline: when to give up, by the monotonic clock.

    Raises:
        TamperedError: it did not do as it was told, or says that the kernel refused: a fault of the machine is not
            believed of those who gain by one.
    """
    ward.allowance.set(fork=True)
    try:
        # The kernel tells who sends.
        ward.link.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            if ward.ended.done():
                raise TamperedError("it ended")
            await asyncio.get_running_loop().sock_sendall(ward.link, frames.pack({"alone": True}))
            greeting = asyncio.ensure_future(_greeting(ward.link))
            either: set[asyncio.Future[Any]] = {greeting, ward.ended}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not greeting.done():
                greeting.cancel()
                raise TamperedError("it ended when it should fork")
            process = greeting.result()
            if process == ward.process:
                raise TamperedError("it did not fork")
            ward.heir = process
            place, ward.place = ward.place, None
            link = ward.link.dup()
            # With the end of its parent the newborn becomes this process's child.
            await ward.end()
            heir = Ward(process, link, ward.own)
            heir.place = place
            _take_charge(heir, supervisor)
            return heir
    except (OSError, TamperedError) as error:
        await ward.end()
        raise TamperedError(str(error) or "it did not come to rest in time") from error


def _take_charge(ward: Ward, supervisor: Supervisor) -> None:
    supervisor.admit(ward.process, ward.allowance)
    ward.ended.add_done_callback(lambda _: supervisor.dismiss(ward.process))


async def settle(ward: Ward, branching: Branching, supervisor: Supervisor, started: bool, deadline: float) -> Ward:
    """An interpreter that has executed a cell, at rest, rid of the threads and processes that the cell started.

    Args:
        ward: the interpreter; it runs.
        branching: says what it may reach.
        supervisor: answers the kernel's questions.
        started: the cell has started processes.
        deadline: when to give up, by the monotonic clock.

    Raises:
        TamperedError: it is not as an untampered one would be, and was ended.
    """
    # It may not start anything once it has been looked at.
    ward.allowance.set()
    if started or has_threads(ward.process):
        ward = await replace(ward, supervisor, deadline)
    try:
        await come_to_rest(ward, deadline)
        ward.view = branching.look(ward)
    except TamperedError:
        await ward.end()
        raise
    return ward


async def _greeting(link: socket.socket) -> int:
    """Waits for a process to report on its link; returns its id, as the kernel tells it."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def arrive() -> None:
        if not readable.done():
            readable.set_result(None)

    number = link.fileno()
    loop.add_reader(number, arrive)
    try:
        await readable
    finally:
        if link.fileno() == number:
            loop.remove_reader(number)
    said, extra, _, _ = link.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS_SIZE))
    if said == NO_FORK:
        raise TamperedError("its threads did not end, and it could not go on without them")
    if said != READY or not extra:
        raise TamperedError("it did not come up")
    return int.from_bytes(extra[0][2][:4], "little")


def _name_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())
