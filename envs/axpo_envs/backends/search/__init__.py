"""Searching: documents and hits, a local index, a recorder, and clients of services.

`RetrievalServer` and `Tavily` need the extra `search`, and are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_envs.backends.search._local import LocalIndex
from axpo_envs.backends.search._recorder import Recorder, RecordMode
from axpo_envs.backends.search._types import Document, Hit, SearchBackend
from axpo_envs.backends.search.serve import SearchServer, serve_search
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.backends.search.retrieval_server import RetrievalServer
    from axpo_envs.backends.search.tavily import Tavily

__all__ = [
    "Document",
    "Hit",
    "LocalIndex",
    "RecordMode",
    "Recorder",
    "RetrievalServer",
    "SearchBackend",
    "SearchServer",
    "Tavily",
    "serve_search",
]

_HOMES: Final = {
    "RetrievalServer": "axpo_envs.backends.search.retrieval_server",
    "Tavily": "axpo_envs.backends.search.tavily",
}

__getattr__ = lazily(__name__, _HOMES)
