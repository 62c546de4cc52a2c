"""Defines the tool `open`: the text of a document, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axpo_envs.backends.search._types import SearchBackend
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.tool._arguments import known_arguments, read_integer
from axpo_envs.tool.protocol import ToolArgumentError, ToolContext, ToolError
from axpo_envs.tools._backend_tool import BackendTool, heading
from axpo_envs.types import ToolResult


class OpenDocument(BackendTool):
    """Opens a document that a search found: the policy gives its id and reads its text.

    A long text is shown in pages; the end of each says with which `offset` the next begins.

    Args:
        backend: where the document is.
        page_chars: characters of a page.

    Raises:
        EnvConfigError: `page_chars` is below 1, or the backend opens no documents or cannot be used.
    """

    def __init__(self, backend: SearchBackend, *, page_chars: int = 4000) -> None:
        super().__init__(backend)
        if page_chars < 1:
            raise EnvConfigError(f"expected page_chars >= 1; got {page_chars}")
        if not backend.opens:
            raise EnvConfigError(f"the tool open needs a backend that opens documents; {backend!r} does not")
        self._page_chars = page_chars

    @property
    def name(self) -> str:
        """`open`."""
        return "open"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return f"Opens a document that was found and returns up to {self._page_chars} characters of its text."

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": {
                "id": {"type": "string", "minLength": 1, "description": "The document's id, as the search gave it."},
                "offset": {
                    "type": "integer",
                    "minimum": 0,
                    "default": 0,
                    "description": "Number of the character to begin with, from 0.",
                },
            },
            "required": ["id"],
            "additionalProperties": False,
        }

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"id": text, "offset": int}`; whether they lie within the documents is checked by `step`.

        Raises:
            ToolArgumentError: the id is missing or empty, the offset is negative, or a name is unknown.
        """
        arguments = known_arguments(arguments, "id", "offset")
        id = arguments.get("id")
        if not isinstance(id, str) or not id.strip():
            raise ToolArgumentError("id is missing" if id is None else f"id must be a text; got {brief(id)}")
        offset = read_integer(arguments, "offset", default=0, at_least=0)
        return {"id": well_formed(id.strip()), "offset": offset}

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """Title, id and a page of the text.

        Raises:
            ToolError: there is no such document, it cannot be opened, or the offset lies behind its end.
            InfrastructureFault: the backend cannot be reached.
            EnvConfigError: the backend refuses its key or settings.
        """
        del context
        id, start = arguments["id"], arguments["offset"]
        document = self._backend.open(id)
        if document is None:
            raise ToolError(f"there is no document with the id {id!r:.200}")
        length = len(document.text)
        if start > 0 and start >= length:
            raise ToolError(f"offset must be below {length}, the document's length in characters; got {brief(start)}")
        page = document.text[start : start + self._page_chars]
        end = start + len(page)
        lines = [heading(document), page or "(empty)"]
        if len(page) < length:
            more = f"; continue with offset {end}" if end < length else ""
            lines.append(f"[characters {start} to {end} of {length}{more}]")
        return ToolResult(content=("\n".join(lines),)), state
