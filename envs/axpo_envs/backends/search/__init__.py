"""Searching: documents and hits, a local index, a recorder, and clients of services.

`RetrievalServer` and `Tavily` need the extra `search`, `SentenceTransformerEncoder` needs `dense`; they are loaded when
they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_envs.backends.search._dense import DenseIndex, TextEncoder
from axpo_envs.backends.search._hybrid import HybridSearch
from axpo_envs.backends.search._local import LocalIndex
from axpo_envs.backends.search._recorder import Recorder, RecordMode
from axpo_envs.backends.search._types import Document, Hit, SearchBackend
from axpo_envs.backends.search.serve import SearchServer, serve_search
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.backends.search.retrieval_server import RetrievalServer
    from axpo_envs.backends.search.sentence_transformers_encoder import SentenceTransformerEncoder
    from axpo_envs.backends.search.tavily import Tavily

__all__ = [
    "DenseIndex",
    "Document",
    "Hit",
    "HybridSearch",
    "LocalIndex",
    "RecordMode",
    "Recorder",
    "RetrievalServer",
    "SearchBackend",
    "SearchServer",
    "SentenceTransformerEncoder",
    "Tavily",
    "TextEncoder",
    "serve_search",
]

_HOMES: Final = {
    "RetrievalServer": "axpo_envs.backends.search.retrieval_server",
    "SentenceTransformerEncoder": "axpo_envs.backends.search.sentence_transformers_encoder",
    "Tavily": "axpo_envs.backends.search.tavily",
}

__getattr__ = lazily(__name__, _HOMES)
