"""Defines which system calls sandboxed code may make: a table to be reviewed row by row. What is not in it is refused.

The rows of a call are tried in order; the first whose conditions hold gives the verdict. A refused call fails with
EPERM, one newer than those known here with ENOSYS. Only registers are judged, never what they point to.

What a row must not let through: anything that reaches another process, that happens later than the call (signals of
timers, of asynchronous files, of queues), that is shared between processes (memory, locks, counters of the user or the
machine), or that changes what the supervisor sees of the caller.
"""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Verdict(Enum):
    """What becomes of a system call."""

    ALLOW = auto()
    """It happens."""
    ASK = auto()
    """It waits until the warden has decided."""
    PRETEND = auto()
    """It returns 0 without having happened."""
    REFUSE = auto()
    """It fails with EPERM."""
    MISSING = auto()
    """It fails with ENOSYS: libraries then take an older call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One argument, masked, has one of some values."""

    argument: int
    """Its number, from 0 on."""
    values: tuple[int, ...]
    """The values, of 32 bits."""
    mask: int = 0xFFFFFFFF
    """Bits that count."""
    wide: bool = False
    """The upper 32 bits must be zero; elsewhere the kernel does not read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Some system calls, what their arguments must be, what becomes of them, and why."""

    calls: tuple[str, ...]
    """Their names; those that an architecture lacks are left out there."""
    why: str
    """What speaks for it."""
    verdict: Verdict = Verdict.ALLOW
    """What becomes of them."""
    where: tuple[Condition, ...] = ()
    """Holds only where all of these do."""


def _row(calls: str, why: str, *where: Condition, verdict: Verdict = Verdict.ALLOW) -> Row:
    return Row(calls=tuple(calls.split()), why=why, verdict=verdict, where=where)


def _is(argument: int, *values: int, mask: int = 0xFFFFFFFF, wide: bool = False) -> Condition:
    return Condition(argument=argument, values=values, mask=mask, wide=wide)


_MAP_PRIVATE: Final = 0x02
_MAP_TYPE: Final = 0x0F
_MAP_COUNTED: Final = 0x2000 | 0x40000
"""MAP_LOCKED and MAP_HUGETLB: both draw on a stock that all processes share."""
_O_ASYNC: Final = 0o20000
_RLIMIT_AS: Final = 9
_FCNTL_OWN: Final = (0, 1, 2, 3, 9, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_GETOWN, F_DUPFD_CLOEXEC."""
_FCNTL_LOCKS: Final = (5, 6, 7, 36, 37, 38)
"""F_GETLK, F_SETLK, F_SETLKW and the same of open file descriptions."""
_IOCTLS: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_PRCTLS: Final = (2, 3, 15, 16, 23, 38, 39)
"""Reads the signal at a parent's end, whether one is dumpable, the bounding set and no_new_privs; sets that; names."""
_SOCKET_OPTIONS: Final = (3, 4, 7, 8, 30, 38, 39)
"""Type, error, buffer sizes, whether it listens, protocol, domain."""
_FUTEX_PRIVATE: Final = 128
_NOT_SENT: Final = 0xFFFFFFFF & ~(0x40 | 0x4000 | 0x8000)
"""All flags but MSG_DONTWAIT, MSG_NOSIGNAL and MSG_MORE."""
_NOT_RECEIVED: Final = 0xFFFFFFFF & ~(0x02 | 0x40 | 0x100)
"""All flags but MSG_PEEK, MSG_DONTWAIT and MSG_WAITALL."""
_ADVICE: Final = (0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21)
"""All but those that poison pages or let the kernel merge equal pages of different processes."""

_FILES: Final = (
    _row(
        "read write readv writev pread64 pwrite64 preadv pwritev lseek sendfile copy_file_range",
        "data of open files; the variants with flags are not here, for RWF_NOWAIT tells what others have read",
    ),
    _row("open openat openat2 creat close close_range dup dup2 dup3", "files that the root or Landlock shows"),
    _row("stat lstat fstat newfstatat statx access faccessat faccessat2 readlink readlinkat", "what files are"),
    _row("getdents getdents64 getcwd chdir fchdir umask", "folders"),
    _row("renameat2", "no whiteouts, which are devices", _is(4, 0, 1, 2)),
    _row("mkdir mkdirat rmdir rename renameat unlink unlinkat link linkat symlink symlinkat", "changes"),
    _row("ftruncate fallocate fsync fdatasync msync", "open files: their size, and that they are written"),
    _row("listxattr llistxattr flistxattr getxattr lgetxattr fgetxattr", "read by shutil.copystat; none can be set"),
    _row("sync syncfs", "would write the machine's disks; there is nothing to be written", verdict=Verdict.PRETEND),
    _row(
        "fcntl",
        "locks of files of the installation would pass messages; own files have no other users",
        _is(1, *_FCNTL_LOCKS),
        verdict=Verdict.PRETEND,
    ),
    _row("flock", "the same", verdict=Verdict.PRETEND),
    _row("fcntl", "F_SETFL without O_ASYNC, which sends signals", _is(1, 4), _is(2, 0, mask=_O_ASYNC)),
    _row("fcntl", "own descriptors; nothing that signals, leases, notifies or resizes pipes", _is(1, *_FCNTL_OWN)),
    _row("ioctl", "whether it is a terminal, bytes to read, blocking, closing on exec", _is(1, *_IOCTLS)),
)
_MEMORY: Final = (
    _row("brk munmap mremap mprotect", "own memory"),
    _row(
        "mmap",
        "private mappings: what processes share in memory, branches would share",
        _is(3, _MAP_PRIVATE, mask=_MAP_TYPE),
        _is(3, 0, mask=_MAP_COUNTED),
    ),
    _row("madvise", "advice on own memory", _is(2, *_ADVICE)),
)
_PROCESSES: Final = (
    _row("clone fork vfork", "a process or thread, as many as the limits allow", verdict=Verdict.ASK),
    _row("clone3", "its flags are in memory and cannot be judged", verdict=Verdict.MISSING),
    _row("kill tgkill", "signals to itself", verdict=Verdict.ASK),
    _row("chroot", "made by the warden in the process's place when it is a new branch", verdict=Verdict.ASK),
    _row("exit exit_group wait4 waitid", "ends"),
    _row("futex", "threads wait for threads of their own process", _is(1, _FUTEX_PRIVATE, mask=_FUTEX_PRIVATE)),
    _row(
        "futex",
        "on a page of a file it would wake other processes; who waits so looks again, until a thread has ended",
        verdict=Verdict.PRETEND,
    ),
    _row("set_robust_list set_tid_address rseq arch_prctl sched_yield getcpu", "threads"),
    _row("rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait", "own signals"),
    _row("sigaltstack pause restart_syscall", "own signals"),
    _row("getpid gettid getppid getpgrp getuid geteuid getgid getegid", "who one is"),
    _row("getresuid getresgid getgroups uname", "who one is"),
    _row("getrlimit getrusage times getitimer", "what one uses; timers cannot be set"),
    _row("getpgid getsid get_robust_list", "of oneself: of others they tell that they exist", _is(0, 0)),
    _row("sched_getaffinity sched_getparam sched_getscheduler sched_rr_get_interval", "the same", _is(0, 0)),
    _row("getpriority", "the same", _is(0, 0), _is(1, 0)),
    _row("sched_get_priority_max sched_get_priority_min", "what priorities there are"),
    _row("prlimit64", "its own limit on memory, below that which it was given", _is(0, 0), _is(1, _RLIMIT_AS)),
    _row("prlimit64", "its own limits, read", _is(0, 0), _is(2, 0, wide=True)),
    _row("prctl", "names, and reading what one is", _is(0, *_PRCTLS)),
    _row("prctl", "PR_SET_PDEATHSIG, to be killed and by no other signal", _is(0, 1), _is(1, int(signal.SIGKILL))),
    _row("prctl", "PR_SET_VMA, by which the C library names its memory", _is(0, 0x53564D41)),
)
_WAITING: Final = (
    _row("gettimeofday time nanosleep", "the time, and sleep, which ends with a call and by no signal"),
    _row(
        "clock_gettime clock_getres clock_nanosleep",
        "the same by the clocks that have names; numbers above are those of other processes' work",
        _is(0, 0, mask=0xFFFFFFF0),
    ),
    _row("poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl", "waiting for own descriptors"),
    _row("epoll_wait epoll_pwait epoll_pwait2", "waiting for own descriptors"),
    _row("getrandom", "random numbers"),
)
_CONNECTIONS: Final = (
    _row("pipe", "pipes"),
    _row("pipe2", "pipes, not of the kind that notifies", _is(1, 0, os.O_CLOEXEC, os.O_NONBLOCK, 0o2004000)),
    _row(
        "socketpair",
        "a connected pair of its own, of the kind that cannot send elsewhere",
        _is(0, int(socket.AF_UNIX)),
        _is(1, int(socket.SOCK_STREAM), mask=0xF),
    ),
    _row(
        "sendto",
        "its data, in order and to no other address; sendmsg would pass descriptors",
        _is(3, 0, mask=_NOT_SENT),
        _is(4, 0, wide=True),
    ),
    _row("recvfrom", "its data, in order", _is(3, 0, mask=_NOT_RECEIVED)),
    _row("shutdown getsockname getpeername", "its ends"),
    _row("getsockopt", "what it is", _is(1, int(socket.SOL_SOCKET)), _is(2, *_SOCKET_OPTIONS)),
)
_METADATA: Final = "chmod chown fchmod fchmodat fchown fchownat futimesat lchown utime utimensat utimes"

COMMON: Final = (*_FILES, *_MEMORY, *_PROCESSES, *_WAITING, *_CONNECTIONS)
"""The rows in force with every isolation."""
ROOTED: Final = (
    _row(_METADATA, "permissions and times of files in its own root"),
    _row("truncate", "files in its own root"),
)
"""Those added where the code sees a root of its own."""
CONFINED: Final = (
    _row(
        _METADATA,
        "Landlock does not confine them to a folder; copying a file must not fail for its times",
        verdict=Verdict.PRETEND,
    ),
    _row("landlock_restrict_self", "made by the warden in the process's place when it gets its folder"),
)
"""Those added where Landlock alone confines files."""

_TO_THE_WARDEN: Final = "sendmsg seccomp"
OPENING: Final = (_row(_TO_THE_WARDEN, "until the filter's listener is with the warden"),)
"""Those of a first filter."""
CLOSING: Final = (_row(_TO_THE_WARDEN, "no longer", verdict=Verdict.REFUSE),)
"""Those of a second one, which is added to the first and has no others."""
