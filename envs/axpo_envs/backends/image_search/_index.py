"""Defines `ImageIndex`, a local backend of image search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from axpo_envs.backends.image_search._building import checked_encoder, encoded
from axpo_envs.backends.image_search._files import read_copy, read_table
from axpo_envs.backends.image_search._looks import Looks
from axpo_envs.backends.image_search._types import FoundImage, ImageEncoder
from axpo_envs.errors import EnvConfigError
from axpo_envs.images import ImageRef
from axpo_envs.tool.protocol import Effects


class ImageIndex:
    """Searches an index that `build_image_index` made, by the scalar product of vectors.

    Images that are equally alike are ordered as their rows were. Searching looks at every vector.

    Args:
        folder: the index.
        encoder: what made its vectors; by default `Looks()`.

    Raises:
        EnvConfigError: the folder holds no index, it is damaged, or another encoder made it.
    """

    def __init__(self, folder: str | Path, encoder: ImageEncoder | None = None) -> None:
        self._folder = Path(folder).absolute()
        self._encoder = checked_encoder(Looks() if encoder is None else encoder)
        self._table = read_table(self._folder)
        if self._table.encoder != self._encoder.fingerprint:
            raise EnvConfigError(
                f"the image index {folder} was made by the encoder {self._table.encoder!r}; "
                f"got {self._encoder.fingerprint!r}"
            )

    def __repr__(self) -> str:
        return f"ImageIndex({str(self._folder)!r}, {len(self)} images)"

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageIndex, (self._folder, self._encoder)

    def __len__(self) -> int:
        return len(self._table.entries)

    @property
    def fingerprint(self) -> str:
        """Hash of vectors, texts and copies."""
        return f"image-index:{self._table.digest}"

    @property
    def effects(self) -> Effects:
        """Pure: neither index nor encoder ever change."""
        return Effects.PURE

    def check(self) -> None:
        """Nothing is left to check: the index is open."""

    def search(self, image: ImageRef, top_k: int) -> tuple[FoundImage, ...]:
        """The images whose vectors are most like the image's, best first.

        Raises:
            InfrastructureFault: a copy was damaged after the index was opened.
            EnvConfigError: the encoder's vector is unusable.
        """
        scores = self._table.vectors @ encoded(self._encoder, [image])[0]
        # A stable sort keeps the order of rows among equal scores.
        best = np.argsort(-scores, kind="stable")[:top_k]
        entries = ((self._table.entries[place], float(scores[place])) for place in best)
        return tuple(
            FoundImage(caption=entry.caption, page=entry.page, image=read_copy(self._folder, entry), score=score)
            for entry, score in entries
        )
