"""Defines `build_tree`, which makes a tree of a folder on disk or of a mapping from paths to contents."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from axpo_envs.backends.commands.limits import CommandLimits
from axpo_envs.backends.commands.trees import MOST_PATH, EntryKind, FileTree, TreeEntry, tree_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.surrogates import has_surrogates

_KINDS: Final = "a mapping from paths to text or bytes, a pathlib.Path of a folder, or a FileTree"


def build_tree(given: Any, limits: CommandLimits) -> FileTree:
    """The tree that a start stands for; nothing is an empty one.

    Args:
        given: one of the kinds.
        limits: how much may be in it.

    Raises:
        EnvConfigError: it is none of these, cannot be read, or is too large; the message names the path.
    """
    try:
        tree = _tree(given)
    except OSError as error:
        raise EnvConfigError(f"the files of the folder cannot be read: {error}") from None
    except ValueError as error:
        raise EnvConfigError(f"the files of the folder: {error}") from None
    if problem := excess(tree, limits):
        raise EnvConfigError(f"the files of the folder: {problem}")
    return tree


def excess(tree: FileTree, limits: CommandLimits) -> str:
    """In what a tree is too large; empty where it is not."""
    if len(tree) > limits.files:
        return f"expected at most {limits.files} files, folders and links; got {len(tree)}"
    if tree.size > limits.folder_mb << 20:
        return f"expected at most {limits.folder_mb} MB; got {tree.size} bytes"
    return ""


def path_problem(path: str) -> str:
    """What is wrong with a path that is to be in a tree; empty where nothing is."""
    if not path or path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        return f"{brief(path)} must lead from the top folder down, without '.', '..' and empty names"
    if "\x00" in path or has_surrogates(path):
        return f"{brief(path)} holds a character that no path can hold"
    if len(os.fsencode(path)) > MOST_PATH or any(len(os.fsencode(part)) > 255 for part in path.split("/")):
        return f"{brief(path)} is too long"
    return ""


def _tree(given: Any) -> FileTree:
    match given:
        case None:
            return FileTree()
        case FileTree():
            return given
        case Mapping():
            return tree_of(_entry(path, content) for path, content in given.items())
        case Path():
            if not given.is_dir():
                raise ValueError(f"{given} is no folder")
            return tree_of(_on_disk(given, given))
    raise ValueError(f"expected {_KINDS}; got {brief(given)}")


def _entry(path: Any, content: Any) -> TreeEntry:
    if not isinstance(path, str) or (problem := path_problem(path)):
        raise ValueError(problem if isinstance(path, str) else f"expected paths as text; got {brief(path)}")
    if isinstance(content, str):
        if has_surrogates(content):
            raise ValueError(f"{path} holds half of a surrogate pair")
        content = content.encode()
    if not isinstance(content, bytes):
        raise ValueError(f"{path}: expected text or bytes; got {brief(content)}")
    # A script is there to be executed.
    return TreeEntry(path=path, kind=EntryKind.FILE, data=content, mode=0o755 if content[:2] == b"#!" else 0o644)


def _on_disk(folder: Path, top: Path) -> Iterator[TreeEntry]:
    for found in sorted(folder.iterdir()):
        path = str(found.relative_to(top))
        status = found.lstat()
        mode = stat.S_IMODE(status.st_mode) & 0o777
        if stat.S_ISLNK(status.st_mode):
            yield TreeEntry(path=path, kind=EntryKind.LINK, data=os.fsencode(found.readlink()), mode=0o777)
        elif stat.S_ISDIR(status.st_mode):
            yield TreeEntry(path=path, kind=EntryKind.FOLDER, mode=mode)
            yield from _on_disk(found, top)
        elif stat.S_ISREG(status.st_mode):
            yield TreeEntry(path=path, kind=EntryKind.FILE, data=found.read_bytes(), mode=mode)
