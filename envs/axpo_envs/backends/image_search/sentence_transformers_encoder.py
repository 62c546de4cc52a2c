"""Defines `SentenceTransformerImageEncoder`: embeddings of images by a checkpoint in a folder (extra `dense`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axpo_envs.backends._embedding_checkpoint import EmbeddingCheckpoint
from axpo_envs.images import ImageRef


class SentenceTransformerImageEncoder:
    """Embeds images with a checkpoint that takes them (CLIP, SigLIP, ...) from a folder, on the CPU.

    Nothing is downloaded, and no code of the folder is run. Vectors have length 1, so that their scalar product is the
    cosine.

    Args:
        folder: the checkpoint.

    Raises:
        EnvConfigError: the folder holds no such checkpoint.
        MissingExtraError: sentence-transformers is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        self._checkpoint = EmbeddingCheckpoint(folder, user="SentenceTransformerImageEncoder")

    def __repr__(self) -> str:
        return f"SentenceTransformerImageEncoder({str(self._checkpoint.folder)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return SentenceTransformerImageEncoder, (self._checkpoint.folder,)

    @property
    def fingerprint(self) -> str:
        """Hash of the checkpoint's files."""
        return self._checkpoint.fingerprint

    def encode(self, images: Sequence[ImageRef]) -> NDArray[np.float32]:
        """Vectors of length 1, float32 of shape (images, width)."""
        pictures = [image.to_pil() for image in images]
        with self._checkpoint.model() as model:
            vectors = model.encode(pictures, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)
