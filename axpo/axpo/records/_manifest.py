"""Defines the manifest of a folder: which files it was written with, and the hash of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from axpo.records import _checked_json as checked_json
from axpo.records._checked_json import DamagedFileError, file_hash

MANIFEST: Final = "manifest.json"
_FILES: Final = "files"


def write_manifest(folder: Path) -> None:
    """Lists every file of a folder that is complete but for this.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    hashes = {name: file_hash(folder / name) for name in _names(folder)}
    (folder / MANIFEST).write_bytes(checked_json.render({_FILES: hashes}))


def check_manifest(folder: Path) -> None:
    """Makes sure that a folder holds what its manifest lists, bit for bit, and nothing else but hidden files.

    Raises:
        DamagedFileError: a file is damaged, missing or was not there when the folder was written; the message names it.
        OSError: a file cannot be read.
    """
    try:
        hashes = checked_json.read(folder / MANIFEST).get(_FILES)
    except FileNotFoundError:
        raise DamagedFileError(f"{folder}: {MANIFEST} is missing") from None
    if not isinstance(hashes, dict) or not hashes:
        raise DamagedFileError(f"{folder}: {MANIFEST} lists no files")
    found = set(_names(folder))
    for name, expected in hashes.items():
        if name not in found:
            raise DamagedFileError(f"{folder}: {name} is missing")
        if file_hash(folder / name) != expected:
            raise DamagedFileError(f"{folder}: {name} is damaged: its content does not match {MANIFEST}")
    if unknown := sorted(found - hashes.keys()):
        raise DamagedFileError(f"{folder}: {unknown[0]} was added after the folder had been written")


def manifest_hash(folder: Path) -> str:
    """What stands for the content of the whole folder: the hash of its manifest; empty where there is none."""
    path = folder / MANIFEST
    return file_hash(path) if path.is_file() else ""


def _names(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST and not name.startswith("."):
            yield name
