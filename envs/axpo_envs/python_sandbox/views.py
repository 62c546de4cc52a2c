"""Defines the folders that sandboxed code sees: read-only paths, and a scratch folder that no other interpreter has.

Every interpreter has a root of its own, with the same read-only paths in all of them and its scratch folder, a tmpfs
of limited size, at the same path. That takes the right to mount, which a user namespace gives.
"""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from axpo_envs.python_sandbox import kernel
from axpo_envs.python_sandbox.kernel import MountAttributes, MountFlags

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

_MOST_FILES: Final = 4096
_MOST_DEPTH: Final = 15
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


def enter_world(folder: Path, readable: Iterable[Path]) -> None:
    """Moves this process, the first of its namespaces of mounts and of processes, to where the given paths are all.

    /proc is there, too; sandboxed code will not see it.

    Args:
        folder: an empty folder to mount that world on.
        readable: the paths it keeps.
    """
    kernel.mount("none", "/", flags=MountFlags.RECURSIVE | MountFlags.PRIVATE)
    kernel.mount("tmpfs", str(folder), "tmpfs", _PLAIN, "mode=755")
    _show(readable, folder)
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
    _show(readable, BASE)
    for path in hidden:
        kernel.mount("tmpfs", str(_inside(BASE, path.resolve())), "tmpfs", _PLAIN, "mode=755,size=4k")
    _inside(BASE, Path(SCRATCH)).mkdir()
    # Devices can be written to through a mount that is read-only.
    kernel.restrict_mount(str(BASE), MountAttributes.READ_ONLY)


class Root:
    """The root of one interpreter: the base, and a scratch folder at its usual place.

    It is mounted nowhere, so that whoever holds a folder of it cannot climb to the roots of others.

    Args:
        scratch_bytes: size of the scratch folder.
    """

    __slots__ = ("_device", "_tree", "folder", "scratch")

    def __init__(self, scratch_bytes: int) -> None:
        kernel.mount(str(BASE), str(STAGE), flags=MountFlags.BIND | MountFlags.RECURSIVE)
        try:
            options = f"mode=700,size={scratch_bytes},nr_inodes={_MOST_FILES}"
            scratch = str(_inside(STAGE, Path(SCRATCH)))
            kernel.mount("tmpfs", scratch, "tmpfs", _PLAIN | MountFlags.NOEXEC, options)
            self._tree = kernel.copy_tree(str(STAGE))
        finally:
            kernel.unmount(str(STAGE))
        self.folder = Path(f"/proc/self/fd/{self._tree}")
        self.scratch = _inside(self.folder, Path(SCRATCH))
        self._device = self.scratch.stat().st_dev

    def open(self) -> int:
        """A file descriptor of its top folder, good for becoming a process's root and for looking up paths."""
        return os.open(self.folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

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
            while not _is_top(here):
                above = os.open("..", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
                os.close(here)
                here = above
            return self._is_below(here)
        finally:
            os.close(here)

    def has_file(self, file: Path) -> bool:
        """Whether a file is in its scratch folder, or where nothing can be written, which is alike in all roots."""
        return file.stat().st_dev == self._device or bool(os.statvfs(file).f_flag & os.ST_RDONLY)

    def _is_below(self, top: int) -> bool:
        try:
            return os.stat(SCRATCH.lstrip("/"), dir_fd=top, follow_symlinks=False).st_dev == self._device
        except FileNotFoundError:
            return False

    def copy_scratch(self, source: Root) -> None:
        """Fills the scratch folder with the files, folders and symbolic links of another, which must be at rest.

        Raises:
            OSError, RecursionError: the other's tree cannot be copied (it is thousands of folders deep, say).
        """
        if any(source.scratch.iterdir()):
            shutil.copytree(source.scratch, self.scratch, symlinks=True, ignore=_special, dirs_exist_ok=True)

    def remove(self) -> None:
        """Takes the root away; the scratch folder's memory is free as soon as no process uses it."""
        os.close(self._tree)


class Line:
    """A scratch folder on disk: that of one interpreter after another, each forked from the last.

    Args:
        folder: where it is; the folder is made.
    """

    __slots__ = ("scratch",)

    def __init__(self, folder: Path) -> None:
        self.scratch = folder
        folder.mkdir(mode=0o700)

    def excess(self, most_bytes: int) -> str:
        """In what its contents are too much, in words; empty if they are not.

        A process may be changing them meanwhile.
        """
        size, count = 0, 0
        remaining = [(self.scratch, 0)]
        while remaining:
            folder, depth = remaining.pop()
            with suppress(OSError):
                for entry in os.scandir(folder):
                    count += 1
                    size += 512 * entry.stat(follow_symlinks=False).st_blocks
                    if entry.is_dir(follow_symlinks=False):
                        remaining.append((Path(entry.path), depth + 1))
            if size > most_bytes or count > _MOST_FILES or depth > _MOST_DEPTH:
                return f"its files took more than {most_bytes >> 20} MB, {_MOST_FILES} entries or {_MOST_DEPTH} levels"
        return ""

    def remove(self) -> None:
        """Deletes it with all that is in it, however deep."""
        while entries := tuple(self.scratch.iterdir()):
            for entry in entries:
                if not _is_folder(entry):
                    entry.unlink()
                    continue
                entry.chmod(0o700)
                for inner in entry.iterdir():
                    if _is_folder(inner):
                        inner.chmod(0o700)
                    # What is deeper comes up, so that no path gets long.
                    inner.rename(self.scratch / uuid.uuid4().hex)
                entry.rmdir()
        self.scratch.rmdir()


def _is_top(folder: int) -> bool:
    return os.path.samestat(os.fstat(folder), os.stat("..", dir_fd=folder))


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _special(folder: str, names: list[str]) -> list[str]:
    """Pipes and the like: they hold nothing, but connect whoever opens them."""
    kinds = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
    return [name for name in names if not any(kind((Path(folder) / name).lstat().st_mode) for kind in kinds)]


def _show(paths: Iterable[Path], tree: Path) -> None:
    """Mounts paths read-only in a tree, each where it is, with the symbolic links that lead to it."""
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
