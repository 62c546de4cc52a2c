"""Defines the two ways in which a second future of an interpreter comes about: forking it, or replaying its cells."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from axpo_envs.python_sandbox.interpreter import Passed
from axpo_envs.python_sandbox.report import BranchingKind
from axpo_envs.python_sandbox.supervision import TamperedError, check_view, reopen_files
from axpo_envs.python_sandbox.views import DEVICES, SCRATCH, Line, Root
from axpo_envs.python_sandbox.ward import Ward


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a child needs of its own before it is forked."""

    place: Root | Line
    """Its root or scratch folder."""
    passed: Passed
    """What it is told."""
    descriptors: tuple[int, ...] = ()
    """The open file descriptors that go with it, behind those of link and output; to be closed once they are sent."""


class Branching(Protocol):
    """How children get their places."""

    kind: BranchingKind
    """Its name."""
    keeps_parent: bool
    """The parent stays as it was, to be forked again; otherwise the child takes its place."""

    def prepare(self, parent: Ward) -> Prepared:
        """Makes what the parent's next child needs.

        Raises:
            TamperedError: the parent is in a state that no child can be made of.
        """
        ...

    def check(self, ward: Ward) -> None:
        """Checks that an interpreter reaches nothing but what is its own.

        Raises:
            TamperedError: it does.
        """
        ...


class Forking:
    """Every child has a root of its own, with a copy of its parent's scratch folder.

    Args:
        scratch_bytes: size of a scratch folder.
    """

    kind = BranchingKind.FORK
    keeps_parent = True

    def __init__(self, scratch_bytes: int) -> None:
        self._scratch_bytes = scratch_bytes

    def new_root(self) -> Root:
        """A root with an empty scratch folder."""
        return Root(self._scratch_bytes)

    def prepare(self, parent: Ward) -> Prepared:
        """A root; the parent's open files are opened again in it."""
        assert isinstance(parent.place, Root)
        root = self.new_root()
        try:
            root.copy_scratch(parent.place)
            files = reopen_files(parent.process, root)
        except (OSError, RecursionError, TamperedError) as error:
            root.remove()
            raise TamperedError(f"its files cannot be copied ({error})") from error
        passed = Passed(alone=False, root=True, scratch=SCRATCH, files=tuple(file.number for file in files))
        return Prepared(place=root, passed=passed, descriptors=(root.open(), *(file.copy for file in files)))

    def check(self, ward: Ward) -> None:
        """See `check_view`."""
        assert isinstance(ward.place, Root)
        check_view(ward.process, ward.place, ward.own)


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

    def prepare(self, parent: Ward) -> Prepared:
        """The parent's scratch folder, or a new one after the first fork."""
        if parent.place is not None:
            place, parent.place = parent.place, None
            return Prepared(place=place, passed=Passed(alone=False, root=False, scratch=str(place.scratch)))
        place = Line(self._arena / str(next(self._numbers)))
        scratch = str(place.scratch)
        paths = () if self._paths is None else (*self._paths, (scratch, *DEVICES))
        return Prepared(place=place, passed=Passed(alone=False, root=False, scratch=scratch, paths=paths))

    def check(self, ward: Ward) -> None:
        """Nothing: there is no sibling to reach."""
