"""Defines the files of an image index: a sealed table of vectors and texts, and small copies named by their hashes.

| file | holds |
|---|---|
| `index` | title, checksum, a line of JSON (encoder; caption, page, hash and length of each image), vectors (`.npy`) |
| `images/ab/abcd...` | a small copy as PNG, named by the hash of its bytes |

Copies are written first, and the table last and whole: a build that is killed leaves the old index, or none. Copies are
never changed or removed, so whoever has the old table open goes on.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.images import ImageRef
from axpo_envs.imaging.files import ImageProblemError
from axpo_envs.plumbing.sealed import SealError, seal, unseal
from axpo_envs.plumbing.whole_files import write_whole

_TITLE: Final = b"axpo image index 1"
_TABLE: Final = "index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An image of an index."""

    caption: str
    """What is said of it."""
    page: str
    """Where it is shown."""
    digest: str
    """Hash of its small copy's file, 32 hexadecimal digits."""
    length: int
    """Bytes of that file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All of an index but the copies."""

    encoder: str
    """Fingerprint of what made the vectors."""
    entries: tuple[Entry, ...]
    """The images, in the order of their rows."""
    vectors: NDArray[np.float32]
    """Float32 of shape (images, width)."""
    digest: str = ""
    """Hash of the whole; empty before it is written."""


def write_copy(folder: Path, image: ImageRef) -> tuple[str, int]:
    """Writes a small copy, unless it is there; returns hash and length of its file.

    Raises:
        OSError: it cannot be written.
    """
    data = image.to_png()
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    path = _copy_path(folder, digest)
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    return digest, len(data)


def write_table(folder: Path, table: Table) -> None:
    """Writes the table; from then on the folder is this index.

    Raises:
        OSError: it cannot be written.
    """
    rows = [[entry.caption, entry.page, entry.digest, entry.length] for entry in table.entries]
    body = io.BytesIO()
    body.write(json.dumps({"encoder": table.encoder, "rows": rows}).encode("ascii") + b"\n")
    np.save(body, np.ascontiguousarray(table.vectors, dtype=np.float32))
    write_whole(folder / _TABLE, seal(_TITLE, body.getvalue(), key=None))


def read_table(folder: Path) -> Table:
    """The table of an index; every copy that it names is there and has its length.

    Raises:
        EnvConfigError: there is none, it is damaged, or a copy is missing or cut short.
    """
    try:
        body = unseal(_TITLE, (folder / _TABLE).read_bytes(), key=None)
    except OSError as error:
        expected = "expected the folder of an image index (build_image_index makes one)"
        raise EnvConfigError(f"{expected}: {folder}: {error.strerror or error}") from None
    except SealError as error:
        raise EnvConfigError(f"the image index {folder} is damaged, build it anew: {error}") from None
    line, _, rest = body.partition(b"\n")
    head: dict[str, Any] = json.loads(line)
    entries = tuple(Entry(caption=row[0], page=row[1], digest=row[2], length=row[3]) for row in head["rows"])
    for entry in entries:
        path = _copy_path(folder, entry.digest)
        if not path.is_file() or path.stat().st_size != entry.length:
            raise EnvConfigError(f"the image index {folder} is damaged, build it anew: {path} is missing or cut short")
    vectors = np.load(io.BytesIO(rest), allow_pickle=False)
    digest = hashlib.blake2b(body, digest_size=16).hexdigest()
    return Table(encoder=head["encoder"], entries=entries, vectors=vectors, digest=digest)


def read_copy(folder: Path, entry: Entry) -> ImageRef:
    """A small copy.

    Raises:
        InfrastructureFault: it cannot be read, or is damaged.
    """
    path = _copy_path(folder, entry.digest)
    try:
        data = path.read_bytes()
        if hashlib.blake2b(data, digest_size=16).hexdigest() != entry.digest:
            raise InfrastructureFault(f"{path} of an image index is damaged: it does not match its name")
        return ImageRef.from_bytes(data)
    except (OSError, ImageProblemError) as error:
        raise InfrastructureFault(f"{path} of an image index cannot be read: {error}") from error


def _copy_path(folder: Path, digest: str) -> Path:
    return folder / "images" / digest[:2] / f"{digest}.png"
