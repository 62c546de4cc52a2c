"""Defines the lines of an audit log and its head: how they are written, and how they are read and held to their hashes.

A line is a JSON object with sorted names, in ASCII and without spaces, which ends with its own `hash`: the SHA-256 of
`prev`, the hash of the record before it, and of the object without `hash`. The head is a file of its own, of one fixed
size, that says which record is the last.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from axpo_envs.errors import EnvConfigError

FORMAT: Final = 1
"""Version of the format."""
START: Final = "0" * 64
"""What stands for the hash before the first record."""
HEAD: Final = "head.json"
"""Name of the head's file."""
HEAD_BYTES: Final = 384
"""Size of the head's file."""
_HEAD_TYPES: Final = {"file": str, "hash": str, "log": str, "n": int, "size": int}
_FILE: Final = re.compile(r"calls-(\d{6,})\.jsonl")
_LINE: Final = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)


class AuditLogError(EnvConfigError):
    """A folder is no audit log, or cannot be used as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A line of an audit log, read."""

    record: Mapping[str, Any]
    """What it says."""
    prev: str
    """What it says that the hash of the record before it is."""
    hash: str
    """What it says that its own hash is."""
    sound: bool
    """Whether it is."""

    @property
    def number(self) -> int:
        """Its number, from 1; 0 where it has none."""
        number = self.record.get("n")
        return number if isinstance(number, int) and not isinstance(number, bool) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where an audit log ends."""

    file: str = ""
    """Name of the newest file; empty for a log without records."""
    size: int = 0
    """Bytes of it."""
    n: int = 0
    """Number of the last record."""
    hash: str = START
    """Its hash."""
    log: str = ""
    """Identity of the log: 32 hexadecimal digits."""

    def to_bytes(self) -> bytes:
        """The content of the head's file."""
        said = {"file": self.file, "hash": self.hash, "log": self.log, "n": self.n, "size": self.size}
        return json.dumps(said, separators=(",", ":")).encode().ljust(HEAD_BYTES - 1) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Head:
        """Reads the content of a head's file.

        Raises:
            ValueError: it is none.
        """
        if len(data) != HEAD_BYTES:
            raise ValueError("expected the head of an audit log")
        said = json.loads(data)
        if not isinstance(said, dict) or {name: type(value) for name, value in said.items()} != _HEAD_TYPES:
            raise ValueError("expected the head of an audit log")
        head = cls(**said)
        if head.to_bytes() != data or head.n < 0 or head.size < 0 or (head.file and not file_number(head.file)):
            raise ValueError("expected the head of an audit log")
        return head


def file_name(number: int) -> str:
    """Name of a file of a log, by its number from 1."""
    return f"calls-{number:06d}.jsonl"


def file_number(name: str) -> int:
    """Number of a file of a log; 0 for any other file."""
    match = _FILE.fullmatch(name)
    number = int(match[1]) if match else 0
    return number if number and file_name(number) == name else 0


def files_of(folder: Path) -> list[Path]:
    """The files of a log, in the order in which they were written."""
    return sorted(
        (path for path in folder.iterdir() if file_number(path.name)), key=lambda path: file_number(path.name)
    )


def written(record: Mapping[str, Any], prev: str) -> tuple[bytes, str]:
    """The line of a record behind the one with the hash `prev`, and its own hash."""
    body = _dumped({**record, "prev": prev})
    own = hash_of(prev, body)
    return body[:-1] + b',"hash":"' + own.encode() + b'"}\n', own


def read_line(raw: bytes) -> Link:
    """A line without its line feed.

    Raises:
        ValueError: it is none of an audit log's.
    """
    match = _LINE.fullmatch(raw)
    if match is None:
        raise ValueError("it is no record")
    body, own = match[1] + b"}", match[2].decode()
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    prev = record.get("prev")
    if not isinstance(prev, str):
        raise ValueError("it names no record before it")
    sound = own == hash_of(prev, body) and _dumped(record) == body
    return Link(record=record, prev=prev, hash=own, sound=sound)


def hash_of(prev: str, body: bytes) -> str:
    """The hash of a record's JSON behind the record with the hash `prev`: 64 hexadecimal digits."""
    return hashlib.sha256(prev.encode("ascii", "replace") + body).hexdigest()


def _dumped(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
