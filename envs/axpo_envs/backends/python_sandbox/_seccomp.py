"""Defines the filter on system calls of sandboxed processes, and the questions it puts to the warden.

It is compiled from the table in `policy`: most of what is there passes, a few calls wait until the warden, a process
outside the sandbox, has decided on each; what is not there is refused.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import select
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from axpo_envs.backends.python_sandbox import _kernel as kernel
from axpo_envs.backends.python_sandbox import _policy as policy
from axpo_envs.backends.python_sandbox import syscalls
from axpo_envs.backends.python_sandbox._policy import Condition, Row, Verdict

_LOAD: Final = 0x20
_AND: Final = 0x54
_JUMP_EQUAL: Final = 0x15
_JUMP_GREATER: Final = 0x25
_RETURN: Final = 0x06
_PRETEND: Final = 0x00050000
_VERDICTS: Final = {
    Verdict.ALLOW: 0x7FFF0000,
    Verdict.ASK: 0x7FC00000,
    Verdict.PRETEND: _PRETEND,
    Verdict.REFUSE: _PRETEND | errno.EPERM,
    Verdict.MISSING: _PRETEND | errno.ENOSYS,
}
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16
_SET_FILTER: Final = 1
_NEW_LISTENER: Final = 8
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_ADD_DESCRIPTOR: Final = 0x40182103
_AT_NUMBER: Final = 1
_CONTINUE: Final = 1
_QUESTION_SIZE: Final = 80
_CLOSE_ON_EXEC: Final = 0o2000000

ARRIVE: Final = "chroot"
"""The call that a new branch makes, on the warden's behalf, to be given its descriptors: with 0 as its argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A system call that waits for the warden's decision."""

    id: int
    """Names it in the answer."""
    process: int
    """Id of the thread that makes it."""
    call: str
    """Its name."""
    arguments: tuple[int, ...]
    """Its six arguments; pointers lead into the memory of the process and are not to be believed."""


def rows(*, rooted: bool) -> tuple[Row, ...]:
    """The table in force: `rooted` where the code has a root of its own, else Landlock confines it."""
    return (*policy.COMMON, *(policy.ROOTED if rooted else policy.CONFINED))


def install_filter(
    table: Sequence[Row], otherwise: Verdict = Verdict.REFUSE, *, listen: bool = True, known: bool = False
) -> int:
    """Puts this process and its children under a filter for good.

    Args:
        table: what happens to which calls.
        otherwise: what happens to those that are not in it.
        listen: calls wait for the warden's decision; it can be so of one filter only.
        known: calls newer than those known here are missing, whatever happens to those that are not in the table.

    Returns:
        The file descriptor from which `receive` reads, if it listens. Whoever holds it decides: close it here once it
        is passed on.

    Raises:
        OSError: the kernel refuses (`forgo_privileges` comes first), or this machine is not known.
    """
    program = compile_filter(table, otherwise, known=known)
    instructions = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(
        (len(program) // 8).to_bytes(8, "little") + ctypes.addressof(instructions).to_bytes(8, "little"), 16
    )
    return kernel.call("seccomp", _SET_FILTER, _NEW_LISTENER if listen else 0, header)


def waiting(listener: int) -> bool:
    """Whether `receive` has something to read."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(0))


def receive(listener: int) -> Question | None:
    """The next question; None where the asking process died meanwhile. It waits where there is none."""
    buffer = bytearray(_QUESTION_SIZE)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
            return None
        raise
    word = [int.from_bytes(buffer[at : at + 8], "little") for at in range(32, _QUESTION_SIZE, 8)]
    return Question(
        id=int.from_bytes(buffer[:8], "little"),
        process=int.from_bytes(buffer[8:12], "little"),
        call=_NAMES.get(int.from_bytes(buffer[16:20], "little"), ""),
        arguments=tuple(word),
    )


def give_descriptor(listener: int, question: Question, descriptor: int, number: int) -> None:
    """Opens a file descriptor of this process in the asking one, under a number; what was open there is closed."""
    fields = (
        question.id.to_bytes(8, "little"),
        *(field.to_bytes(4, "little") for field in (_AT_NUMBER, descriptor, number, _CLOSE_ON_EXEC)),
    )
    fcntl.ioctl(listener, _ADD_DESCRIPTOR, bytearray(b"".join(fields)))


def answer(listener: int, question: Question, refusal: int = 0, *, pretend: bool = False) -> None:
    """Lets a call happen, has it fail with an error number, or has it return 0 without having happened."""
    fields = (
        question.id.to_bytes(8, "little"),
        bytes(8),
        (-refusal).to_bytes(4, "little", signed=True),
        (0 if refusal or pretend else _CONTINUE).to_bytes(4, "little"),
    )
    try:
        fcntl.ioctl(listener, _SEND, bytearray(b"".join(fields)))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def compile_filter(table: Sequence[Row], otherwise: Verdict, *, known: bool = False) -> bytes:
    """The table as a program of the kernel's classic BPF machine, 8 bytes an instruction.

    Raises:
        UnknownMachineError: the numbers of this machine's calls are not known.
    """
    this = syscalls.architecture()
    if this is None:
        raise kernel.UnknownMachineError("this machine's architecture is not known here")
    missing = _VERDICTS[Verdict.MISSING]
    lines = [
        _line(_LOAD, _ARCHITECTURE_AT),
        _line(_JUMP_EQUAL, this.audit, when=1),
        _line(_RETURN, missing),
        _line(_LOAD, _NUMBER_AT),
    ]
    if known or otherwise is Verdict.REFUSE:
        lines += [_line(_JUMP_GREATER, syscalls.NEWEST, otherwise=1), _line(_RETURN, missing)]
    named = sorted(((name, row) for row in table for name in row.calls), key=lambda pair: pair[0])
    for name, pairs in groupby(named, key=lambda pair: pair[0]):
        number = syscalls.number(name)
        if number is not None:
            body = list(_judge([row for _, row in pairs], otherwise))
            lines += [_line(_JUMP_EQUAL, number, otherwise=len(body)), *body]
    return b"".join([*lines, _line(_RETURN, _VERDICTS[otherwise])])


def _judge(alternatives: Iterable[Row], otherwise: Verdict) -> Iterator[bytes]:
    """The rows of one call, the last of which gives way to the verdict on calls that have none."""
    for row in alternatives:
        checks = [_check(condition) for condition in row.where]
        left = sum(map(len, checks)) + 1
        for check in checks:
            for code, operand, when, fails in check:
                left -= 1
                # Where the condition fails, what is left of the row is skipped.
                yield _line(code, operand, when, left if fails is None else fails)
        yield _line(_RETURN, _VERDICTS[row.verdict])
        if not row.where:
            return
    yield _line(_RETURN, _VERDICTS[otherwise])


_Instruction = tuple[int, int, int, int | None]
"""Code, operand, and how many are skipped where a comparison holds and where not: None for all of the row."""


def _check(condition: Condition) -> list[_Instruction]:
    at = _ARGUMENTS_AT + 8 * condition.argument
    lines: list[_Instruction] = []
    if condition.wide:
        lines += [(_LOAD, at + 4, 0, 0), (_JUMP_EQUAL, 0, 0, None)]
    lines += [(_LOAD, at, 0, 0), (_AND, condition.mask, 0, 0)]
    *others, last = condition.values
    lines += [(_JUMP_EQUAL, value, len(condition.values) - 1 - index, 0) for index, value in enumerate(others)]
    return [*lines, (_JUMP_EQUAL, last, 0, None)]


def _line(code: int, operand: int, when: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; `when` and `otherwise` are how many a jump skips."""
    return code.to_bytes(2, "little") + bytes((when, otherwise)) + operand.to_bytes(4, "little")


_NAMES: Final = {
    number: name
    for row in policy.COMMON
    for name in row.calls
    if row.verdict is Verdict.ASK and (number := syscalls.number(name)) is not None
}
