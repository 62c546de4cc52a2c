"""Defines the registers of a process that is about to make a system call, per machine architecture."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Final

from axpo_envs.backends.python_sandbox import syscalls

_RESTARTS: Final = range(512, 517)
"""Negated: what an interrupted system call returns inside the kernel, which no process ever sees."""
_BELOW_STACK: Final = 1024
"""Beneath a stack's end, behind what the ABI lets functions use there, nothing is kept."""
_WRAP: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Machine:
    """Where an architecture keeps what a system call is made of."""

    words: int
    """Registers of 64 bits."""
    number: int
    """Which of them holds the number of the call."""
    arguments: tuple[int, ...]
    """Those of its arguments."""
    result: int
    """That of its result."""
    counter: int
    """That of the next instruction's address."""
    stack: int
    """That of the stack's end."""
    interrupted: int | None
    """That of the number of a call that was interrupted and whose result says so; None where it is undone already."""
    instruction: bytes
    """The instruction that makes a system call."""


MACHINES: Final = {
    "x86_64": Machine(27, 10, (14, 13, 12, 7, 9, 8), 10, 16, 19, 15, b"\x0f\x05"),
    "aarch64": Machine(34, 8, (0, 1, 2, 3, 4, 5), 0, 32, 31, None, b"\x01\x00\x00\xd4"),
}
"""Those known here, by the name that the machine gives itself."""


def machine() -> Machine:
    """That of this machine."""
    return MACHINES[platform.machine()]


def result_of(registers: bytes) -> int:
    """What a system call has returned: negative for an error number."""
    word = _words(registers)[machine().result]
    return word - _WRAP if word >> 63 else word


@dataclass(frozen=True, slots=True)
class Rest:
    """The registers of a process that is about to make a system call; equal ones go on alike."""

    registers: bytes
    """As the kernel tells them."""

    @classmethod
    def before_call(cls, registers: bytes) -> Rest | None:
        """Those of a process as they were before the system call in which it waits; None where it waits in none."""
        this = machine()
        words = _words(registers)
        if this.interrupted is not None:
            if -result_of(registers) not in _RESTARTS:
                return None
            words[this.number] = words[this.interrupted]
            words[this.counter] -= len(this.instruction)
            # The kernel would restart the call by itself otherwise.
            words[this.interrupted] = _WRAP - 1
        return cls(_bytes(words))

    @property
    def counter(self) -> int:
        """The address of the next instruction."""
        return _words(self.registers)[machine().counter]

    @property
    def free(self) -> int:
        """An address of the process's memory at which nothing is kept."""
        return (_words(self.registers)[machine().stack] - _BELOW_STACK) & ~7

    def makes(self, call: str, first: int, code: bytes) -> bool:
        """Whether this call with this first argument is next, given what is in memory at the counter."""
        this, words = machine(), _words(self.registers)
        made = (words[this.number], words[this.arguments[0]])
        return code.startswith(this.instruction) and made == (syscalls.number(call), first)

    def calling(self, call: str, *arguments: int) -> bytes:
        """The registers of a process that is about to make another call from the same place."""
        this, words = machine(), _words(self.registers)
        number = syscalls.number(call)
        assert number is not None
        for place, argument in zip(this.arguments, (*arguments, 0, 0, 0, 0, 0, 0), strict=False):
            words[place] = argument % _WRAP
        words[this.number] = number
        return _bytes(words)


def _words(registers: bytes) -> list[int]:
    return [int.from_bytes(registers[at : at + 8], "little") for at in range(0, len(registers), 8)]


def _bytes(words: list[int]) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words)
