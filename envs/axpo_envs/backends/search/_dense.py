"""Defines `DenseIndex`: search by the similarity of embeddings, and `TextEncoder`, the protocol of what makes them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from axpo_envs.backends.search._corpus import corpus_digest, read_corpus
from axpo_envs.backends.search._index_file import default_cache
from axpo_envs.backends.search._query import clean_query
from axpo_envs.backends.search._types import Document, Hit
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.sealed import SealError, seal, unseal
from axpo_envs.plumbing.whole_files import write_whole
from axpo_envs.tool.protocol import Effects, ToolError

_VERSION: Final = 2
"""Version of the file of embeddings."""
_TITLE: Final = f"axpo embeddings {_VERSION}".encode()


@runtime_checkable
class TextEncoder(Protocol):
    """Turns texts into vectors whose scalar products say how alike the texts are."""

    @property
    def fingerprint(self) -> str:
        """Identifies the weights and every setting that changes the vectors."""
        ...

    def encode(self, texts: Sequence[str], *, queries: bool) -> NDArray[np.float32]:
        """One row for each text, float32 of shape (texts, width); equal texts get equal rows.

        Args:
            texts: at least one.
            queries: whether they are queries, which some models mark otherwise than documents.
        """
        ...


class DenseIndex:
    """Searches a JSONL corpus by the scalar product of embeddings; equal scores are ordered by id.

    The first use of a corpus embeds it, later uses read the vectors from a file. Searching looks at every vector:
    12,000 of width 384 take a few milliseconds.

    Args:
        corpus: the file, as `LocalIndex` reads it.
        encoder: makes the vectors.
        cache: folder for vectors; `axpo/search` in the user's cache folder by default.

    Raises:
        EnvConfigError: the corpus is unreadable, empty or wrong, or the encoder is none.
        InfrastructureFault: the vectors cannot be written.
    """

    def __init__(self, corpus: str | Path, encoder: TextEncoder, *, cache: str | Path | None = None) -> None:
        if isinstance(encoder, type) or not isinstance(encoder, TextEncoder):
            raise EnvConfigError(f"encoder: expected a TextEncoder (fingerprint, encode); got {encoder!r:.100}")
        self._corpus = Path(corpus).absolute()
        self._encoder = encoder
        self._cache = default_cache() if cache is None else Path(cache).absolute()
        digest = corpus_digest(self._corpus)
        documents = sorted((document for _, document in read_corpus(self._corpus)), key=lambda document: document.id)
        self._documents = tuple(documents)
        self._by_id = {document.id: document for document in documents}
        if not documents or len(self._by_id) < len(documents):
            raise EnvConfigError(f"{corpus}: expected documents with different ids; got {len(documents)} documents")
        key = hashlib.blake2b(f"{_VERSION}/{encoder.fingerprint}/{digest}".encode(), digest_size=16).hexdigest()
        self._name = key
        self._vectors = self._embedded(self._cache / f"{key}.npy")

    def __repr__(self) -> str:
        return f"DenseIndex({str(self._corpus)!r}, {len(self._documents)} documents)"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._corpus, self._encoder, self._cache)

    def __len__(self) -> int:
        return len(self._documents)

    @property
    def fingerprint(self) -> str:
        """Names the corpus by its bytes, and the encoder."""
        return f"dense:{self._name}"

    @property
    def effects(self) -> Effects:
        """Pure: neither vectors nor encoder ever change."""
        return Effects.PURE

    @property
    def opens(self) -> bool:
        """True: every document can be opened."""
        return True

    def check(self) -> None:
        """Nothing is left to check: the vectors are there."""

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        """The documents whose vectors are most like the query's, best first.

        Raises:
            ToolError: the query is empty.
        """
        cleaned = clean_query(query)
        if not cleaned:
            raise ToolError("the query holds no word or number to search for")
        scores = self._vectors @ self._encoder.encode([cleaned], queries=True)[0]
        # Documents are sorted by id, and a stable sort keeps that order among equal scores.
        best = np.argsort(-scores, kind="stable")[:top_k]
        return tuple(Hit(document=self._documents[place], score=float(scores[place])) for place in best)

    def open(self, id: str) -> Document | None:
        """The document of that id; None if there is none."""
        return self._by_id.get(id)

    def _embedded(self, path: Path) -> NDArray[np.float32]:
        try:
            return _read(path)
        except (OSError, SealError):
            pass  # there are none yet, or they are damaged
        texts = [document.contents for document in self._documents]
        made = np.ascontiguousarray(self._encoder.encode(texts, queries=False), dtype=np.float32)
        if made.ndim != 2 or len(made) != len(texts) or not np.isfinite(made).all():
            raise EnvConfigError(
                f"encoder: expected finite vectors of shape ({len(texts)}, width); got shape {made.shape}"
            )
        try:
            _write(path, made)
        except OSError as error:
            raise InfrastructureFault(f"cannot write the vectors of {self._corpus} as {path}: {error}") from error
        return made


def _read(path: Path) -> NDArray[np.float32]:
    body = unseal(_TITLE, path.read_bytes(), key=None)
    vectors: NDArray[np.float32] = np.load(io.BytesIO(body), allow_pickle=False)
    return vectors


def _write(path: Path, vectors: NDArray[np.float32]) -> None:
    file = io.BytesIO()
    np.save(file, vectors)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, seal(_TITLE, file.getvalue(), key=None))


def _reopened(corpus: Path, encoder: TextEncoder, cache: Path) -> DenseIndex:
    return DenseIndex(corpus, encoder, cache=cache)
