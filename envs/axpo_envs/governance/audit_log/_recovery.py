"""Defines `recover`, which finds where a log ends whose head and files do not agree, and cuts off a torn line."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from axpo_envs.governance.audit_log._chain import HEAD, Head, files_of, read_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """Where a log ends, and what a reader should know of how that was found."""

    head: Head
    """The end."""
    told: tuple[Mapping[str, Any], ...]
    """What was damaged; empty where a writer was killed between a line and the head."""


@dataclass(slots=True)
class _Finding:
    head: Head
    told: list[Mapping[str, Any]] = field(default_factory=list)


def read_head(folder: Path) -> Head | None:
    """What the head's file says; None where there is none, or it is damaged."""
    try:
        return Head.from_bytes((folder / HEAD).read_bytes())
    except (FileNotFoundError, ValueError, TypeError):
        return None


def recover(folder: Path, said: Head | None) -> Recovered:
    """The end of a log as its files have it. Only for the writer whose turn it is.

    Whole records stay, whatever the head says. Numbers of records that the head knows of and no file holds are not
    given again, so that they stay missing.

    Args:
        folder: where the log lies.
        said: what the head says.

    Raises:
        OSError: a file cannot be read or cut.
    """
    files = files_of(folder)
    found = _Finding(head=said or Head(log=secrets.token_hex(16)))
    if said is None and files:
        found.told.append({"what": "the head was missing or damaged"})
    start = 0
    if found.head.file:
        names = [path.name for path in files]
        if found.head.file in names:
            start = names.index(found.head.file)
        else:
            found.told.append({"what": f"{found.head.file} was missing"})
    for path in files[start:]:
        _take_in(path, found)
    if not files:
        found.head = replace(found.head, file="", size=0)
    return Recovered(head=found.head, told=tuple(found.told))


def _take_in(path: Path, found: _Finding) -> None:
    """Goes on to the end of a file."""
    data, head = path.read_bytes(), found.head
    is_heads = path.name == head.file
    if is_heads and len(data) < head.size:
        found.told.append({"what": f"{path.name} was cut short, from {head.size} bytes to {len(data)}"})
    at = head.size if is_heads and len(data) >= head.size else 0
    *lines, torn = data[at:].split(b"\n")
    for line in lines:
        head = _behind(head, line)
    with suppress(ValueError):
        # Only the end of the line is missing.
        read_line(torn)
        head, torn = _behind(head, torn), b""
        with path.open("ab") as file:
            file.write(b"\n")
    if torn:
        os.truncate(path, len(data) - len(torn))
        digest = hashlib.sha256(torn).hexdigest()
        found.told.append({"what": f"{path.name} ended within a record", "bytes": len(torn), "sha256": digest})
    found.head = replace(head, file=path.name, size=path.stat().st_size)


def _behind(head: Head, line: bytes) -> Head:
    """The head behind a line; a line that is no record is passed over."""
    try:
        link = read_line(line)
    except ValueError:
        return head
    log = str(link.record.get("log") or head.log) if link.record.get("kind") == "file" else head.log
    return replace(head, n=max(head.n, link.number), hash=link.hash, log=log)
