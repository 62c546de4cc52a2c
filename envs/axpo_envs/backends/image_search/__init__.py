"""Searching by an image: a local index of pictures with captions and pages, and the client of a service.

`ImageSearchService` needs the extra `search`, `SentenceTransformerImageEncoder` needs `dense`; they are loaded when
they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from axpo_envs.backends.image_search._building import build_image_index
from axpo_envs.backends.image_search._index import ImageIndex
from axpo_envs.backends.image_search._looks import Looks
from axpo_envs.backends.image_search._types import FoundImage, ImageEncoder, ImageSearchBackend
from axpo_envs.plumbing.lazy import lazily

if TYPE_CHECKING:
    from axpo_envs.backends.image_search.sentence_transformers_encoder import SentenceTransformerImageEncoder
    from axpo_envs.backends.image_search.service import ImageSearchService

__all__ = [
    "FoundImage",
    "ImageEncoder",
    "ImageIndex",
    "ImageSearchBackend",
    "ImageSearchService",
    "Looks",
    "SentenceTransformerImageEncoder",
    "build_image_index",
]

_HOMES: Final = {
    "ImageSearchService": "axpo_envs.backends.image_search.service",
    "SentenceTransformerImageEncoder": "axpo_envs.backends.image_search.sentence_transformers_encoder",
}

__getattr__ = lazily(__name__, _HOMES)
