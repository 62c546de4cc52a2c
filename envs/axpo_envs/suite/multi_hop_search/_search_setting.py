"""Defines what the setting `search` stands for: which backend the tools of a multi-hop environment ask."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from axpo_envs.backends.search import LocalIndex, RetrievalServer, SearchBackend, Tavily
from axpo_envs.backends.search._types import check_backend
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.named_object import load_named, make_plain

_EXPECTED: Final = (
    "'bm25', 'dense:FOLDER', 'hybrid:FOLDER' (of a sentence-transformers checkpoint), 'http://...' of a retrieval "
    "server, 'tavily', 'package.module:name', a SearchBackend, or a function that makes one from the corpus's path"
)


def backend_of(given: Any, corpus: Callable[[], Path]) -> SearchBackend:
    """The backend that a setting stands for.

    Args:
        given: the setting.
        corpus: writes the corpus, if it must be on disk, and returns its path.

    Raises:
        EnvConfigError: the setting stands for nothing, or for something that is no backend.
    """
    if given == "bm25":
        return LocalIndex(corpus())
    if isinstance(given, str):
        return _named(given, corpus)
    return _made(given, corpus)


def _named(name: str, corpus: Callable[[], Path]) -> SearchBackend:
    head, _, rest = name.partition(":")
    if head in ("dense", "hybrid") and rest:
        # The package sentence-transformers is an extra.
        from axpo_envs.backends.search import DenseIndex, HybridSearch, SentenceTransformerEncoder

        path = corpus()
        dense = DenseIndex(path, SentenceTransformerEncoder(rest))
        return dense if head == "dense" else HybridSearch((LocalIndex(path), dense))
    if head in ("http", "https"):
        return RetrievalServer(name)
    if name == "tavily":
        return Tavily()
    if rest:
        return _made(load_named(name, "search"), corpus)
    raise _unusable(name)


def _made(given: Any, corpus: Callable[[], Path]) -> SearchBackend:
    if isinstance(given, type):
        given = make_plain(given, "search")
    elif inspect.isroutine(given):
        given = given(corpus())
    try:
        check_backend(given)
    except EnvConfigError as error:
        raise EnvConfigError(f"search: {error}; expected {_EXPECTED}") from None
    backend: SearchBackend = given
    return backend


def _unusable(given: Any) -> EnvConfigError:
    return EnvConfigError(f"search: expected {_EXPECTED}; got {given!r:.100}")
