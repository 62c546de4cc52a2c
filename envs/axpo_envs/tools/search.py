"""Defines the tool `search`: the best documents for a query, with an extract of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from axpo_envs.backends.search._query import clean_query, extract
from axpo_envs.backends.search._types import Hit, SearchBackend
from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.tool._arguments import known_arguments, read_integer
from axpo_envs.tool.protocol import ToolArgumentError, ToolContext
from axpo_envs.tools._backend_tool import BackendTool, heading
from axpo_envs.types import ToolResult

MAX_QUERY_CHARS: Final = 1000
"""Characters of a query that a policy may send; a backend may allow less."""


class Search(BackendTool):
    """Searches a backend: the policy gives a query and reads numbered hits with title, id and an extract.

    Args:
        backend: what to search.
        top_k: hits where the policy asks for no number.
        max_top_k: hits that it may ask for.
        extract_chars: length of an extract.

    Raises:
        EnvConfigError: a number is out of range, or the backend cannot be used (a key is missing, say).
    """

    def __init__(
        self, backend: SearchBackend, *, top_k: int = 3, max_top_k: int = 10, extract_chars: int = 500
    ) -> None:
        super().__init__(backend)
        if not 1 <= top_k <= max_top_k:
            raise EnvConfigError(f"expected 1 <= top_k <= max_top_k; got top_k {top_k}, max_top_k {max_top_k}")
        if extract_chars < 1:
            raise EnvConfigError(f"expected extract_chars >= 1; got {extract_chars}")
        self._top_k = top_k
        self._max_top_k = max_top_k
        self._extract_chars = extract_chars

    @property
    def name(self) -> str:
        """`search`."""
        return "search"

    @property
    def description(self) -> str:
        """What it does, for the policy."""
        return "Searches for documents and returns the best ones: title, id and an extract of each."

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1, "description": "What to look for, in a few words."},
                "top_k": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": self._max_top_k,
                    "default": self._top_k,
                    "description": "How many documents to return.",
                },
            },
            "required": ["query"],
            "additionalProperties": False,
        }

    def validate(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """`{"query": text, "top_k": int}`.

        Raises:
            ToolArgumentError: the query is missing, empty or too long, `top_k` is out of range, or a name is unknown.
        """
        arguments = known_arguments(arguments, "query", "top_k")
        query = arguments.get("query")
        if not isinstance(query, str):
            raise ToolArgumentError(f"query must be a text; got {brief(query)}" if query else "query is missing")
        query = clean_query(query)
        if not 0 < len(query) <= MAX_QUERY_CHARS:
            raise ToolArgumentError(f"query must have 1 to {MAX_QUERY_CHARS} characters; got {len(query)}")
        top_k = read_integer(arguments, "top_k", default=self._top_k, at_least=1, at_most=self._max_top_k)
        return {"query": query, "top_k": top_k}

    def step(self, arguments: Mapping[str, Any], state: Any, context: ToolContext) -> tuple[ToolResult, Any]:
        """The hits as text; "No documents were found." where there are none.

        Raises:
            ToolError: the backend cannot search for such a query.
            InfrastructureFault: the backend cannot be reached.
            EnvConfigError: the backend refuses its key or settings.
        """
        del context
        query = arguments["query"]
        hits = self._backend.search(query, arguments["top_k"])
        entries = (self._entry(number, hit, query) for number, hit in enumerate(hits, start=1))
        return ToolResult(content=("\n\n".join(entries) or "No documents were found.",)), state

    def _entry(self, number: int, hit: Hit, query: str) -> str:
        text = extract(hit.document.text, query, self._extract_chars)
        return f"{number}. {heading(hit.document)}\n{text}".rstrip()
