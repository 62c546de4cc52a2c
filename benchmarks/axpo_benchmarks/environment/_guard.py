"""Defines the contamination guard: searches that find nothing on the sites that carry a benchmark.

The paper excludes huggingface.co. `sites_of` adds the mirrors of it, and the benchmark's own pages. A service that can
exclude sites is asked to; whatever it, or any other search, finds there all the same is dropped, and is not opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

from axpo_benchmarks.loaders import Benchmark
from axpo_envs.backends.image_search import FoundImage, ImageSearchBackend
from axpo_envs.backends.search import Document, Hit, SearchBackend
from axpo_envs.digest import digest_of
from axpo_envs.images import ImageRef
from axpo_envs.tool.protocol import Effects

_Backend = TypeVar("_Backend", bound=SearchBackend | ImageSearchBackend)
_Found = TypeVar("_Found")

_CARRIERS: Final = ("huggingface.co", "hf.co", "hf-mirror.com", "modelscope.cn", "modelscope.ai")
"""Sites that carry any data set."""
_SPARE: Final = 10
"""Hits beyond those asked for: what is dropped leaves as many as were asked for."""


def sites_of(benchmark: Benchmark) -> tuple[str, ...]:
    """The sites on which a benchmark's questions and answers can be read."""
    return (*_CARRIERS, *benchmark.sites)


def _is_on(address: str, sites: tuple[str, ...]) -> bool:
    """Whether an address, with or without a scheme, lies on one of the sites.

    A site is a host, which stands for its subdomains, too, or a host with the beginning of a path.
    """
    whole = address if "//" in address else f"//{address}"
    try:
        parts = urlsplit(whole)
        host = (parts.hostname or "").removesuffix(".")
    except ValueError:
        return False
    for site in sites:
        name, _, path = site.partition("/")
        is_host = host == name or host.endswith(f".{name}")
        if is_host and (not path or f"{parts.path.lower()}/".startswith(f"/{path}/")):
            return True
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guarded(Generic[_Backend]):
    """What searches without some sites share."""

    backend: _Backend
    """What is searched."""
    sites: tuple[str, ...]
    """Hosts, subdomains included, or hosts with the beginning of a path."""

    @property
    def fingerprint(self) -> str:
        """The backend's, with the sites."""
        return f"guarded:{digest_of(self.sites)}:{self.backend.fingerprint}"

    @property
    def effects(self) -> Effects:
        """The backend's."""
        return self.backend.effects

    def check(self) -> None:
        """As the backend."""
        self.backend.check()

    def _elsewhere(
        self, search: Callable[[int], tuple[_Found, ...]], top_k: int, address: Callable[[_Found], str]
    ) -> tuple[_Found, ...]:
        """The best that a search finds elsewhere; it asks again for more where something was dropped."""
        found = search(top_k)
        if any(_is_on(address(one), self.sites) for one in found):
            found = search(top_k + _SPARE)
        return tuple(one for one in found if not _is_on(address(one), self.sites))[:top_k]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedSearch(_Guarded[SearchBackend]):
    """A search without the hits on some sites."""

    @property
    def opens(self) -> bool:
        """The backend's."""
        return self.backend.opens

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        """The best hits elsewhere, best first; as the backend."""
        return self._elsewhere(lambda wanted: self.backend.search(query, wanted), top_k, lambda hit: hit.document.id)

    def open(self, id: str) -> Document | None:
        """The document, unless it is on one of the sites; as the backend."""
        return None if _is_on(id, self.sites) else self.backend.open(id)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedImageSearch(_Guarded[ImageSearchBackend]):
    """An image search without what some sites show."""

    def search(self, image: ImageRef, top_k: int) -> tuple[FoundImage, ...]:
        """The images elsewhere that are most alike, the best first; as the backend."""
        return self._elsewhere(lambda wanted: self.backend.search(image, wanted), top_k, lambda one: one.page)
