"""Defines the confinement of a process to given paths by Landlock, the kernel's sandbox that needs no privileges."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from typing import Final

from axpo_envs.backends.python_sandbox import _kernel as kernel

_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_FILE_RIGHTS: Final = 1 << 1 | 1 << 2 | 1 << 14
"""Write, read and truncate: all of the rights below that a file can have, executing and device control aside."""
_READ: Final = 1 << 2 | 1 << 3
"""Read a file, list a folder."""
_LIST: Final = 1 << 3
_WRITE: Final = sum(1 << bit for bit in (1, 2, 3, 4, 5, 7, 8, 12, 13, 14))
"""Read, list, write, truncate, create and remove files, folders and symbolic links, move them."""
_FS_BITS: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""From which version on how many rights on files are known (`LANDLOCK_ACCESS_FS_*`)."""
_TCP: Final = 0b11
"""Bind and connect, from version 4 on."""
_SCOPES: Final = 0b11
"""Abstract Unix sockets and signals, from version 6 on."""


def version() -> int:
    """The version of Landlock that this kernel offers; 0 where it has none, or has it switched off."""
    try:
        return kernel.call("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def confine(*, readable: Iterable[str], listable: Iterable[str] = (), writable: Iterable[str]) -> None:
    """Confines this process and its children for good, see `make_rules`.

    Raises:
        OSError: a path does not exist, or the kernel refuses; `forgo_privileges` comes first.
    """
    rules = make_rules(readable=readable, listable=listable, writable=writable)
    try:
        kernel.call("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)


def make_rules(*, readable: Iterable[str], listable: Iterable[str] = (), writable: Iterable[str]) -> int:
    """Makes rules that confine the process that takes them: files beneath the given paths only, no program to execute.

    From version 4 on TCP is refused, from version 6 on signals to processes outside, too.

    Args:
        readable: files and folders to read.
        listable: folders to list, with all beneath them, but not to read.
        writable: folders to read and write.

    Returns:
        A file descriptor of them.

    Raises:
        OSError: a path does not exist.
    """
    offered = version()
    known = (1 << max(bits for since, bits in _FS_BITS.items() if since <= max(offered, 1))) - 1
    fields = (known, _TCP if offered >= 4 else 0, _SCOPES if offered >= 6 else 0)
    size = 8 * (1 if offered < 4 else 2 if offered < 6 else 3)
    attributes = b"".join(field.to_bytes(8, "little") for field in fields)
    rules = kernel.call("landlock_create_ruleset", ctypes.create_string_buffer(attributes, 24), size, 0)
    try:
        for paths, rights in ((readable, _READ), (listable, _LIST), (writable, _WRITE)):
            for path in paths:
                _allow(rules, path, rights & known)
    except OSError:
        os.close(rules)
        raise
    return rules


def _allow(rules: int, path: str, rights: int) -> None:
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(target).st_mode):
            rights &= _FILE_RIGHTS
        rule = rights.to_bytes(8, "little") + target.to_bytes(4, "little")
        kernel.call("landlock_add_rule", rules, _PATH_BENEATH, ctypes.create_string_buffer(rule, 12), 0)
    finally:
        os.close(target)
