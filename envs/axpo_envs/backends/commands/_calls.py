"""Defines which system calls commands may not make: those that reach out of a sandbox, or deep into the kernel.

Programs need more calls than a Python interpreter does, so that this table forbids, and what is not in it is allowed.
Calls newer than those known here are missing.
"""

from __future__ import annotations

import socket
from typing import Final

from axpo_envs.backends.python_sandbox._policy import Condition, Row, Verdict

_NEW_NAMESPACES: Final = 0x7E020080
"""The flags of clone(2) that make namespaces."""
_FAMILIES: Final = tuple(map(int, (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)))

FORBIDDEN: Final = (
    Row(
        calls=("clone",),
        why="processes and threads; in a namespace of their own they would have privileges to try",
        where=(Condition(argument=0, values=(0,), mask=_NEW_NAMESPACES),),
    ),
    Row(calls=("clone",), why="the same", verdict=Verdict.REFUSE),
    Row(calls=("clone3",), why="its flags are in memory and cannot be judged", verdict=Verdict.MISSING),
    Row(calls=("unshare", "setns"), why="namespaces", verdict=Verdict.REFUSE),
    Row(
        calls=("socket",),
        why="what the namespace of networks confines; there is nothing in it",
        where=(Condition(argument=0, values=_FAMILIES),),
    ),
    Row(calls=("socket",), why="families that it does not confine (vsock), and those of the kernel's insides",
        verdict=Verdict.REFUSE),
    Row(
        calls=("mount", "umount2", "pivot_root", "chroot", "fsopen", "open_tree", "mount_setattr", "open_by_handle_at"),
        why="what is mounted where",
        verdict=Verdict.REFUSE,
    ),
    Row(
        calls=("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open"),
        why="the guest, which has the same user",
        verdict=Verdict.REFUSE,
    ),
    Row(calls=("add_key", "keyctl", "request_key"), why="keys, which no namespace confines", verdict=Verdict.REFUSE),
    Row(
        calls=("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "kexec_load", "fanotify_init", "vmsplice"),
        why="the insides of the kernel, of which no command needs anything",
        verdict=Verdict.REFUSE,
    ),
)  # fmt: skip
"""The rows."""
