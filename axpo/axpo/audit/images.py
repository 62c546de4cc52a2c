"""Defines `images_of`: the images that a stranger's record keeps within itself, or a run of ours beside it.

Records are untrusted: no address is fetched, and of files none is opened but those that our own runs name by digest.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from axpo_envs.images import ImageRef
from axpo_envs.imaging.files import ImageProblemError

_MOST_NODES: Final = 20_000
_LARGEST: Final = 32 << 20
"""Bytes of an image's file."""
_DATA: Final = re.compile(r"data:image/[\w.+-]+;base64,", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{16,128}", re.ASCII)


def images_of(record: Mapping[str, Any], file: Path, most: int) -> tuple[ImageRef, ...]:
    """The first images of a record in reading order, each once; what cannot be decoded is passed over.

    Args:
        record: the record; images are `data:` addresses, bytes of files (as in Parquet), or digests of our own runs.
        file: the file that holds the record; our own runs keep images beside it.
        most: how many images at most.
    """
    found: dict[str, ImageRef] = {}
    for data in _files_within(record, file.parent / "images"):
        try:
            image = ImageRef.from_bytes(data)
        except ImageProblemError:
            continue
        found.setdefault(image.digest, image)
        if len(found) >= most:
            break
    return tuple(found.values())


def _files_within(record: Any, beside: Path) -> Iterator[bytes]:
    """Bytes of images, depth first; a record of however many nodes takes bounded time."""
    stack = [record]
    for _ in range(_MOST_NODES):
        if not stack:
            return
        node = stack.pop()
        if isinstance(node, Mapping):
            if (data := _saved_by_us(node, beside)) is not None:
                yield data
            stack += reversed(list(node.values()))
        elif isinstance(node, list | tuple):
            stack += reversed(node[:_MOST_NODES])
        elif isinstance(node, bytes) and len(node) <= _LARGEST:
            yield node
        elif isinstance(node, str) and (match := _DATA.match(node)) and len(node) <= 2 * _LARGEST:
            try:
                yield base64.b64decode(node[match.end() :], validate=True)
            except (binascii.Error, ValueError):
                continue


def _saved_by_us(node: Mapping[str, Any], beside: Path) -> bytes | None:
    digest = node.get("image")
    if set(node) != {"image", "width", "height"} or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        return None
    path = beside / f"{digest}.png"
    try:
        return path.read_bytes() if path.stat().st_size <= _LARGEST else None
    except OSError:
        return None
