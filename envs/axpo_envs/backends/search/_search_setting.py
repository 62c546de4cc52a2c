"""Defines what an environment's setting `search` stands for: which backend its search tools ask."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from axpo_envs.backends.search._local import LocalIndex
from axpo_envs.backends.search._types import SearchBackend, check_backend
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.named_object import load_named, make_plain

_CORPUS: Final = ".jsonl"
_OVER_OWN: Final = "'bm25', 'dense:FOLDER', 'hybrid:FOLDER' (of a sentence-transformers checkpoint), "
_ANYWHERE: Final = (
    "the path of a corpus ('FILE.jsonl'), 'http://...' of a retrieval server, 'tavily', 'package.module:name', "
    "a SearchBackend, or a function that makes one"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSetting:
    """How a setting is read."""

    own: Callable[[], Path] | None = None
    """Writes the environment's own corpus, if it must be on disk, and returns its path; None where it has none."""
    exclude_domains: tuple[str, ...] = ()
    """Domains of which `tavily` finds nothing."""

    @property
    def expected(self) -> str:
        """What a setting may be."""
        from_path = " from the corpus's path" if self.own is not None else ""
        return (_OVER_OWN if self.own is not None else "") + _ANYWHERE + from_path

    def backend_of(self, given: Any) -> SearchBackend:
        """The backend that a setting stands for.

        Args:
            given: the setting.

        Raises:
            EnvConfigError: it stands for nothing, or for something that is no backend, or its corpus cannot be read.
        """
        if isinstance(given, Path):
            return LocalIndex(given)
        if isinstance(given, str):
            return self._named(given)
        return self._made(given)

    def _named(self, name: str) -> SearchBackend:
        head, _, rest = name.partition(":")
        if self.own is not None and (name == "bm25" or (head in ("dense", "hybrid") and rest)):
            return _over(self.own(), head, rest)
        if head in ("http", "https"):
            # Clients of services need packages of an extra.
            from axpo_envs.backends.search.retrieval_server import RetrievalServer

            return RetrievalServer(name)
        if name == "tavily":
            from axpo_envs.backends.search.tavily import Tavily, TavilyOptions

            return Tavily(TavilyOptions(exclude_domains=self.exclude_domains))
        if name.endswith(_CORPUS):
            return LocalIndex(name)
        if rest:
            return self._made(load_named(name, "search"))
        raise EnvConfigError(f"search: expected {self.expected}; got {name!r:.100}")

    def _made(self, given: Any) -> SearchBackend:
        if isinstance(given, type):
            given = make_plain(given, "search")
        elif inspect.isroutine(given):
            given = given() if self.own is None else given(self.own())
        try:
            check_backend(given)
        except EnvConfigError as error:
            raise EnvConfigError(f"search: {error}; expected {self.expected}") from None
        backend: SearchBackend = given
        return backend


def _over(corpus: Path, kind: str, folder: str) -> SearchBackend:
    """A search of a corpus by words (`bm25`), by the embeddings of a checkpoint in a folder, or by both."""
    if not folder:
        return LocalIndex(corpus)
    # The package sentence-transformers is an extra.
    from axpo_envs.backends.search import DenseIndex, HybridSearch, SentenceTransformerEncoder

    dense = DenseIndex(corpus, SentenceTransformerEncoder(folder))
    return dense if kind == "dense" else HybridSearch((LocalIndex(corpus), dense))
