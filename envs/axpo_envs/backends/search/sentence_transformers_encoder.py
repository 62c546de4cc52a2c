"""Defines `SentenceTransformerEncoder`: embeddings of a checkpoint in a folder (extra `dense`)."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.extras import require_extra, requiring


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
        require_extra("dense", "SentenceTransformerEncoder")
        self._folder = Path(folder).absolute()
        if not (self._folder / "modules.json").is_file():
            raise EnvConfigError(f"expected the folder of a sentence-transformers checkpoint; got {folder}")
        self._prompts = {True: query_prompt, False: document_prompt}
        self._fingerprint = _hash_of(self._folder, query_prompt, document_prompt)
        self._lock = threading.Lock()
        self._model: Any = None

    def __repr__(self) -> str:
        return f"SentenceTransformerEncoder({str(self._folder)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _loaded, (self._folder, self._prompts[True], self._prompts[False])

    @property
    def fingerprint(self) -> str:
        """Hash of the checkpoint's files and of the prompts."""
        return self._fingerprint

    def encode(self, texts: Sequence[str], *, queries: bool) -> NDArray[np.float32]:
        """Vectors of length 1, float32 of shape (texts, width)."""
        with self._lock:
            if self._model is None:
                self._model = self._load()
            encode = self._model.encode_query if queries else self._model.encode_document
            given = self._prompts[queries]
            options = {} if given is None else {"prompt": given}
            vectors = encode(list(texts), normalize_embeddings=True, show_progress_bar=False, **options)
        return np.asarray(vectors, dtype=np.float32)

    def _load(self) -> Any:
        with requiring("dense", "SentenceTransformerEncoder"):
            from sentence_transformers import SentenceTransformer
        try:
            return SentenceTransformer(str(self._folder), device="cpu", local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise EnvConfigError(f"cannot load the checkpoint {self._folder}: {error}") from error


def _hash_of(folder: Path, *prompts: str | None) -> str:
    hasher = hashlib.sha256(repr(prompts).encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        hasher.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            hasher.update(hashlib.file_digest(file, "sha256").digest())
    return f"sentence-transformers:{hasher.hexdigest()[:32]}"


def _loaded(folder: Path, query_prompt: str | None, document_prompt: str | None) -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder(folder, query_prompt=query_prompt, document_prompt=document_prompt)
