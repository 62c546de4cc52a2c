"""Defines the folders that sandboxed code sees: read-only paths, and a scratch folder that no other interpreter has.

Every interpreter has a root of its own, with the same read-only paths in all of them and its scratch folder, a tmpfs
of limited size, at the same path. That takes the right to mount, which a user namespace gives.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from axpo_envs.backends.python_sandbox import _kernel as kernel
from axpo_envs.backends.python_sandbox._kernel import MountAttributes, MountFlags, Namespaces

USER: Final = 1000
"""Id of user and group that the code finds itself to have."""
SCRATCH: Final = "/scratch"
"""The scratch folder as sandboxed code sees it."""
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
"""The devices that it sees."""

BASE: Final = Path("/base")
"""What all roots are copies of, as the warden sees it."""
STAGE: Final = Path("/stage")
"""The folder on which the warden puts them together."""

MOST_FILES: Final = 4096
"""Files, folders and links that a scratch folder may hold, its own included."""
_ALL: Final = 1 << 20
"""More file descriptors than a process has."""
_PLAIN: Final = MountFlags.NOSUID | MountFlags.NODEV


@dataclass(frozen=True, slots=True)
class Ways:
    """Where paths really are, and how one gets there."""

    places: tuple[Path, ...]
    """The places, without symbolic links on the way; none within another."""
    links: dict[Path, Path]
    """Symbolic links on the way to them, outside of them, and what they hold."""


def find_ways(paths: Iterable[Path]) -> Ways:
    """Follows paths to where they really are."""
    links: dict[Path, Path] = {}
    places: list[Path] = []
    for real in sorted((_follow(path, links) for path in paths), key=lambda path: len(path.parts)):
        if not any(real.is_relative_to(place) for place in places):
            places.append(real)
    outside = {link: goal for link, goal in links.items() if not any(link.is_relative_to(place) for place in places)}
    return Ways(tuple(places), outside)


def leave_out(paths: Iterable[Path], hidden: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Splits paths so that some folders within them are left out.

    Returns:
        Paths beneath which nothing is hidden, and the folders that were split.
    """
    whole: list[Path] = []
    split: list[Path] = []
    remaining = list(paths)
    while remaining:
        path = remaining.pop()
        if not any(other.is_relative_to(path) for other in hidden):
            whole.append(path)
        elif path not in hidden:
            split.append(path)
            remaining += path.iterdir()
    return whole, split


def _follow(path: Path, links: dict[Path, Path]) -> Path:
    real = Path("/")
    parts = path.parts[1:]
    for index, part in enumerate(parts):
        step = real / part
        if step.is_symlink():
            links[step] = step.readlink()
            # By name, for pathlib keeps "..".
            return _follow(Path(os.path.normpath(real / links[step] / Path(*parts[index + 1 :]))), links)
        real = step
    return real


def enter_namespaces() -> None:
    """Goes on as a child in namespaces of its own, in which it may mount, and nobody else exists.

    It is the first process there: its end is that of all others. This process waits for it, and it ends with this one.
    """
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(
        Namespaces.USER
        | Namespaces.MOUNT
        | Namespaces.PID
        | Namespaces.NETWORK
        | Namespaces.IPC
        | Namespaces.HOST_NAME
        | Namespaces.CGROUP
    )
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{USER} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{USER} {group} 1")
    if child := os.fork():
        kernel.forgo_privileges()
        os.closerange(3, _ALL)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    kernel.die_with_parent()


def enter_world(folder: Path, readable: Iterable[Path]) -> None:
    """Moves this process, the first of its namespaces of mounts and of processes, to where the given paths are all.

    /proc is there, too; sandboxed code will not see it.

    Args:
        folder: an empty folder to mount that world on.
        readable: the paths it keeps.
    """
    kernel.mount("none", "/", flags=MountFlags.RECURSIVE | MountFlags.PRIVATE)
    kernel.mount("tmpfs", str(folder), "tmpfs", _PLAIN, "mode=755")
    show(readable, folder)
    for path in (Path("/proc"), BASE, STAGE):
        _inside(folder, path).mkdir()
    kernel.mount("proc", str(_inside(folder, Path("/proc"))), "proc", _PLAIN | MountFlags.NOEXEC)
    kernel.change_root(str(folder))


def make_base(readable: Iterable[Path], hidden: Iterable[Path]) -> None:
    """Makes the view that all roots are copies of.

    Args:
        readable: the paths it shows, each where it is.
        hidden: folders within them that appear empty.
    """
    kernel.mount("tmpfs", str(BASE), "tmpfs", _PLAIN, "mode=755,size=1m")
    show(readable, BASE)
    for path in hidden:
        kernel.mount("tmpfs", str(_inside(BASE, path.resolve())), "tmpfs", _PLAIN, "mode=755,size=4k")
    _inside(BASE, Path(SCRATCH)).mkdir()
    # Devices can be written to through a mount that is read-only.
    kernel.restrict_mount(str(BASE), MountAttributes.READ_ONLY)


def make_root(scratch_bytes: int) -> int:
    """Makes the root of an interpreter: the base, and a scratch folder of limited size at its usual place.

    It is mounted nowhere, so that whoever holds a folder of it cannot climb to the roots of others.

    Returns:
        A file descriptor of its top folder; it goes when that is closed and no process uses it any more.
    """
    kernel.mount(str(BASE), str(STAGE), flags=MountFlags.BIND | MountFlags.RECURSIVE)
    try:
        options = f"mode=700,size={scratch_bytes},nr_inodes={MOST_FILES}"
        scratch = str(_inside(STAGE, Path(SCRATCH)))
        # Times of access would tell a branch what a copy for another has read.
        kernel.mount("tmpfs", scratch, "tmpfs", _PLAIN | MountFlags.NOEXEC | MountFlags.NOATIME, options)
        return kernel.copy_tree(str(STAGE))
    finally:
        kernel.unmount(str(STAGE))


class Root:
    """The root of one interpreter, as the warden holds it.

    Args:
        tree: what `make_root` returned.
    """

    __slots__ = ("device", "tree")

    def __init__(self, tree: int) -> None:
        self.tree = tree
        """A file descriptor of its top folder."""
        self.device = os.stat(SCRATCH.lstrip("/"), dir_fd=tree, follow_symlinks=False).st_dev
        """The number of the file system that its scratch folder is."""

    def open(self, path: str = ".") -> int:
        """A file descriptor of a folder in it, good for becoming a process's root or folder.

        Raises:
            OSError: no such folder is there.
        """
        return kernel.open_beneath(self.tree, path, os.O_RDONLY | os.O_DIRECTORY)

    def is_root_of(self, process: Path) -> bool:
        """Whether it is the root of the process with this folder in /proc."""
        top = os.open(process / "root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return _is_top(top) and self._is_below(top)
        finally:
            os.close(top)

    def has_folder(self, folder: Path) -> bool:
        """Whether a folder is in it, however that was reached."""
        here = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if os.fstat(here).st_dev == self.device:
                # No other root has this file system.
                return True
            while not _is_top(here):
                above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
                os.close(here)
                here = above
            return self._is_below(here)
        finally:
            os.close(here)

    def has_file(self, file: Path) -> bool:
        """Whether a file is in its scratch folder, or where nothing can be written, which is alike in all roots."""
        return file.stat().st_dev == self.device or bool(os.statvfs(file).f_flag & os.ST_RDONLY)

    def _is_below(self, top: int) -> bool:
        try:
            return os.stat(SCRATCH.lstrip("/"), dir_fd=top, follow_symlinks=False).st_dev == self.device
        except FileNotFoundError:
            return False

    def remove(self) -> None:
        """Takes the root away; the scratch folder's memory is free as soon as no process uses it."""
        os.close(self.tree)


def _is_top(folder: int) -> bool:
    return os.path.samestat(os.fstat(folder), os.stat("..", dir_fd=folder))


def show(paths: Iterable[Path], tree: Path) -> None:
    """Mounts paths read-only in a tree, and devices, each where it is, with the symbolic links that lead to them.

    Args:
        paths: files and folders that exist.
        tree: the folder that is to be the root.
    """
    ways = find_ways(paths)
    for real in (*ways.places, *map(Path, DEVICES)):
        target = _inside(tree, real)
        if real.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        kernel.mount(str(real), str(target), flags=MountFlags.BIND | MountFlags.RECURSIVE)
    for link, goal in ways.links.items():
        _inside(tree, link).parent.mkdir(parents=True, exist_ok=True)
        _inside(tree, link).symlink_to(goal)
    for real in ways.places:
        attributes = MountAttributes.READ_ONLY | MountAttributes.NOSUID | MountAttributes.NODEV
        kernel.restrict_mount(str(_inside(tree, real)), attributes)


def _inside(tree: Path, path: Path) -> Path:
    return tree / path.relative_to("/")
