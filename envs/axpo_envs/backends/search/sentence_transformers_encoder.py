"""Defines `SentenceTransformerEncoder`: embeddings of a checkpoint in a folder (extra `dense`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axpo_envs.backends._embedding_checkpoint import EmbeddingCheckpoint


class SentenceTransformerEncoder:
    """Embeds with a checkpoint from a folder, on the CPU; nothing is downloaded, and no code of the folder is run.

    Vectors have length 1, so that their scalar product is the cosine. Models that mark queries and documents apart
    (E5's `query: `, say) do so through their own prompts, or through those given here.

    Args:
        folder: the checkpoint.
        query_prompt: written before every query; None takes the checkpoint's own, if it has one.
        document_prompt: the same for documents.

    Raises:
        EnvConfigError: the folder holds no such checkpoint.
        MissingExtraError: sentence-transformers is not installed.
    """

    def __init__(
        self, folder: str | Path, *, query_prompt: str | None = None, document_prompt: str | None = None
    ) -> None:
        self._prompts = {True: query_prompt, False: document_prompt}
        self._checkpoint = EmbeddingCheckpoint(
            folder, user="SentenceTransformerEncoder", settings=(query_prompt, document_prompt)
        )

    def __repr__(self) -> str:
        return f"SentenceTransformerEncoder({str(self._checkpoint.folder)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _loaded, (self._checkpoint.folder, self._prompts[True], self._prompts[False])

    @property
    def fingerprint(self) -> str:
        """Hash of the checkpoint's files and of the prompts."""
        return self._checkpoint.fingerprint

    def encode(self, texts: Sequence[str], *, queries: bool) -> NDArray[np.float32]:
        """Vectors of length 1, float32 of shape (texts, width)."""
        given = self._prompts[queries]
        options = {} if given is None else {"prompt": given}
        with self._checkpoint.model() as model:
            encode = model.encode_query if queries else model.encode_document
            vectors = encode(list(texts), normalize_embeddings=True, show_progress_bar=False, **options)
        return np.asarray(vectors, dtype=np.float32)


def _loaded(folder: Path, query_prompt: str | None, document_prompt: str | None) -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder(folder, query_prompt=query_prompt, document_prompt=document_prompt)
