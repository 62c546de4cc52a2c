"""Defines how a process becomes a family's first interpreter: it gives up all that it must not have.

Every other interpreter is forked from it, directly or through others, and inherits what it gave up.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

from axpo_envs.backends.python_sandbox import (
    _frames as frames,
)
from axpo_envs.backends.python_sandbox import (
    _kernel as kernel,
)
from axpo_envs.backends.python_sandbox import (
    _landlock as landlock,
)
from axpo_envs.backends.python_sandbox import (
    _policy as policy,
)
from axpo_envs.backends.python_sandbox import (
    _seccomp as seccomp,
)
from axpo_envs.backends.python_sandbox._cell import Display
from axpo_envs.backends.python_sandbox._interpreter import LINK, Interpreter
from axpo_envs.backends.python_sandbox._policy import Verdict
from axpo_envs.backends.python_sandbox._views import BASE, SCRATCH, Root
from axpo_envs.backends.python_sandbox.protocol import Setup
from axpo_envs.backends.python_sandbox.report import Isolation


def become_first(link: socket.socket, setup: Setup, root: Root | None) -> NoReturn:
    """Makes this process, a child of the warden, the first interpreter.

    It sends a frame on its link: what it is restricted by, with the listener of the filter on system calls, or
    "failed".
    """
    kernel.die_with_parent()
    os.setpgid(0, 0)
    os.dup2(link.fileno(), LINK, inheritable=False)
    link.detach()
    if root is not None:
        os.fchdir(root.tree)
    connection = socket.socket(fileno=LINK)
    try:
        mechanisms, listener = _restrict(setup, root)
        frames.send(connection, {"mechanisms": mechanisms}, descriptors=(listener,))
        os.close(listener)
        if setup.isolation != Isolation.NONE:
            seccomp.install_filter(policy.CLOSING, Verdict.ALLOW, listen=False)
    except OSError as error:
        frames.send(connection, {"failed": error.strerror or str(error)})
        os._exit(1)
    connection.detach()
    os.closerange(3, LINK)
    os.closerange(LINK + 1, 1 << 20)
    for name in [name for name in sys.modules if name.split(".")[0] == "axpo_envs"]:
        del sys.modules[name]
    limits = setup.limits
    display = Display(text=limits["output_bytes"], figures=limits["figures"], pixels=limits["figure_pixels"])
    Interpreter(display, rooted=root is not None).serve()


def _restrict(setup: Setup, root: Root | None) -> tuple[list[str], int]:
    """Gives up privileges, files and system calls; returns which mechanisms see to it, and where the filter asks."""
    if setup.isolation == Isolation.NONE:
        kernel.forgo_gains()
        asked = policy.Row(calls=(seccomp.ARRIVE,), why="a branch is given its descriptors", verdict=Verdict.ASK)
        return ["resource limits"], seccomp.install_filter((asked,), Verdict.ALLOW)
    if setup.isolation == Isolation.LANDLOCK and not landlock.version():
        raise OSError("this kernel offers no Landlock")
    mechanisms = ["resource limits"]
    if root is not None:
        mechanisms.append("namespaces (user, mount, pid, network, ipc, uts, cgroup)")
    kernel.forgo_privileges(keep=() if root is None else (kernel.CAP_SYS_CHROOT,))
    mechanisms.append("no_new_privs")
    if root is not None:
        if landlock.version():
            landlock.confine(readable=(), writable=(str(BASE),))
        os.chroot(".")
        os.chdir(SCRATCH)
    if landlock.version():
        mechanisms.append(f"Landlock (version {landlock.version()})")
    mechanisms += ["seccomp", "ptrace"]
    return mechanisms, seccomp.install_filter((*seccomp.rows(rooted=root is not None), *policy.OPENING))
