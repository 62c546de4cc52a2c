"""Defines `bubblewrap`, the command that makes namespaces with the world of a sandbox in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from axpo_envs.backends.python_sandbox._views import BASE, DEVICES, STAGE, USER, find_ways
from axpo_envs.backends.python_sandbox.first_process import RefusedError


def runs_as_root() -> bool:
    """Whether this process is the machine's root; that of a user namespace may be another user outside of it."""
    if os.geteuid():
        return False
    inside, outside, _ = Path("/proc/self/uid_map").read_text().splitlines()[0].split()
    return (inside, outside) == ("0", "0")


def bubblewrap(needed: Iterable[Path]) -> list[str]:
    """The command that makes namespaces with the same world in them as `enter_world`, and starts what follows.

    Raises:
        RefusedError: the program is not installed.
    """
    # Found here, since the process is started with an environment, and so a search path, of its own.
    program = shutil.which("bwrap")
    if program is None:
        raise RefusedError("there is no program bwrap on the PATH")
    ways = find_ways(needed)
    command = [
        program,
        "--unshare-user",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-uts",
    ]
    command += ["--unshare-cgroup-try", "--uid", str(USER), "--gid", str(USER)]
    for capability in ("CAP_SYS_ADMIN", "CAP_SYS_CHROOT"):
        command += ["--cap-add", capability]
    for place in ways.places:
        command += ["--ro-bind-try", str(place), str(place)]
    for device in DEVICES:
        command += ["--dev-bind", device, device]
    for link, goal in ways.links.items():
        command += ["--symlink", str(goal), str(link)]
    return [*command, "--proc", "/proc", "--dir", str(BASE), "--dir", str(STAGE)]
