"""Defines how the tools of a ToolTask are read: `tools_of` makes them of everything that a user may give as one."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.named_object import load_named, make_plain
from axpo_envs.tool._function import tool
from axpo_envs.tool.protocol import Tool
from axpo_envs.tools.paper_set import PAPER_SEARCH, PAPER_SET, paper_tools

MCP_PREFIX: Final = "mcp:"
"""Begins a text that names an MCP server by its command or address."""
IMAGE_SEARCH_PREFIX: Final = "image_search:"
"""Begins a text that names an image search by the folder of its index or by the address of its service."""
_NAMED: Final = {
    "image_zoom_in": "ImageZoomIn",
    "measure": "Measure",
    "ocr": "Ocr",
    "sql": "SqlTool",
    "shell": "ShellTool",
    "edit": "EditTool",
    "browser": "BrowserTool",
}
"""Tools that need no settings. The last four start with what the question's column of their name says."""


def tools_of(given: Any, *, search: Any, view_size: int | None) -> tuple[Tool, ...]:
    """The tools of everything that a user may give as one.

    Args:
        given: the setting `tools`.
        search: the setting `search`, what the paper's tools search.
        view_size: the environment's view size.

    Raises:
        EnvConfigError: something is no tool, or cannot be loaded, or `search` is missing, or not needed.
    """
    if search is not None and not asks_for_paper(given):
        raise EnvConfigError(f"search={search!r:.100} is what tools={PAPER_SET!r} search; tools are {given!r:.100}")
    return tuple(_each(given, search, view_size))


def asks_for_paper(given: Any) -> bool:
    """Whether the paper's tools are among those given."""
    if isinstance(given, str):
        return given == PAPER_SET
    return isinstance(given, list | tuple) and any(map(asks_for_paper, given))


def _each(given: Any, search: Any, view_size: int | None) -> Iterator[Tool]:
    if isinstance(given, str):
        yield from _paper(search, view_size) if given == PAPER_SET else _each(_of_text(given), search, view_size)
    elif isinstance(given, Tool) and not isinstance(given, type):
        yield given
    elif isinstance(given, type):
        yield from _each(make_plain(given, "tools"), search, view_size)
    elif inspect.isroutine(given):
        yield tool(given)
    elif isinstance(given, Iterable) and not isinstance(given, bytes | Mapping):
        for one in given:
            yield from _each(one, search, view_size)
    else:
        raise _no_tool(given)


def _paper(search: Any, view_size: int | None) -> tuple[Tool, ...]:
    if search is None:
        raise EnvConfigError(
            f"tools={PAPER_SET!r} needs search, what its tool `search` searches: {PAPER_SEARCH.expected}"
        )
    return paper_tools(PAPER_SEARCH.backend_of(search), view_size=view_size)


def _of_text(name: str) -> Any:
    if name in _NAMED:
        # Some need an extra, or what not every system has.
        return getattr(importlib.import_module("axpo_envs.tools"), _NAMED[name])()
    if name.startswith(MCP_PREFIX):
        # The package mcp is an extra.
        from axpo_envs.backends.mcp import mcp_tools

        return mcp_tools(name.removeprefix(MCP_PREFIX))
    if name.startswith(IMAGE_SEARCH_PREFIX):
        return _image_search(name.removeprefix(IMAGE_SEARCH_PREFIX))
    if ":" not in name:
        raise _no_tool(name)
    return load_named(name, "tools")


def _image_search(where: str) -> Tool:
    if not where:
        raise EnvConfigError("tools: expected 'image_search:FOLDER' or 'image_search:URL'; got 'image_search:'")
    from axpo_envs.tools.image_search import ImageSearch

    if where.startswith(("http://", "https://")):
        # The package httpx is an extra.
        from axpo_envs.backends.image_search.service import ImageSearchService

        return ImageSearch(ImageSearchService(where))
    from axpo_envs.backends.image_search import ImageIndex

    return ImageSearch(ImageIndex(where))


def _no_tool(given: Any) -> EnvConfigError:
    return EnvConfigError(
        f"tools: expected a Tool, a typed function, 'package.module:name', {', '.join(map(repr, _NAMED))}, "
        f"{PAPER_SET!r}, 'image_search:FOLDER', 'image_search:URL', 'mcp:COMMAND' or 'mcp:URL', or a list of these; "
        f"got {given!r:.100}"
    )
