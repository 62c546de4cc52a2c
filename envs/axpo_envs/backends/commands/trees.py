"""Defines `FileTree`: a folder of files as immutable data. Trees that follow each other share what did not change."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from axpo_envs.plumbing.printable import printable

MOST_PATH: Final = 1_000
"""Bytes of a path."""


class EntryKind(StrEnum):
    """What an entry of a tree is."""

    FILE = "file"
    """A file."""
    FOLDER = "folder"
    """A folder."""
    LINK = "link"
    """A symbolic link, which nothing outside of a sandbox follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """A file, a folder or a link."""

    path: str
    """Where it is, from the top folder on, with `/` between names. Bytes that are no UTF-8 are half surrogate pairs."""
    kind: EntryKind
    """What it is."""
    data: bytes = b""
    """A file's content, a link's goal."""
    mode: int = 0o644
    """Its permissions."""
    changed: int = 0
    """When its content was changed last, counted in calls: files that were changed later have a later date, so that
    programs which compare dates (make, Python) work as they would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTree:
    """The entries of a folder, by path. A snapshot of it is a reference."""

    entries: tuple[TreeEntry, ...] = ()
    """Ordered by path; the folders of every entry are among them."""

    def __iter__(self) -> Iterator[str]:
        return (entry.path for entry in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, path: str) -> TreeEntry | None:
        """The entry at a path; None where there is none."""
        at = bisect.bisect_left(self.entries, path, key=lambda entry: entry.path)
        found = self.entries[at] if at < len(self.entries) else None
        return found if found is not None and found.path == path else None

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            KeyError: there is no file.
        """
        entry = self.find(path)
        if entry is None or entry.kind is not EntryKind.FILE:
            raise KeyError(f"there is no file {path!r}")
        return entry.data

    def beneath(self, folder: str) -> tuple[TreeEntry, ...]:
        """What is directly in a folder; the empty path is the top folder."""
        start = f"{folder}/" if folder else ""
        return tuple(
            entry
            for entry in self.entries
            if entry.path.startswith(start) and entry.path != folder and "/" not in entry.path[len(start) :]
        )

    def with_file(self, path: str, data: bytes) -> FileTree:
        """The tree with a file's content; a new one comes with its folders, and one that is there keeps its mode."""
        found = self.find(path)
        mode = found.mode if found is not None else 0o644
        new = TreeEntry(path=path, kind=EntryKind.FILE, data=data, mode=mode, changed=self.last_change + 1)
        return tree_of((*(entry for entry in self.entries if entry.path != path), new))

    @property
    def last_change(self) -> int:
        """The latest `TreeEntry.changed`; 0 without entries."""
        return max((entry.changed for entry in self.entries), default=0)

    @property
    def size(self) -> int:
        """Bytes of its files and links."""
        return sum(len(entry.data) for entry in self.entries)

    @property
    def digest(self) -> str:
        """Hash of everything in it (32 hexadecimal digits)."""
        fields = ((entry.path, entry.kind.value, entry.mode, content_digest(entry.data)) for entry in self.entries)
        return hashlib.blake2b(ascii(tuple(fields)).encode(), digest_size=16).hexdigest()

    def changes_from(self, before: FileTree) -> tuple[str, ...]:
        """What became of the files of another tree, a line for each; folders alone are not told of.

        Worked value: `a.txt: changed`, `b.txt: created`, `c.txt: removed`.
        """
        old, new = ({entry.path: entry for entry in tree.entries} for tree in (before, self))
        lines = []
        for path in sorted(old.keys() | new.keys()):
            was, became = old.get(path), new.get(path)
            if was == became or {entry.kind for entry in (was, became) if entry is not None} == {EntryKind.FOLDER}:
                continue
            name = printable(path).replace("\n", "\\n")
            lines.append(f"{name}: {'created' if was is None else 'removed' if became is None else 'changed'}")
        return tuple(lines)

    def __repr__(self) -> str:
        return f"FileTree({len(self.entries)} entries, {self.size} bytes)"


def tree_of(entries: Iterable[TreeEntry]) -> FileTree:
    """A tree of these entries, and of the folders that they are in.

    Raises:
        ValueError: a path stands twice, or something is in what is no folder.
    """
    kept: dict[str, TreeEntry] = {}
    for entry in entries:
        if entry.path in kept:
            raise ValueError(f"{entry.path} stands there twice")
        kept[entry.path] = entry
    for path in tuple(kept):
        for place, letter in enumerate(path):
            if letter == "/":
                above = path[:place]
                folder = kept.setdefault(above, TreeEntry(path=above, kind=EntryKind.FOLDER, mode=0o755))
                if folder.kind is not EntryKind.FOLDER:
                    raise ValueError(f"{path} is in {above}, which is no folder")
    return FileTree(entries=tuple(kept[path] for path in sorted(kept)))


@lru_cache(maxsize=8192)
def content_digest(data: bytes) -> str:
    """Hash of a content; Python keeps the hash of the bytes by which it is found again."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
