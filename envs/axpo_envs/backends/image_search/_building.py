"""Defines `build_image_index`, which makes the folder that `ImageIndex` searches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from axpo_envs.backends.image_search._files import Entry, Table, write_copy, write_table
from axpo_envs.backends.image_search._looks import Looks
from axpo_envs.backends.image_search._rows import ImageRow, read_image_rows
from axpo_envs.backends.image_search._types import FoundImage, ImageEncoder
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.imaging.showing import view_image

_BATCH: Final = 32


def build_image_index(
    source: str | Path | Iterable[Mapping[str, Any]],
    folder: str | Path,
    *,
    encoder: ImageEncoder | None = None,
    copy_size: int = 256,
) -> int:
    """Builds an index of images with captions and pages; returns how many it holds.

    The index appears whole: where one stands already, it is the old one until the new one is complete.

    Args:
        source: a JSONL file of rows `{"image", "caption"?, "page"?}`, or such rows. An image is a path, a `data:` URL,
            or, in rows, whatever else questions take (bytes, arrays, Pillow images).
        folder: where the index is written; made where there is none.
        encoder: makes the vectors; by default `Looks()`.
        copy_size: longer side in pixels of the copies that searches show.

    Raises:
        EnvConfigError: a row is wrong (the message names it), there is none, or the encoder's vectors are unusable.
        InfrastructureFault: the index cannot be written.
    """
    encoder = checked_encoder(Looks() if encoder is None else encoder)
    if copy_size < 1:
        raise EnvConfigError(f"expected copy_size >= 1 pixel; got {copy_size}")
    place = Path(folder).absolute()
    entries: list[Entry] = []
    vectors: list[NDArray[np.float32]] = []
    try:
        for batch in _batches(read_image_rows(source)):
            vectors.append(encoded(encoder, [row.image for row in batch]))
            entries += (_entry(place, row, copy_size) for row in batch)
        if not entries:
            raise EnvConfigError(f"{source!r:.200}: expected at least one image")
        table = Table(encoder=encoder.fingerprint, entries=tuple(entries), vectors=_joined(vectors))
        write_table(place, table)
    except OSError as error:
        raise InfrastructureFault(f"cannot write the image index {place}: {error}") from error
    return len(entries)


def checked_encoder(encoder: Any) -> ImageEncoder:
    """Something that has the members of an encoder.

    Raises:
        EnvConfigError: it lacks one.
    """
    if isinstance(encoder, type) or not isinstance(encoder, ImageEncoder):
        raise EnvConfigError(f"encoder: expected an ImageEncoder (fingerprint, encode); got {encoder!r:.100}")
    return encoder


def encoded(encoder: ImageEncoder, images: Sequence[Any]) -> NDArray[np.float32]:
    """The vectors of images.

    Raises:
        EnvConfigError: the encoder makes others than finite ones, one for each image.
    """
    made = np.ascontiguousarray(encoder.encode(images), dtype=np.float32)
    if made.ndim != 2 or len(made) != len(images) or not np.isfinite(made).all():
        raise EnvConfigError(
            f"encoder: expected finite vectors of shape ({len(images)}, width); got shape {made.shape}"
        )
    return made


def _batches(rows: Iterator[ImageRow]) -> Iterator[list[ImageRow]]:
    batch: list[ImageRow] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _entry(folder: Path, row: ImageRow, copy_size: int) -> Entry:
    digest, length = write_copy(folder, view_image(row.image, copy_size))
    found = FoundImage(caption=row.caption, page=row.page)
    return Entry(caption=found.caption, page=found.page, digest=digest, length=length)


def _joined(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    if len({made.shape[1] for made in vectors}) > 1:
        raise EnvConfigError("encoder: expected vectors of one width; it made several")
    return np.concatenate(vectors)
