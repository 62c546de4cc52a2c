"""Defines JSON files that carry a checksum of their own content, so that no change of them goes unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from axpo_envs.plumbing.whole_files import write_whole

CHECKSUM: Final = "checksum"
"""The entry that holds the checksum of all others."""


class DamagedFileError(ValueError):
    """A file is not what was written: something else than this program changed it. The message says where."""


def render(content: Mapping[str, Any]) -> bytes:
    """The bytes of a file that holds this content and its checksum."""
    return _rendered({CHECKSUM: checksum(content), **content})


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON object with its checksum; the file is the old one or the new one.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    write_whole(path, render(content))


def read(path: Path) -> dict[str, Any]:
    """The content of a file that `write` made, without its checksum.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedFileError: a byte of it was changed.
    """
    data = path.read_bytes()
    try:
        content = json.loads(data)
    except ValueError as error:
        raise DamagedFileError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} cannot be read: expected a JSON object; got {data[:60]!r}")
    given = content.pop(CHECKSUM, None)
    if given is None:
        raise DamagedFileError(f"{path} is damaged: it has no {CHECKSUM}")
    # The bytes are compared, too: JSON has many ways to write one content.
    if given != checksum(content) or data != render(content):
        raise DamagedFileError(f"{path} is damaged: its content does not match its {CHECKSUM}")
    return content


def checksum(content: Mapping[str, Any]) -> str:
    """The SHA-256 of a JSON object, whatever the order of its entries."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rendered(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"
