"""Defines `tools_for`: the tools of a benchmark's environment, whose searches find nothing where it is published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from axpo_benchmarks.environment._guard import GuardedImageSearch, GuardedSearch, sites_of
from axpo_benchmarks.loaders import Benchmark
from axpo_envs.errors import EnvConfigError
from axpo_envs.suite.tool_task import tools_of
from axpo_envs.tool.protocol import Tool
from axpo_envs.tools.image_search import ImageSearch
from axpo_envs.tools.image_zoom_in import ImageZoomIn
from axpo_envs.tools.paper_set import PAPER_SEARCH, PAPER_SET, paper_python, paper_tools
from axpo_envs.tools.search import Search

NO_TOOLS: Final = "none"
"""Stands for no tool at all."""
IMAGE_SEARCH: Final = "image_search:"
"""Begins a text that names an image search by the folder of its index or by the address of its service."""
_PYTHON: Final = "python"
_SEARCH: Final = "search"
_ZOOM: Final = "image_zoom_in"
_HITS: Final = 5
_EXTRACT_CHARS: Final = 1000
_CROP_SIZE: Final = 1024

_BY_KIND: Final = {"reasoning": (_PYTHON,), "perception": (_ZOOM,), "search": (_ZOOM,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """Makes the tools of one environment."""

    benchmark: Benchmark
    search: Any
    view_size: int | None

    def each(self, given: Any) -> Iterator[Tool]:
        if isinstance(given, str):
            yield from self._named(given)
        elif isinstance(given, list | tuple):
            for one in given:
                yield from self.each(one)
        else:
            yield from tools_of(given, search=None, view_size=self.view_size)

    def _named(self, name: str) -> Iterable[Tool]:
        if name == NO_TOOLS:
            return ()
        if name == PAPER_SET:
            return self._paper()
        single: dict[str, Callable[[], Tool]] = {_PYTHON: paper_python, _ZOOM: self._zoom, _SEARCH: self._search}
        if name in single:
            return (single[name](),)
        if name.startswith(IMAGE_SEARCH):
            return (self._image_search(name.removeprefix(IMAGE_SEARCH)),)
        return tools_of(name, search=None, view_size=self.view_size)

    def _paper(self) -> tuple[Tool, ...]:
        if self.search is None:
            return (paper_python(), self._zoom())
        return paper_tools(self._backend(), view_size=self.view_size)

    def _zoom(self) -> Tool:
        return ImageZoomIn(view_size=_CROP_SIZE if self.view_size is None else None)

    def _search(self) -> Tool:
        return Search(self._backend(), top_k=_HITS, extract_chars=_EXTRACT_CHARS)

    def _backend(self) -> GuardedSearch:
        sites = sites_of(self.benchmark)
        hosts = tuple(site for site in sites if "/" not in site)
        setting = replace(PAPER_SEARCH, exclude_domains=hosts)
        if self.search is None:
            raise EnvConfigError(f"the tool search needs search, what is searched: {setting.expected}")
        return GuardedSearch(backend=setting.backend_of(self.search), sites=sites)

    def _image_search(self, where: str) -> Tool:
        if not where:
            raise EnvConfigError(f"tools: expected '{IMAGE_SEARCH}FOLDER' or '{IMAGE_SEARCH}URL'; got nothing behind")
        if where.startswith(("http://", "https://")):
            # The package httpx is an extra.
            from axpo_envs.backends.image_search.service import ImageSearchService

            backend: Any = ImageSearchService(where)
        else:
            from axpo_envs.backends.image_search import ImageIndex

            backend = ImageIndex(where)
        return ImageSearch(GuardedImageSearch(backend=backend, sites=sites_of(self.benchmark)))


def tools_for(benchmark: Benchmark, given: Any, *, search: Any, view_size: int | None) -> tuple[Tool, ...]:
    """The tools.

    Args:
        benchmark: which pages the searches leave out.
        given: what `BenchmarkSettings.tools` may be.
        search: what `search` searches; None for no search.
        view_size: the environment's view size; where it is None, crops are 1024 pixels wide.

    Raises:
        EnvConfigError: something is no tool, or cannot be made here, or `search` is missing, or not needed.
    """
    if given is None:
        given = _BY_KIND[benchmark.kind] if search is None else (*_BY_KIND[benchmark.kind], _SEARCH)
    tools = tuple(_Maker(benchmark=benchmark, search=search, view_size=view_size).each(given))
    if search is not None and not any(isinstance(tool, Search) for tool in tools):
        raise EnvConfigError(f"search={search!r:.100} is what the tool search asks; tools are {given!r:.100}")
    return tools
