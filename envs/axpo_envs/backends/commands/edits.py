"""Defines what editing does to a tree of files: functions from a tree to what is read of it, or to another tree."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from axpo_envs.backends.commands.trees import EntryKind, FileTree, TreeEntry
from axpo_envs.plumbing.printable import printable

_AROUND: Final = 3
"""Lines that are shown before and after what was changed."""
_LEVELS: Final = 2
"""Levels of folders that are listed."""
_MOST_ENTRIES: Final = 200
_MOST_PLACES: Final = 10


class EditError(ValueError):
    """An edit cannot be made; the message says why, for the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What an edit made of a tree."""

    tree: FileTree
    """The tree afterwards."""
    first: int
    """The first line that was changed, from 1 on."""
    last: int
    """The last line that was changed; before the first where lines were taken away alone."""


def read_text(tree: FileTree, path: str) -> str:
    """The text of a file.

    Raises:
        EditError: there is no such file, or it holds no text in UTF-8.
    """
    entry = tree.find(path)
    if entry is None:
        raise EditError(f"there is no file {path}")
    if entry.kind is EntryKind.FOLDER:
        raise EditError(f"{path} is a folder")
    if entry.kind is EntryKind.LINK:
        raise EditError(f"{path} is a symbolic link to {printable(entry.data.decode(errors='backslashreplace'))}")
    try:
        text = entry.data.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if "\x00" in text:
        raise EditError(f"{path} holds no text, but {len(entry.data)} bytes of something else")
    return text


def lines_of(text: str) -> list[str]:
    """The lines, without what ends them. A text that ends with a line's end has no empty line after it."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def show_lines(text: str, first: int, last: int) -> str:
    """Lines with their numbers, from 1 on."""
    lines = lines_of(text)[first - 1 : last]
    return "\n".join(
        f"{number:>6}\t{printable(line.removesuffix(chr(13)))}" for number, line in enumerate(lines, first)
    )


def show_folder(tree: FileTree, path: str) -> str:
    """What is in a folder, two levels deep; the empty path is the top folder."""
    start = f"{path}/" if path else ""
    inside = [entry for entry in tree.entries if entry.path.startswith(start)]
    near = [entry for entry in inside if entry.path[len(start) :].count("/") < _LEVELS]
    lines = [_listed(entry) for entry in near[:_MOST_ENTRIES]]
    if len(near) > _MOST_ENTRIES:
        lines.append(f"... ({len(near) - _MOST_ENTRIES} further entries are not shown)")
    return "\n".join(lines) or "(an empty folder)"


def replace_text(tree: FileTree, path: str, old: str, new: str) -> Edited:
    """Replaces a text that stands in a file exactly once.

    Raises:
        EditError: it stands there never, or more than once; or nothing would change.
    """
    text = read_text(tree, path)
    if old == new:
        raise EditError("the new text is the old one: nothing would change")
    count = text.count(old)
    if count == 1 and text.find(old, text.find(old) + 1) >= 0:
        # It overlaps itself, and either place may be meant.
        count = 2
    if count != 1:
        raise EditError(_miscounted(path, text, old, count))
    before, after = text.split(old)
    first = before.count("\n") + 1
    changed = before + new + after
    return Edited(tree=tree.with_file(path, changed.encode()), first=first, last=first + new.count("\n"))


def insert_text(tree: FileTree, path: str, line: int, text: str) -> Edited:
    """Inserts lines after a line; after line 0 is before the first.

    Raises:
        EditError: there is no such line.
    """
    whole = read_text(tree, path)
    lines = _kept(whole)
    if line > len(lines):
        raise EditError(f"line must be from 0 to {len(lines)}, the lines of {path}; got {line}")
    # A last line that nothing ended is ended now, and one that ended the text still does.
    unended = line == len(lines) and bool(lines) and not lines[-1].endswith("\n")
    if unended:
        lines[-1] += "\n"
    added = text if text.endswith("\n") or unended else f"{text}\n"
    changed = "".join((*lines[:line], added, *lines[line:]))
    return Edited(tree=tree.with_file(path, changed.encode()), first=line + 1, last=line + len(lines_of(added)))


def create_file(tree: FileTree, path: str, text: str) -> Edited:
    """Makes a file that is not there yet, with its folders.

    Raises:
        EditError: it is there, or something on the way to it is no folder.
    """
    found = tree.find(path)
    if found is not None:
        raise EditError(f"{path} is there already: replace what is in it")
    try:
        after = tree.with_file(path, text.encode())
    except ValueError as error:
        raise EditError(str(error)) from None
    return Edited(tree=after, first=1, last=max(1, len(lines_of(text))))


def show_edit(edited: Edited, path: str) -> str:
    """The changed lines with some around them."""
    text = read_text(edited.tree, path)
    count = len(lines_of(text))
    first, last = max(1, edited.first - _AROUND), min(count, max(edited.first, edited.last) + _AROUND)
    return show_lines(text, first, last) or "(an empty file)"


def difference(before: FileTree, after: FileTree, path: str) -> str:
    """What an edit changed, as a unified diff."""
    old = lines_of(read_text(before, path)) if before.find(path) is not None else []
    new = lines_of(read_text(after, path))
    lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}", lineterm="")
    return printable("\n".join(lines)) or f"+++ b/{path} (an empty file)"


def _kept(text: str) -> list[str]:
    """The lines with what ends them."""
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _listed(entry: TreeEntry) -> str:
    name = printable(entry.path).replace("\n", "\\n")
    match entry.kind:
        case EntryKind.FOLDER:
            return f"{name}/"
        case EntryKind.LINK:
            return f"{name} (a symbolic link)"
    return f"{name} ({len(entry.data)} bytes)"


def _miscounted(path: str, text: str, old: str, count: int) -> str:
    if count:
        places = _places(text, old)
        shown = ", ".join(map(str, places[:_MOST_PLACES])) + (", ..." if len(places) > _MOST_PLACES else "")
        return f"the old text must stand in {path} once; it was found {count} times, in lines {shown}: give more of it"
    message = f"the old text must stand in {path} once; it was found 0 times"
    if "\r\n" in text and "\r" not in old and old in text.replace("\r\n", "\n"):
        return f"{message}: lines end with \\r\\n there"
    words = old.split()
    for number, line in enumerate(lines_of(text), 1):
        if words and line.split() == lines_of(old)[0].split() != []:
            return f"{message}; line {number} is like its first, up to white space"
    return message


def _places(text: str, old: str) -> Sequence[int]:
    """The lines in which a text begins, of the first places and one more; those that overlap where no others are."""
    apart = len(old) if text.count(old) > 1 else 1
    places: list[int] = []
    at, line, last = text.find(old), 1, 0
    while at >= 0 and len(places) <= _MOST_PLACES:
        line, last = line + text.count("\n", last, at), at
        places.append(line)
        at = text.find(old, at + apart)
    return places
