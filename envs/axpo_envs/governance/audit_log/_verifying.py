"""Defines `verify_log`, which finds what was done to an audit log since it was written, and where.

| done to the log | found |
|---|---|
| a byte of a record changed | at its line: its hash is another |
| records removed, moved or put in | at the place: numbers and hashes do not follow each other |
| records cut off at the end, or the newest files removed | by the head, which knows the last record |
| the same, and the head changed to suit | not without an anchor: number and hash of a record, kept elsewhere |
| everything from some record on written anew, hashes, head and all | the same |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Final

from axpo_envs.governance.audit_log._chain import (
    HEAD,
    START,
    AuditLogError,
    Head,
    Link,
    file_number,
    files_of,
    read_line,
)

_TELLING: Final = ("repair", "lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A record that is known from elsewhere."""

    n: int
    """Its number."""
    hash: str
    """Its hash."""

    @classmethod
    def read(cls, text: str) -> Anchor:
        """Reads `NUMBER:HASH`.

        Raises:
            AuditLogError: it is none.
        """
        number, _, own = text.strip().partition(":")
        if not re.fullmatch("[0-9]{1,18}", number) or len(own) != 64 or set(own) - set("0123456789abcdef"):
            raise AuditLogError(f"expected NUMBER:HASH, with a hash of 64 hexadecimal digits; got {text!r:.100}")
        return cls(n=int(number), hash=own)

    def __str__(self) -> str:
        return f"{self.n}:{self.hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that was done to a log, or befell it."""

    file: str
    """The file."""
    line: int
    """Its line, from 1; 0 where it is about the file as a whole."""
    n: int
    """Number of the record that is concerned; 0 where it is about none."""
    what: str
    """What is wrong."""

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found of a log."""

    records: int
    """Records that are whole."""
    files: int
    """Files."""
    last: Anchor
    """The last record that is whole: to be kept elsewhere as an anchor."""
    problems: tuple[Problem, ...]
    """What is wrong; empty for a log that is as it was written."""
    notes: tuple[Problem, ...]
    """What the log itself tells of repairs and of records that could not be written."""


@dataclass(slots=True)
class _Walk:
    """What is known of a log up to a line."""

    head: Head | None
    anchor: Anchor | None
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    missing: dict[int, Problem] = field(default_factory=dict)
    expected: int = 1
    prev: str | None = START
    records: int = 0
    last: Anchor = field(default_factory=lambda: Anchor(n=0, hash=START))
    logs: set[str] = field(default_factory=set)
    met_head: bool = False
    met_anchor: bool = False

    def tell(self, file: str, line: int, n: int, what: str) -> None:
        self.problems.append(Problem(file=file, line=line, n=n, what=what))


def verify_log(folder: str | Path, *, anchor: Anchor | None = None) -> Verification:
    """What is wrong with a log. It may be written meanwhile.

    Args:
        folder: where it lies.
        anchor: a record that must be in it as it was.

    Raises:
        AuditLogError: the folder holds no log, or cannot be read.
    """
    path = Path(folder).expanduser()
    try:
        walk = _Walk(head=None, anchor=anchor)
        _take_head(path, walk)
        files = files_of(path)
        if not files and walk.head is None:
            raise AuditLogError(f"audit log: {path} holds none")
        for place, file in enumerate(files, start=1):
            if file_number(file.name) != place and not any(problem.line == 0 for problem in walk.problems):
                walk.tell(file.name, 0, 0, f"expected file number {place}: files before it are missing")
            _take_file(file, walk, last=place == len(files))
    except OSError as error:
        raise AuditLogError(f"audit log: {path} cannot be read: {error.strerror}") from error
    _finish(walk)
    return Verification(
        records=walk.records,
        files=len(files),
        last=walk.last,
        problems=tuple(walk.problems),
        notes=tuple(walk.notes),
    )


def _take_head(folder: Path, walk: _Walk) -> None:
    try:
        walk.head = Head.from_bytes((folder / HEAD).read_bytes())
    except FileNotFoundError:
        if folder.is_dir() and files_of(folder):
            walk.tell(HEAD, 0, 0, "it is missing: records that were cut off at the end would not be missed")
    except (ValueError, TypeError):
        walk.tell(HEAD, 0, 0, "it was changed: it is no head of a log")


def _take_file(file: Path, walk: _Walk, *, last: bool) -> None:
    data = file.read_bytes()
    *lines, torn = data.split(b"\n")
    end = 0
    for number, raw in enumerate(lines, start=1):
        end += len(raw) + 1
        try:
            link = read_line(raw)
        except ValueError as error:
            walk.tell(file.name, number, walk.expected, f"record {walk.expected} was changed: {error}")
            walk.expected, walk.prev = walk.expected + 1, None
            continue
        _take_record(file.name, number, link, walk)
        _meet(file.name, end, link, walk)
    if torn:
        what = "it ends within a record: the writer was killed, or the end was cut off or changed"
        walk.tell(file.name, len(lines) + 1, walk.expected, what if last else "its last record was changed or cut off")
        walk.prev = None


def _take_record(file: str, line: int, link: Link, walk: _Walk) -> None:
    if not link.sound:
        walk.tell(file, line, walk.expected, f"record {walk.expected} was changed: its hash is another")
        walk.expected, walk.prev = walk.expected + 1, None
        return
    n = link.number
    if n < walk.expected:
        if walk.missing.pop(n, None) is not None:
            walk.tell(file, line, n, f"record {n} was moved: it stands behind record {walk.expected - 1}")
        else:
            walk.tell(file, line, n, f"record {n} was put in: it was there before")
        return
    for number in range(walk.expected, n):
        walk.missing[number] = Problem(file=file, line=line, n=number, what="")
    if n == walk.expected and walk.prev is not None and link.prev != walk.prev:
        what = f"record {n} does not follow the one before it: one of them was written anew"
        walk.tell(file, line, n, what)
    walk.records += 1
    walk.expected, walk.prev, walk.last = n + 1, link.hash, Anchor(n=n, hash=link.hash)
    kind = link.record.get("kind")
    if kind == "file":
        walk.logs.add(str(link.record.get("log")))
    elif kind in _TELLING:
        walk.notes.append(Problem(file=file, line=line, n=n, what=_told(link)))


def _meet(file: str, end: int, link: Link, walk: _Walk) -> None:
    """Holds a record to the head and the anchor, if they are about it."""
    head, anchor = walk.head, walk.anchor
    if head is not None and link.number == head.n and link.sound:
        walk.met_head = True
        if (head.hash, head.file, head.size) != (link.hash, file, end):
            walk.tell(HEAD, 0, head.n, f"it does not know record {head.n} as it is: one of them was changed")
    if anchor is not None and link.number == anchor.n and link.sound:
        walk.met_anchor = True
        if anchor.hash != link.hash:
            walk.tell(file, 0, anchor.n, f"record {anchor.n} is not the one that was expected: {anchor.hash}")


def _finish(walk: _Walk) -> None:
    for first, end, problem in _ranges(walk.missing):
        many = f"records {first} to {end} are missing" if end > first else f"record {first} is missing"
        walk.tell(problem.file, problem.line, first, f"{many} before this line")
    head, anchor = walk.head, walk.anchor
    if head is not None and head.n >= walk.expected:
        many = f"records {walk.expected} to {head.n}" if head.n > walk.expected else f"record {head.n}"
        walk.tell(head.file or HEAD, 0, walk.expected, f"{many} at the end are missing")
    if head is not None and walk.logs and walk.logs != {head.log}:
        walk.tell(HEAD, 0, 0, "head and files are not of the same log")
    if anchor is not None and not walk.met_anchor:
        walk.tell(HEAD, 0, anchor.n, f"record {anchor.n}, which was expected, is not there")


def _ranges(missing: dict[int, Problem]) -> Iterator[tuple[int, int, Problem]]:
    """Runs of missing numbers: the first, the last, and where."""
    for _, run in groupby(enumerate(sorted(missing)), key=lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in run]
        yield numbers[0], numbers[-1], missing[numbers[0]]


def _told(link: Link) -> str:
    if link.record.get("kind") == "lost":
        return f"{link.record.get('records')} calls were made before this that could not be recorded"
    return f"a writer found that {link.record.get('what')}"
