"""Searching: documents and hits, a local index, a recorder; the clients of services are modules of their own.

`axpo_envs.backends.search.retrieval_server` and `axpo_envs.backends.search.tavily` need the extra `search`.
"""

from axpo_envs.backends.search._local import LocalIndex
from axpo_envs.backends.search._recorder import Recorder, RecordMode
from axpo_envs.backends.search._types import Document, Hit, SearchBackend
from axpo_envs.backends.search.serve import SearchServer, serve_search

__all__ = [
    "Document",
    "Hit",
    "LocalIndex",
    "RecordMode",
    "Recorder",
    "SearchBackend",
    "SearchServer",
    "serve_search",
]
