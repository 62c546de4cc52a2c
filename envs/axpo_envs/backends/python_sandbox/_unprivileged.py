"""Defines what is done first where the host runs as root: it goes on as a user to whom nothing on the machine belongs.

Nothing of the sandbox ever runs as the host's root, not even behind a user namespace's other name for it.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from axpo_envs.backends.python_sandbox import _kernel as kernel
from axpo_envs.backends.python_sandbox import _views as views
from axpo_envs.backends.python_sandbox._kernel import MountFlags, Namespaces

_FIRST: Final = 0x5A00_0000
"""Above the ids that distributions give to users, services and containers; with the id of a process added, it is no
other sandbox's either."""
_NOBODY: Final = 65534


def main() -> None:
    """Makes paths readable for others, leaves root, and executes a command; see `LEAVE_ROOT`."""
    arena, paths, command = Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:]
    try:
        _make_reachable([*map(Path, paths), arena])
        _become_nobody(arena)
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"axpo runs as root, and its sandbox cannot go on as another user: {error}")


def _make_reachable(paths: Iterable[Path]) -> None:
    """In a mount namespace of its own: covers folders that others may not enter, and shows the paths in them again."""
    ways = views.find_ways(path for path in paths if path.exists())
    closed: dict[Path, list[Path]] = {}
    for place in ways.places:
        barrier = _first_closed(place)
        if barrier is not None:
            closed.setdefault(barrier, []).append(place)
    if not closed:
        return
    kernel.unshare(Namespaces.MOUNT)
    kernel.mount("none", "/", flags=MountFlags.RECURSIVE | MountFlags.PRIVATE)
    for barrier, places in closed.items():
        handles = {place: os.open(place, os.O_PATH | os.O_CLOEXEC) for place in places}
        kernel.mount("tmpfs", str(barrier), "tmpfs", MountFlags.NOSUID | MountFlags.NODEV, "mode=755,size=1m")
        for place, handle in handles.items():
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                place.mkdir(parents=True)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
            source = f"/proc/self/fd/{handle}"
            kernel.mount(source, str(place), flags=MountFlags.BIND | MountFlags.RECURSIVE)
            os.close(handle)
        for link, goal in ways.links.items():
            if link.is_relative_to(barrier):
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(goal)


def _first_closed(place: Path) -> Path | None:
    """The folder on the way to a place that only its owner may enter, if there is one."""
    for folder in reversed(place.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def _become_nobody(arena: Path) -> None:
    for user in (_FIRST + os.getpid(), _NOBODY):
        try:
            os.chown(arena, user, user)
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        except OSError as error:
            # Where ids are mapped, only some exist.
            refusal = error
        else:
            return
    raise refusal
