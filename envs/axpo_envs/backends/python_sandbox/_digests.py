"""Defines the hashes that name interpreters by their history, and executed cells by what they showed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

_ADDRESS: Final = re.compile(rb" at 0x[0-9a-f]{6,16}\b")


def first_key(seed: int | None) -> str:
    """The name of an interpreter that has executed nothing."""
    return _hash(f"seed {seed}".encode())


def next_key(key: str, code: str, digest: str, images: Sequence[str] = ()) -> str:
    """The name of an interpreter after one more cell, which was given images with these hashes."""
    return _hash(key.encode(), code.encode("utf-8", "surrogatepass"), digest.encode(), *map(str.encode, images))


def output_digest(
    *, succeeded: bool, text: bytes, figures: Sequence[tuple[int, int]], pixels: bytes, scratch: str
) -> str:
    """Hash of what a cell showed.

    Left out is what differs between processes that do the same: addresses in default representations
    (`<object at 0x7f...>`) and the scratch folder's path.
    """
    text = _ADDRESS.sub(b" at 0x", text.replace(scratch.encode(), b"/scratch"))
    return _hash(b"succeeded" if succeeded else b"failed", text, repr(figures).encode(), pixels)


def _hash(*fields: bytes) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    for field in fields:
        hasher.update(len(field).to_bytes(8, "little"))
        hasher.update(field)
    return hasher.hexdigest()
