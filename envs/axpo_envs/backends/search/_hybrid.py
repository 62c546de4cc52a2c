"""Defines `HybridSearch`: several backends of one corpus, their rankings fused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from axpo_envs.backends.search._types import Document, Hit, SearchBackend, check_backend
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError
from axpo_envs.tool.protocol import Effects, ToolError

_DEPTH: Final = 50


class HybridSearch:
    """Asks several backends and ranks what they find by reciprocal rank fusion.

    A document's score is the sum of `1 / (k + rank)` over the backends that rank it among their best, ranks from 1
    (Cormack, Clarke and Buettcher 2009). Equal scores are ordered by id.

    Args:
        backends: at least two, of the same documents.
        k: the constant; a larger one makes first places count less.

    Raises:
        EnvConfigError: there are fewer than two backends, one is none, or k is negative.
    """

    def __init__(self, backends: Sequence[SearchBackend], *, k: int = 60) -> None:
        if len(backends) < 2 or k < 0:
            raise EnvConfigError(f"expected at least two backends and k >= 0; got {len(backends)} and k={k}")
        for backend in backends:
            check_backend(backend)
        self._backends = tuple(backends)
        self._k = k

    @property
    def fingerprint(self) -> str:
        """Those of the backends, hashed with k."""
        return f"hybrid:{digest_of(self._k, tuple(backend.fingerprint for backend in self._backends))}"

    @property
    def effects(self) -> Effects:
        """Pure where every backend is."""
        return next((backend.effects for backend in self._backends if backend.effects != Effects.PURE), Effects.PURE)

    @property
    def opens(self) -> bool:
        """Whether any backend opens documents."""
        return any(backend.opens for backend in self._backends)

    def check(self) -> None:
        """Checks every backend.

        Raises:
            EnvConfigError: one cannot be used.
        """
        for backend in self._backends:
            backend.check()

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        """The documents of the highest fused scores.

        Raises:
            ToolError: no backend can search for such a query; one that cannot is left out.
            InfrastructureFault: a backend cannot be reached.
            EnvConfigError: a backend refuses its settings.
        """
        scores: dict[str, float] = {}
        documents: dict[str, Document] = {}
        refusals: list[ToolError] = []
        for backend in self._backends:
            try:
                hits = backend.search(query, max(top_k, _DEPTH))
            except ToolError as refusal:
                refusals.append(refusal)
                continue
            for rank, hit in enumerate(hits, start=1):
                documents.setdefault(hit.document.id, hit.document)
                scores[hit.document.id] = scores.get(hit.document.id, 0.0) + 1 / (self._k + rank)
        if len(refusals) == len(self._backends):
            raise refusals[0]
        best = sorted(scores, key=lambda id: (-scores[id], id))[:top_k]
        return tuple(Hit(document=documents[id], score=scores[id]) for id in best)

    def open(self, id: str) -> Document | None:
        """The document of that id, from the first backend that has it; None if there is none."""
        found = (backend.open(id) for backend in self._backends if backend.opens)
        return next((document for document in found if document is not None), None)
