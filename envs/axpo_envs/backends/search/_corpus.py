"""Defines how a corpus file is read: one JSON object a line, each a document."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from axpo_envs.backends.search._types import Document
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.strict_json import JsonError, read_json

_BLOCK: Final = 1 << 20


def read_corpus(path: Path) -> Iterator[tuple[int, Document]]:
    """The documents of a JSONL file with the lines they stand on (from 1); empty lines are skipped.

    Raises:
        EnvConfigError: the file cannot be read, or a line is no document (see `Document.from_row`); the message
            names file and line.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _document(line, f"{path}:{number}")
    except OSError as error:
        raise _unreadable(path, error) from error


def corpus_digest(path: Path) -> str:
    """Hash of a file's bytes, 32 hexadecimal digits.

    Raises:
        EnvConfigError: the file cannot be read.
    """
    hasher = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                hasher.update(block)
    except OSError as error:
        raise _unreadable(path, error) from error
    return hasher.hexdigest()


def _document(line: bytes, where: str) -> Document:
    try:
        # Some editors begin a file with a byte order mark.
        return Document.from_row(read_json(line.decode("utf-8-sig"), halves=True))
    except UnicodeDecodeError as error:
        raise EnvConfigError(f"{where}: expected UTF-8 text; byte {error.start} of the line is none") from None
    except JsonError as error:
        raise EnvConfigError(f"{where}: expected a JSON object; the line {error}") from None
    except ValueError as error:
        raise EnvConfigError(f"{where}: {error}") from None


def _unreadable(path: Path, error: OSError) -> EnvConfigError:
    return EnvConfigError(f"cannot read the corpus {path}: {error.strerror or error}")
