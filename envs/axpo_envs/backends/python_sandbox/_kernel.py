"""Defines functions for the Linux system calls that Python's standard library does not offer; they raise OSError."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable, Iterable
from enum import IntFlag
from functools import cache
from typing import Final

from axpo_envs.backends.python_sandbox import syscalls

CAP_SYS_CHROOT: Final = 18
CAP_SYS_ADMIN: Final = 21

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION: Final = 0x20080522
_AT_FDCWD: Final = -100
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08


class Namespaces(IntFlag):
    """The kinds of namespace that `unshare` takes."""

    MOUNT = 0x00020000
    """What is mounted where."""
    CGROUP = 0x02000000
    """Names of control groups."""
    HOST_NAME = 0x04000000
    """The host's name."""
    IPC = 0x08000000
    """System V objects and message queues."""
    USER = 0x10000000
    """User ids and capabilities."""
    PID = 0x20000000
    """Process ids, from the next child on."""
    NETWORK = 0x40000000
    """Network devices, addresses, ports."""


class MountFlags(IntFlag):
    """Flags of `mount`."""

    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    NOATIME = 0x400
    BIND = 0x1000
    RECURSIVE = 0x4000
    PRIVATE = 0x40000


class MountAttributes(IntFlag):
    """Attributes that `restrict_mount` adds."""

    READ_ONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8


class UnknownMachineError(OSError):
    """The numbers of this machine's system calls are not known here."""


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Makes a system call by its name.

    Raises:
        OSError: it failed, or this machine has no such call.
    """
    number = syscalls.number(name)
    if number is None:
        raise UnknownMachineError(f"{os.uname().machine} has no system call {name} that is known here")
    given = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    returned = int(_libc().syscall(ctypes.c_long(number), *given))
    if returned < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return returned


def unshare(kinds: Namespaces) -> None:
    """Moves this process into new namespaces."""
    call("unshare", int(kinds))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mounts something; `kind` is empty for bind mounts and changes of propagation."""
    call(
        "mount",
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() or None,
        int(flags),
        options.encode() or None,
    )


def restrict_mount(path: str, attributes: MountAttributes, *, recursive: bool = True) -> None:
    """Adds restrictions to what is mounted at a path (Linux 5.12 or newer); those it has stay."""
    settings = ctypes.create_string_buffer(int(attributes).to_bytes(8, "little") + bytes(24), 32)
    call("mount_setattr", _AT_FDCWD, os.fsencode(path), _AT_RECURSIVE if recursive else 0, settings, 32)


def unmount(path: str) -> None:
    """Detaches what is mounted at a path with all beneath it; it goes when its last user does."""
    mnt_detach = 2
    call("umount2", os.fsencode(path), mnt_detach)


def copy_tree(path: str) -> int:
    """Copies the mount at a path with all beneath it; returns a file descriptor of the copy (Linux 5.2 or newer).

    The copy has no place in any tree: from its top, `..` leads nowhere. It goes when the descriptor is closed and
    no process uses it any more.
    """
    return call("open_tree", _AT_FDCWD, os.fsencode(path), _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC)


def change_root(new: str) -> None:
    """Makes a mount the root of this process's mount namespace and detaches the old root (pivot_root(2))."""
    os.chdir(new)
    call("pivot_root", b".", b".")
    unmount(".")
    os.chdir("/")


def open_beneath(folder: int, path: str, flags: int) -> int:
    """Opens a file below a folder, following no link and leaving it by no path (Linux 5.6 or newer)."""
    resolve = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    how = b"".join(field.to_bytes(8, "little") for field in (flags | os.O_CLOEXEC, 0, resolve))
    return call("openat2", folder, os.fsencode(path), ctypes.create_string_buffer(how, len(how)), len(how))


def forgo_gains() -> None:
    """Gives up the means to gain privileges by executing a program."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def forgo_privileges(keep: Iterable[int] = ()) -> None:
    """Gives up all capabilities but those to keep, and the means to gain any by executing a program."""
    kept = sum(1 << capability for capability in keep)
    forgo_gains()
    for capability in range(64):
        # The bounding set can only be reduced by those who may; without it there is nothing to be gained anyway.
        if not kept >> capability & 1:
            _libc().prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)
    _libc().prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)
    header = _CAPABILITY_VERSION.to_bytes(4, "little") + bytes(4)
    low, high = ((kept >> shift & 0xFFFFFFFF).to_bytes(4, "little") for shift in (0, 32))
    sets = low + low + bytes(4) + high + high + bytes(4)
    call("capset", ctypes.create_string_buffer(header, 8), ctypes.create_string_buffer(sets, 24))


def adopt_orphans() -> None:
    """Makes this process the parent of its descendants whose parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Has this process killed when the thread that is its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def set_undumpable() -> None:
    """Keeps other processes of the same user from looking into this one."""
    _prctl(_PR_SET_DUMPABLE, 0)


def fork_into(kinds: Namespaces) -> int:
    """Forks this process, the child in new namespaces of these kinds and the first process of a new one of processes.

    Returns:
        The child's id in the parent, 0 in the child.
    """
    number = syscalls.number("clone")
    assert number is not None
    flags = ctypes.c_long(int(kinds) | int(signal.SIGCHLD))
    null = ctypes.c_long(0)
    return _fork(lambda: int(_locked_libc().syscall(ctypes.c_long(number), flags, null, null, null, null)))


def fork_without_threads() -> int:
    """Forks this process where other threads run; the child has none of them, and its interpreter knows.

    It is `os.fork` without its warning of just that.
    """
    return _fork(lambda: int(_locked_libc().fork()))


def _fork(make: Callable[[], int]) -> int:
    ctypes.pythonapi.PyOS_BeforeFork()
    child = make()
    error = ctypes.get_errno()
    (ctypes.pythonapi.PyOS_AfterFork_Parent if child else ctypes.pythonapi.PyOS_AfterFork_Child)()
    if child < 0:
        raise OSError(error, f"fork: {os.strerror(error)}")
    return child


def _prctl(option: int, argument: int) -> None:
    if _libc().prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}, {argument}): {os.strerror(error)}")


@cache
def _libc() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


@cache
def _locked_libc() -> ctypes.PyDLL:
    """The same library; its functions are called with the interpreter's lock held."""
    library = ctypes.PyDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library
