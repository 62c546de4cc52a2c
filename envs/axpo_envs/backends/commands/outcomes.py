"""Defines what commands are and what comes of them: `Command`, `Outcome`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from axpo_envs.backends.commands.trees import EntryKind, FileTree, TreeEntry, content_digest, tree_of
from axpo_envs.backends.python_sandbox._frames import Frame
from axpo_envs.backends.python_sandbox._views import SCRATCH

FOLDER: Final = SCRATCH
"""The working folder as commands see it."""


class Ending(StrEnum):
    """How a command ended."""

    DONE = "done"
    """It ran to its end."""
    TIMEOUT = "timeout"
    """It was stopped."""
    TOO_MUCH = "too much"
    """It ran to its end, and left more than is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is to be executed."""

    text: str
    """Lines of a shell."""
    tree: FileTree
    """The files."""
    cwd: str = FOLDER
    """The folder that it starts in; where it is not there, the working folder."""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a command."""

    ending: Ending
    """How it ended."""
    code: int
    """Its exit code; that of a program that a signal ended is minus its number."""
    output: str
    """What it wrote, standard output and error as they came; bytes that are no UTF-8 as `\\xff`."""
    note: str
    """Of what there was too much."""
    tree: FileTree
    """The files afterwards; those before where it did not end by itself."""
    cwd: str
    """The folder that it ended in."""
    environment: Mapping[str, str] | None
    """The variables that it exported; None where they are not known."""


def read_answer(answer: Frame, command: Command) -> Outcome:
    """What a guest's answer says."""
    header, body = answer.header, memoryview(answer.body)
    head, tail = header["head"], header["tail"]
    ending = Ending(header["ending"])
    tree = command.tree
    if ending is Ending.DONE:
        tree = _read_tree(header["entries"], body[head + tail :], command.tree)
    return Outcome(
        ending=ending,
        code=header["exit"],
        output=_shown(bytes(body[:head]), bytes(body[head : head + tail]), header["left_out"]),
        note=header.get("note", ""),
        tree=tree,
        cwd=header.get("cwd", command.cwd),
        environment=header.get("environment"),
    )


def _read_tree(written: list[dict[str, Any]], body: memoryview, before: FileTree) -> FileTree:
    """The tree that the guest tells of; contents that it does not send are those that there were."""
    known = {content_digest(entry.data): entry.data for entry in before.entries if entry.kind is not EntryKind.FOLDER}
    entries = []
    for one in written:
        if "size" in one:
            known[one["digest"]] = bytes(body[: one["size"]])
            body = body[one["size"] :]
        data = known[one["digest"]] if "digest" in one else b""
        kind, changed = EntryKind(one["kind"]), one.get("changed", 0)
        entries.append(TreeEntry(path=one["path"], kind=kind, data=data, mode=one["mode"], changed=changed))
    same = {entry.path: entry for entry in before.entries}
    return tree_of(same[entry.path] if same.get(entry.path) == entry else entry for entry in entries)


def _shown(head: bytes, tail: bytes, left_out: int) -> str:
    if not left_out:
        return (head + tail).decode("utf-8", "backslashreplace")
    parts = (part.decode("utf-8", "backslashreplace") for part in (head, tail))
    return f"\n[... {left_out} bytes left out ...]\n".join(parts)
