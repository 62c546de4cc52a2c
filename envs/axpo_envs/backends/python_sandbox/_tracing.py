"""Defines how the warden holds a process still by ptrace(2), and has it make system calls while it is held.

A traced process that is stopped runs again only when its tracer says so: no signal but the one that kills moves it.
What it would execute next is set by the tracer, so that a held process can be made to fork, and its child to take its
root, without executing an instruction of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import itertools
import os
import platform
import signal
import time
from collections.abc import Callable
from functools import cache
from typing import Final

from axpo_envs.backends.python_sandbox import syscalls
from axpo_envs.backends.python_sandbox._registers import MACHINES, Rest, machine, result_of

_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_CONTINUE: Final = 7
_DETACH: Final = 17
_TO_NEXT_CALL: Final = 24
_PEEK: Final = 1
_POKE: Final = 4
_EVENT_MESSAGE: Final = 0x4201
_GET_REGISTERS: Final = 0x4204
_SET_REGISTERS: Final = 0x4205
_SET_SIGNAL_MASK: Final = 0x420B
_GENERAL: Final = 1
_OPTIONS: Final = 0x00100000 | 0x01 | 0x02
"""It is killed when its tracer ends; stops at system calls are told from signals; its children are traced, too."""
_TRAP: Final = int(signal.SIGTRAP)
_AT_CALL: Final = _TRAP | 0x80
_AT_FORK: Final = _TRAP | 1 << 8
_HELD: Final = 128
"""What the upper byte of a stop is that `_INTERRUPT` or the attachment of a child has caused."""
_ALL_SIGNALS: Final = 2**64 - 1 - (1 << 31 | 1 << 32)
"""A mask that blocks all but the two that the C library keeps to itself."""
_PATIENCE_S: Final = 5.0
"""For steps that take the kernel microseconds: a machine that needs longer is given up."""
_SPIN_S: Final = 0.0001
"""How long a stop is looked for before other work is done: most come at once where a processor is free."""
_LOOK_EVERY_S: Final = 0.1
_awaited: Final[set[asyncio.Future[None]]] = set()


class HoldError(Exception):
    """A process does not come to a stop as it should, or does other things than it is told."""


class CallFailedError(HoldError):
    """The kernel refused a system call that a process was made to make; it is as it was before."""


class NoForkError(Exception):
    """The kernel would not fork a process: the machine is out of memory or processes."""


def available() -> str:
    """Why processes cannot be held here; empty where they can."""
    if platform.machine() not in MACHINES:
        return f"the registers of {platform.machine()} are not known here"
    child = os.fork()
    if not child:
        while True:
            signal.pause()
    try:
        _ptrace(_SEIZE, child, 0, _OPTIONS)
    except OSError as error:
        return f"this kernel lets no process be traced ({error.strerror}; see kernel.yama.ptrace_scope)"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return ""


async def hold(process: int, call: str, first: int, deadline: float) -> Rest:
    """Holds a running process as soon as it waits in a system call with this first argument.

    Args:
        process: its id; a child of this process, not traced.
        call: the name of the call.
        first: its first argument.
        deadline: when to give up, by the monotonic clock.

    Raises:
        HoldError: it ended, or did not come to wait there.
    """
    try:
        _ptrace(_SEIZE, process, 0, _OPTIONS)
        for attempt in itertools.count():
            _ptrace(_INTERRUPT, process, 0, 0)
            stop = await _next_stop(process, deadline)
            while stop >> 8 != _HELD:
                # Blocked signals are not delivered; it is not for the process to say which are.
                _ptrace(_CONTINUE, process, 0, 0)
                stop = await _next_stop(process, deadline)
            rest = Rest.before_call(_registers(process))
            if rest is not None and rest.makes(call, first, _peek(process, rest.counter)):
                mask = ctypes.create_string_buffer(_ALL_SIGNALS.to_bytes(8, "little"), 8)
                _ptrace(_SET_SIGNAL_MASK, process, 8, ctypes.addressof(mask))
                _set_registers(process, rest.registers)
                return rest
            if time.monotonic() > deadline:
                raise HoldError("it did not come to rest in time")
            _ptrace(_CONTINUE, process, 0, 0)
            await asyncio.sleep(0 if attempt < 3 else 0.001)
    except OSError as error:
        raise HoldError(f"it cannot be held ({error.strerror})") from error
    raise AssertionError("a loop without an end ended")


async def fork(process: int, rest: Rest, pump: Callable[[], None]) -> int:
    """Has a held process fork; the child is held, too, and is this process's child.

    Args:
        process: its id.
        rest: its registers, which it and its child have afterwards.
        pump: answers what the kernel asks meanwhile.

    Returns:
        The child's id.

    Raises:
        HoldError: it did not.
        NoForkError: the kernel refused.
    """
    clone_parent = 0x8000
    deadline = time.monotonic() + _PATIENCE_S
    try:
        _set_registers(process, rest.calling("clone", clone_parent | int(signal.SIGCHLD)))
        await _expect(process, _AT_CALL, deadline, pump)
        stop = await _step(process, deadline, pump)
        if stop != _AT_FORK:
            raise _complaint(process)
        child = ctypes.c_ulong()
        _ptrace(_EVENT_MESSAGE, process, 0, ctypes.addressof(child))
        await _expect(process, _AT_CALL, deadline, pump)
        _set_registers(process, rest.registers)
        if await _next_stop(child.value, deadline) >> 8 != _HELD:
            raise HoldError("its child ran away")
        _set_registers(child.value, rest.registers)
    except OSError as error:
        raise HoldError(f"it cannot be forked ({error.strerror})") from error
    return child.value


async def call(process: int, rest: Rest, pump: Callable[[], None], name: str, *arguments: int) -> None:
    """Has a held process make a system call and be as it was before.

    Raises:
        CallFailedError: the call failed.
        HoldError: it was not made.
    """
    deadline = time.monotonic() + _PATIENCE_S
    try:
        _set_registers(process, rest.calling(name, *arguments))
        await _expect(process, _AT_CALL, deadline, pump)
        await _expect(process, _AT_CALL, deadline, pump)
        result = result_of(_registers(process))
        _set_registers(process, rest.registers)
    except OSError as error:
        raise HoldError(f"it cannot be made to call {name} ({error.strerror})") from error
    if result < 0:
        raise CallFailedError(f"{name} failed ({os.strerror(-result)})")


def put(process: int, address: int, data: bytes) -> None:
    """Writes 8 bytes into a held process's memory.

    Raises:
        HoldError: nothing is there.
    """
    try:
        _ptrace(_POKE, process, address, int.from_bytes(data.ljust(8, b"\0"), "little", signed=True))
    except OSError as error:
        raise HoldError(f"its stack cannot be written ({error.strerror})") from error


def release(process: int) -> None:
    """Lets a held process run, untraced."""
    try:
        _ptrace(_DETACH, process, 0, 0)
    except OSError as error:
        raise HoldError(f"it cannot be released ({error.strerror})") from error


async def _expect(process: int, stop: int, deadline: float, pump: Callable[[], None]) -> None:
    found = await _step(process, deadline, pump)
    if found != stop:
        raise HoldError(f"it stopped for another reason ({found:#x})")


async def _step(process: int, deadline: float, pump: Callable[[], None]) -> int:
    """Lets it go to its next stop; returns why it stopped."""
    _ptrace(_TO_NEXT_CALL, process, 0, 0)
    return await _next_stop(process, deadline, pump)


async def _next_stop(process: int, deadline: float, pump: Callable[[], None] = lambda: None) -> int:
    """Waits until it stops; the loop must have `wake` called when a child's state changes, and answer the kernel."""
    loop = asyncio.get_running_loop()
    spinning = loop.time() + _SPIN_S
    while True:
        try:
            found = os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOHANG)
        except ChildProcessError:
            raise HoldError("it ended") from None
        if found is not None:
            return found.si_status
        now = loop.time()
        if now > deadline:
            raise HoldError("it did not stop in time")
        if now < spinning:
            pump()
            continue
        change: asyncio.Future[None] = loop.create_future()
        _awaited.add(change)
        try:
            await asyncio.wait({change}, timeout=min(_LOOK_EVERY_S, deadline - now))
        finally:
            _awaited.discard(change)


def wake() -> None:
    """Has everyone who waits for a process to stop look again."""
    for change in _awaited:
        if not change.done():
            change.set_result(None)


def _complaint(process: int) -> Exception:
    result = -result_of(_registers(process))
    if result in (errno.EAGAIN, errno.ENOMEM):
        return NoForkError(f"an interpreter could not be forked ({os.strerror(result)})")
    return HoldError("no child came of it")


def _registers(process: int) -> bytes:
    buffer = ctypes.create_string_buffer(8 * machine().words)
    vector = _vector(buffer)
    _ptrace(_GET_REGISTERS, process, _GENERAL, ctypes.addressof(vector))
    return buffer.raw


def _set_registers(process: int, registers: bytes) -> None:
    buffer = ctypes.create_string_buffer(registers, len(registers))
    vector = _vector(buffer)
    _ptrace(_SET_REGISTERS, process, _GENERAL, ctypes.addressof(vector))


def _vector(buffer: ctypes.Array[ctypes.c_char]) -> ctypes.Array[ctypes.c_ulong]:
    return (ctypes.c_ulong * 2)(ctypes.addressof(buffer), len(buffer))


def _peek(process: int, address: int) -> bytes:
    word = ctypes.c_ulong()
    # The system call, unlike the function of the C library, writes what it read to an address.
    number = syscalls.number("ptrace")
    assert number is not None
    arguments = map(ctypes.c_long, (number, _PEEK, process, address, ctypes.addressof(word)))
    if _libc().syscall(*arguments) < 0:
        raise HoldError("where it waits cannot be read")
    return word.value.to_bytes(8, "little")


def _ptrace(request: int, process: int, address: int, data: int) -> None:
    if _libc().ptrace(*map(ctypes.c_long, (request, process, address, data))) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = library.ptrace.restype = ctypes.c_long
    return library
