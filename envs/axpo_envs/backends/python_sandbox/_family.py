"""Defines a family's process: it starts the first interpreter, gives up its own rights, and is the warden."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from axpo_envs.backends.python_sandbox import _frames as frames
from axpo_envs.backends.python_sandbox import _kernel as kernel
from axpo_envs.backends.python_sandbox import _tracing as tracing
from axpo_envs.backends.python_sandbox._branching import Branching
from axpo_envs.backends.python_sandbox._cell import MEMORY_RESERVE
from axpo_envs.backends.python_sandbox._first import become_first
from axpo_envs.backends.python_sandbox._forking import come_to_rest
from axpo_envs.backends.python_sandbox._frames import FrameError
from axpo_envs.backends.python_sandbox._interpreter import MOST_DESCRIPTORS
from axpo_envs.backends.python_sandbox._kernel import MountFlags
from axpo_envs.backends.python_sandbox._nursery import Roots
from axpo_envs.backends.python_sandbox._supervision import Supervisor, TamperedError, memory_in_use
from axpo_envs.backends.python_sandbox._views import USER, Root
from axpo_envs.backends.python_sandbox._ward import Ward
from axpo_envs.backends.python_sandbox._warden import Warden
from axpo_envs.backends.python_sandbox.limits import SandboxLimits
from axpo_envs.backends.python_sandbox.protocol import Setup
from axpo_envs.backends.python_sandbox.report import Isolation

_PATIENCE_S: Final = 60.0
_CPU_RESERVE_S: Final = 5


def become_family(
    control: socket.socket, nursery: socket.socket, setup: Setup, make_branching: Callable[[Roots | None], Branching]
) -> NoReturn:
    """Makes this process, just forked from the nursery, a family; it ends with the host's connection or the nursery.

    Args:
        control: the connection to the host, for packets; the first is a report, with "mechanisms" or "failed".
        nursery: the connection to the nursery.
        setup: what the host asks for.
        make_branching: how second futures come about, given the family's roots, if it has any.
    """
    kernel.die_with_parent()
    rooted = setup.isolation in (Isolation.NAMESPACES, Isolation.BUBBLEWRAP)
    try:
        if rooted:
            _settle_in()
        else:
            kernel.adopt_orphans()
        roots = Roots(nursery) if rooted else None
        branching = make_branching(roots)
        root = roots.take_first() if roots is not None else None
        process, link, listener, mechanisms = _start_first(setup, root)
        if setup.isolation != Isolation.NONE:
            # To look into its interpreters it must have what they have.
            kernel.forgo_privileges(keep=(kernel.CAP_SYS_CHROOT,) if rooted else ())
    except (OSError, EOFError, FrameError) as error:
        control.send(json.dumps({"failed": str(getattr(error, "strerror", None) or error)[:300]}).encode())
        os._exit(1)
    # Where no namespace ends with this process, it must end what its cells have started before it is ended.
    nursery_gone = None if rooted else nursery
    asyncio.run(_serve((control, nursery_gone), setup, branching, root, (process, link, listener), mechanisms))
    os._exit(0)


def _settle_in() -> None:
    """In new namespaces: is there who one was outside, and sees no other process but its own."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{USER} {USER} 1")
    Path("/proc/self/gid_map").write_text(f"{USER} {USER} 1")
    kernel.mount("none", "/", flags=MountFlags.RECURSIVE | MountFlags.PRIVATE)
    kernel.mount("proc", "/proc", "proc", MountFlags.NOSUID | MountFlags.NODEV | MountFlags.NOEXEC)


def _start_first(setup: Setup, root: Root | None) -> tuple[int, socket.socket, int, list[str]]:
    """Starts the first interpreter: its process, the link to it, where its filter asks, and what restricts it."""
    ours, theirs = socket.socketpair()
    process = os.fork()
    if not process:
        try:
            become_first(theirs, setup, root)
        finally:
            os._exit(1)
    theirs.close()
    ours.settimeout(_PATIENCE_S)
    frame = frames.receive(ours)
    if "failed" in frame.header:
        raise OSError(frame.header["failed"])
    return process, ours, frame.descriptors[0], frame.header["mechanisms"]


async def _serve(
    above: tuple[socket.socket, socket.socket | None],
    setup: Setup,
    branching: Branching,
    root: Root | None,
    started: tuple[int, socket.socket, int],
    mechanisms: list[str],
) -> None:
    """Limits the first interpreter and thereby all others, brings it to rest, and serves."""
    loop = asyncio.get_running_loop()
    control, nursery = above
    process, link, listener = started
    supervisor = Supervisor(listener)
    loop.add_reader(listener, supervisor.answer_waiting)
    loop.add_signal_handler(signal.SIGCHLD, tracing.wake)
    limits = SandboxLimits(**setup.limits)
    _limit(process, limits)
    first = Ward(process, link, frozenset())
    first.place = root
    supervisor.admit(first.process, first.allowance)
    try:
        await come_to_rest(first, loop.time() + _PATIENCE_S)
    except TamperedError as error:
        control.send(json.dumps({"failed": str(error)}).encode())
        return
    control.send(json.dumps({"mechanisms": mechanisms}).encode())
    warden = Warden(first, supervisor, branching, limits, live=setup.live)
    await warden.serve(control, nursery)


def _limit(first: int, limits: SandboxLimits) -> None:
    """Limits what interpreters may use; those forked from the first inherit it. The warden may open more files."""
    memory = memory_in_use(first) + (limits.memory_mb << 20) + MEMORY_RESERVE
    # Replays have more patience; what is stopped at a limit is told by the warden, long before the kernel does it.
    processor = int(4 * limits.cpu_s) + _CPU_RESERVE_S
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, processor),
        (resource.RLIMIT_FSIZE, limits.scratch_mb << 20),
        (resource.RLIMIT_NOFILE, MOST_DESCRIPTORS),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.prlimit(first, kind, (most, most))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
