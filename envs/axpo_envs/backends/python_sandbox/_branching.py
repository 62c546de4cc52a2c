"""Defines the two ways in which a second future of an interpreter comes about: forking it, or replaying its cells."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from axpo_envs.backends.python_sandbox import _landlock as landlock
from axpo_envs.backends.python_sandbox import _trees as trees
from axpo_envs.backends.python_sandbox._lines import Line
from axpo_envs.backends.python_sandbox._nursery import Roots
from axpo_envs.backends.python_sandbox._supervision import TamperedError, View, check_view
from axpo_envs.backends.python_sandbox._views import DEVICES, SCRATCH, Root
from axpo_envs.backends.python_sandbox._ward import Ward
from axpo_envs.backends.python_sandbox.report import BranchingKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a child needs of its own before it is forked: file descriptors, to be closed once it has them."""

    place: Root | Line
    """Its root or scratch folder."""
    files: list[tuple[int, int]] = field(default_factory=list)
    """The warden's file descriptors of its files, and the numbers that they get in it."""
    root: int | None = None
    """One of the folder to become its root."""
    folder: int | None = None
    """One of its working folder; None where it stays or finds one by itself."""
    confinement: int | None = None
    """One of the Landlock rules to confine it by."""

    def close(self) -> None:
        """Closes them."""
        singles = (self.root, self.folder, self.confinement)
        for descriptor in (*(copy for copy, _ in self.files), *(one for one in singles if one is not None)):
            os.close(descriptor)


class Branching(Protocol):
    """How children get their places."""

    kind: BranchingKind
    """Its name."""
    keeps_parent: bool
    """The parent stays as it was, to be forked again; otherwise the child takes its place."""

    async def prepare(self, parent: Ward, deadline: float) -> Prepared:
        """Makes what the parent's next child needs.

        Args:
            parent: an interpreter at rest.
            deadline: when to give up, by the monotonic clock.

        Raises:
            TamperedError: the parent is in a state that no child can be made of.
            TimeoutError: the deadline has passed.
        """
        ...

    def look(self, ward: Ward) -> View:
        """Checks that an interpreter at rest reaches nothing but what is its own; returns what it has open.

        Raises:
            TamperedError: it does.
        """
        ...


class Forking:
    """Every child has a root of its own, with a copy of its parent's scratch folder.

    Args:
        roots: where roots come from.
    """

    kind = BranchingKind.FORK
    keeps_parent = True

    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    async def prepare(self, parent: Ward, deadline: float) -> Prepared:
        """A root; the parent's open files are opened again in it."""
        assert isinstance(parent.place, Root)
        root = await self._roots.take(deadline)
        view = parent.view
        copied = trees.Copied()
        try:
            copied = await trees.copy_tree(
                parent.place.tree,
                root.tree,
                SCRATCH.lstrip("/"),
                used=view.files,
                folder=view.folder,
                deadline=deadline,
            )
            await _reopen_others(parent, root, copied, deadline)
            folder = copied.folder
            if folder is None:
                folder = _find_folder(root, view.path)
            return Prepared(place=root, files=copied.files, root=root.open(), folder=folder)
        except BaseException as error:
            copied.close()
            root.remove()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise TamperedError(f"its files cannot be copied ({error.strerror})") from error
            raise

    def look(self, ward: Ward) -> View:
        """See `check_view`."""
        assert isinstance(ward.place, Root)
        return check_view(ward.process, ward.place, ward.own)


async def _reopen_others(parent: Ward, root: Root, copied: trees.Copied, deadline: float) -> None:
    """Opens files again that no name in the scratch folder leads to: those of the installation, and those deleted."""
    deleted: dict[int, int] = {}
    try:
        for file in parent.view.files:
            if file.inode and not file.deleted:
                continue
            entry = os.open(f"/proc/{parent.process}/fd/{file.number}", os.O_PATH | os.O_CLOEXEC)
            try:
                if file.inode and file.inode not in deleted:
                    deleted[file.inode] = await _copy_deleted(entry, root, deadline)
                copied.files.append((trees.reopen(deleted.get(file.inode, entry), file), file.number))
            finally:
                os.close(entry)
    finally:
        for copy in deleted.values():
            os.close(copy)


async def _copy_deleted(entry: int, root: Root, deadline: float) -> int:
    handle = Path(f"/proc/self/fd/{entry}")
    mode = os.fstat(entry).st_mode
    handle.chmod(0o600)
    source = os.open(handle, os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(SCRATCH.lstrip("/"), os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=root.tree)
    try:
        await trees.in_slices(trees.copy_data(source, target, os.fstat(source).st_size), deadline)
    except BaseException:
        os.close(target)
        raise
    finally:
        handle.chmod(mode & 0o7777)
        os.close(source)
    return target


def _find_folder(root: Root, path: str) -> int:
    """A working folder outside the scratch folder; the scratch folder where there is none any more."""
    with suppress(OSError):
        return root.open(path)
    return root.open(SCRATCH.lstrip("/"))


class Replaying:
    """A child takes its parent's place; only an interpreter that has executed nothing is forked again and again.

    Args:
        arena: the folder to make scratch folders in.
        readable: the paths that code may read.
        listable: folders that it may list only.
        confine: it is confined to these by Landlock.
    """

    kind = BranchingKind.REPLAY
    keeps_parent = False

    def __init__(self, arena: Path, readable: Sequence[Path], listable: Sequence[Path], *, confine: bool) -> None:
        self._arena = arena
        self._paths = (tuple(map(str, readable)), tuple(map(str, listable))) if confine else None
        self._numbers = itertools.count()

    async def prepare(self, parent: Ward, deadline: float) -> Prepared:
        """The parent's scratch folder, or a new one after the first fork."""
        del deadline
        if parent.place is not None:
            place, parent.place = parent.place, None
            return Prepared(place=place)
        line = Line(self._arena / f"{os.getpid()}-{next(self._numbers)}")
        if self._paths is None:
            return Prepared(place=line)
        readable, listable = self._paths
        rules = landlock.make_rules(readable=readable, listable=listable, writable=(str(line.scratch), *DEVICES))
        return Prepared(place=line, confinement=rules)

    def look(self, ward: Ward) -> View:
        """Nothing: there is no sibling to reach."""
        del ward
        return View()
