"""Defines the filter on system calls of sandboxed processes, and the questions it puts to the warden.

Most calls pass, some fail, a few wait until the warden, a process outside the sandbox, has decided on each:

| call | answer |
|---|---|
| starting a process or thread, sending a signal, changing the root | the warden's |
| executing a program | not permitted |
| sockets (but a connected pair of its own), and all that makes one | not permitted |
| memory shared between processes: shared mappings, System V, message queues, memory files | not permitted |
| other processes: tracing, their memory, limits, priorities; own limits but that on memory | not permitted |
| mounts, namespaces, kernel modules, keys, BPF, io_uring, clocks, quotas, watches and leases on files | not permitted |
| calls newer than those known here, and calls for other architectures | unknown |

Whoever shares no memory, no pipe and no signal with its siblings cannot learn of them: that keeps branches apart.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import resource
import signal
from dataclasses import dataclass
from typing import Final, NamedTuple

from axpo_envs.python_sandbox import kernel, syscalls

_LOAD: Final = 0x20
_AND: Final = 0x54
_JUMP_EQUAL: Final = 0x15
_JUMP_GREATER: Final = 0x25
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_NOTIFY: Final = 0x7FC00000
_PRETEND: Final = 0x00050000
_REFUSE: Final = _PRETEND | errno.EPERM
_MISSING: Final = _PRETEND | errno.ENOSYS
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16
_SET_FILTER: Final = 1
_NEW_LISTENER: Final = 8
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_CONTINUE: Final = 1
_QUESTION_SIZE: Final = 80

_ASKED: Final = ("chroot", "clone", "fork", "kill", "tgkill", "vfork")
_UNKNOWN: Final = ("clone3",)
"""Arguments in memory cannot be judged; the C library then makes the older call."""
_FORBIDDEN: Final = (
    *("execve", "execveat"),
    *("accept", "accept4", "bind", "connect", "listen", "socket"),
    *("memfd_create", "memfd_secret", "mq_open", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd"),
    *("remap_file_pages", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget"),
    *("kcmp", "migrate_pages", "move_pages", "pidfd_getfd", "pidfd_open", "pidfd_send_signal", "process_madvise"),
    *("process_mrelease", "process_vm_readv", "process_vm_writev", "ptrace", "rt_sigqueueinfo", "rt_tgsigqueueinfo"),
    *("ioprio_set", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "setpgid"),
    *("setpriority", "setrlimit", "setsid", "tkill"),
    *("fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree", "pivot_root"),
    *("setns", "umount2", "unshare"),
    *("acct", "add_key", "adjtimex", "bpf", "clock_adjtime", "clock_settime", "delete_module", "finit_module"),
    *("init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kexec_file_load"),
    *("kexec_load", "keyctl", "lookup_dcookie", "modify_ldt", "nfsservctl", "perf_event_open", "personality"),
    *("quotactl", "quotactl_fd", "reboot", "request_key", "seccomp", "setdomainname", "sethostname", "settimeofday"),
    *("swapoff", "swapon", "syslog", "uselib", "userfaultfd", "vhangup"),
    *("fanotify_init", "inotify_init", "inotify_init1", "mknod", "mknodat", "name_to_handle_at", "open_by_handle_at"),
    *("fremovexattr", "fsetxattr", "lremovexattr", "lsetxattr", "removexattr", "setxattr"),
)
_METADATA: Final = (
    *("chmod", "chown", "fchmod", "fchmodat", "fchown", "fchownat", "futimesat", "lchown"),
    *("utime", "utimensat", "utimes"),
)
"""Changes that Landlock does not confine to a folder. Where nothing else does they are not made, yet report success:
copying a file must not fail for its times."""


class _Check(NamedTuple):
    """Compares half of an argument with a value; goes on to the next check where no verdict is given."""

    argument: int
    value: int
    equal: int | None = None
    differs: int | None = None
    mask: int = 0xFFFFFFFF
    upper_half: bool = False

    def lines(self) -> list[bytes]:
        lines = [_line(_LOAD, _ARGUMENTS_AT + 8 * self.argument + 4 * self.upper_half), _line(_AND, self.mask)]
        if self.equal is not None:
            lines += [_line(_JUMP_EQUAL, self.value, otherwise=1), _line(_RETURN, self.equal)]
        if self.differs is not None:
            lines += [_line(_JUMP_EQUAL, self.value, when=1), _line(_RETURN, self.differs)]
        return lines


_CHECKED: Final = {
    # Only private mappings: what processes share in memory, branches would share.
    "mmap": (_Check(3, 2, mask=0x0F, differs=_REFUSE),),
    # Own limits only; of those, only that on memory can be set.
    "prlimit64": (
        _Check(0, 0, differs=_REFUSE),
        _Check(1, resource.RLIMIT_AS, equal=_ALLOW),
        _Check(2, 0, differs=_REFUSE),
        _Check(2, 0, differs=_REFUSE, upper_half=True),
    ),
    # Neither PR_SET_DUMPABLE, which would shut the warden out, nor PR_SET_SECCOMP; PR_SET_PDEATHSIG only to be killed.
    "prctl": (
        _Check(0, 4, equal=_REFUSE),
        _Check(0, 22, equal=_REFUSE),
        _Check(0, 1, differs=_ALLOW),
        _Check(1, signal.SIGKILL, differs=_REFUSE),
    ),
    # F_SETOWN and F_SETOWN_EX have signals sent to any process; F_SETLEASE makes others wait; F_NOTIFY tells of them.
    "fcntl": tuple(_Check(1, command, equal=_REFUSE) for command in (8, 15, 1024, 1026)),
    # FIOSETOWN and SIOCSPGRP are F_SETOWN by other names; TIOCSTI and TIOCLINUX type into a terminal.
    "ioctl": tuple(_Check(1, request, equal=_REFUSE) for request in (0x8901, 0x8902, 0x5412, 0x541C)),
}


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


def install_filter(*, confine_metadata: bool) -> int:
    """Puts this process and its children under the filter for good.

    Args:
        confine_metadata: files outside the scratch folder are writable by their owner but for Landlock.

    Returns:
        The file descriptor from which `receive` reads. Whoever holds it decides: close it here once it is passed on.

    Raises:
        OSError: the kernel refuses (`forgo_privileges` comes first), or this machine is not known.
    """
    program = _program(confine_metadata)
    instructions = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(
        (len(program) // 8).to_bytes(8, "little") + ctypes.addressof(instructions).to_bytes(8, "little"), 16
    )
    return kernel.call("seccomp", _SET_FILTER, _NEW_LISTENER, header)


def receive(listener: int) -> Question | None:
    """The next question; None where the asking process died meanwhile."""
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


def answer(listener: int, question: Question, refusal: int = 0) -> None:
    """Lets a call happen, or has it fail with an error number."""
    fields = (
        question.id.to_bytes(8, "little"),
        bytes(8),
        (-refusal).to_bytes(4, "little", signed=True),
        (0 if refusal else _CONTINUE).to_bytes(4, "little"),
    )
    try:
        fcntl.ioctl(listener, _SEND, bytearray(b"".join(fields)))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _program(confine_metadata: bool) -> bytes:
    this = syscalls.architecture()
    if this is None:
        raise kernel.UnknownMachineError("this machine's architecture is not known here")
    lines = [
        _line(_LOAD, _ARCHITECTURE_AT),
        _line(_JUMP_EQUAL, this.audit, when=1),
        _line(_RETURN, _MISSING),
        _line(_LOAD, _NUMBER_AT),
        _line(_JUMP_GREATER, syscalls.NEWEST, otherwise=1),
        _line(_RETURN, _MISSING),
    ]
    verdicts = dict.fromkeys(_ASKED, _NOTIFY) | dict.fromkeys(_FORBIDDEN, _REFUSE) | dict.fromkeys(_UNKNOWN, _MISSING)
    if confine_metadata:
        verdicts |= {**dict.fromkeys(_METADATA, _PRETEND), "truncate": _REFUSE}
    for name, verdict in verdicts.items():
        if (number := syscalls.number(name)) is not None:
            lines += [_line(_JUMP_EQUAL, number, otherwise=1), _line(_RETURN, verdict)]
    for name, checks in _CHECKED.items():
        number = syscalls.number(name)
        assert number is not None
        body = [line for check in checks for line in check.lines()]
        lines += [_line(_JUMP_EQUAL, number, otherwise=len(body) + 1), *body, _line(_RETURN, _ALLOW)]
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def _line(code: int, operand: int, *, when: int = 0, otherwise: int = 0) -> bytes:
    """One instruction of classic BPF; `when` and `otherwise` are how many a jump skips."""
    return code.to_bytes(2, "little") + bytes((when, otherwise)) + operand.to_bytes(4, "little")


_NAMES: Final = {number: name for name in _ASKED if (number := syscalls.number(name)) is not None}
