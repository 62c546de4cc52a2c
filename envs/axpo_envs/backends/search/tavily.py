"""Defines `Tavily`, a client of the Tavily web search."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from axpo_envs.backends.search._query import clean_query
from axpo_envs.backends.search._types import Document, Hit, finite_score
from axpo_envs.digest import digest_of
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.surrogates import has_surrogates
from axpo_envs.plumbing.web._environment_key import EnvironmentKey
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.plumbing.web.service import Service, ServiceRefusedError, checked_url
from axpo_envs.tool.protocol import Effects, ToolError

MAX_QUERY_CHARS: Final = 400
"""Characters of a query; the service refuses longer ones."""

MAX_RESULTS: Final = 20
"""Hits of one search."""

KEY_VARIABLE: Final = "TAVILY_API_KEY"
"""The environment variable that holds the key; it is read for each request and kept nowhere."""

_ADVICE: Final = {
    400: "check the options given to Tavily",
    401: f"check the key in {KEY_VARIABLE}",
    403: f"check that the key in {KEY_VARIABLE} may be used for this",
    432: "the plan's limit is used up: raise it, or wait for the next period",
    433: "the pay-as-you-go limit is used up: raise it in the service's settings",
}
_BAD_ADDRESS: Final = (400, 404, 422)

Depth = Literal["basic", "advanced"]
Topic = Literal["general", "news", "finance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TavilyOptions:
    """What every search of a `Tavily` has in common."""

    search_depth: Depth = "basic"
    """`advanced` costs two credits a search instead of one."""
    topic: Topic = "general"
    """Which part of the web."""
    include_domains: tuple[str, ...] = ()
    """Only results from these domains; empty for any."""
    exclude_domains: tuple[str, ...] = ()
    """No results from these domains: those that publish a benchmark's answers, say."""

    def __post_init__(self) -> None:
        for name, value, allowed in (("search_depth", self.search_depth, Depth), ("topic", self.topic, Topic)):
            if value not in get_args(allowed):
                raise EnvConfigError(f"expected {name} to be one of {', '.join(get_args(allowed))}; got {value!r}")


class Tavily:
    """Searches the web through Tavily; a document's id is its address, `open` fetches the whole page.

    The key is read from the environment variable `TAVILY_API_KEY`. It appears in no message, log record, recording
    or pickle, not even where the service's answer repeats it.

    Args:
        options: depth, topic and domains of every search.
        url: address of the service.
        timeout_s: seconds for one attempt (see `Service`).
        retries: how often and when a failed attempt is repeated.

    Raises:
        EnvConfigError: an option is out of range; httpx is missing.
    """

    def __init__(
        self,
        options: TavilyOptions | None = None,
        *,
        url: str = "https://api.tavily.com",
        timeout_s: float = 30.0,
        retries: Retries | None = None,
    ) -> None:
        self._options = TavilyOptions() if options is None else options
        self._url = checked_url(url).rstrip("/")
        self._service = Service(
            timeout_s=timeout_s,
            retries=Retries() if retries is None else retries,
            key=EnvironmentKey(KEY_VARIABLE),
            advice=_ADVICE,
        )

    def __repr__(self) -> str:
        return f"Tavily({self._options!r})"

    @property
    def fingerprint(self) -> str:
        """The service and the options of every search."""
        options = asdict(self._options)
        return f"tavily:{digest_of(*(options[name] for name in sorted(options)))}"

    @property
    def effects(self) -> Effects:
        """External: a live service (see `SearchBackend.effects`)."""
        return Effects.EXTERNAL

    @property
    def opens(self) -> bool:
        """True: pages are fetched by the service."""
        return True

    def check(self) -> None:
        """Makes sure that the key is there.

        Raises:
            EnvConfigError: it is not.
        """
        self._service.check()

    def close(self) -> None:
        """Closes the connections; a later request opens new ones."""
        self._service.close()

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        """The best pages with an extract of each as text, each page once, at most 20.

        Raises:
            ToolError: the query is empty or longer than 400 characters.
            InfrastructureFault: the service stays unreachable after all retries, or answers in another format.
            ServiceRefusedError: the service refuses the key or the options, or a limit is used up.
        """
        cleaned = clean_query(query)
        if not 0 < len(cleaned) <= MAX_QUERY_CHARS:
            raise ToolError(f"a query has 1 to {MAX_QUERY_CHARS} characters; this one has {len(cleaned)}")
        request = {
            "query": cleaned,
            "max_results": min(top_k, MAX_RESULTS),
            **{name: value for name, value in asdict(self._options).items() if value},
        }
        hits: dict[str, Hit] = {}
        for result in self._results("/search", request):
            document = self._page(result.get("url"), result.get("title"), result.get("content") or "")
            hits.setdefault(document.id, Hit(document=document, score=finite_score(result.get("score"))))
        return tuple(hits.values())[:top_k]

    def open(self, id: str) -> Document | None:
        """The text of the page at that address; None if it is no web address.

        Raises:
            ToolError: the page cannot be fetched.
            InfrastructureFault: as in `search`.
            ServiceRefusedError: as in `search`.
        """
        if not _is_web_address(id):
            return None
        try:
            results = self._results("/extract", {"urls": [id], "format": "text"})
        except ServiceRefusedError as refusal:
            # The address is all that the policy decides of this request, and all that could be wrong with it.
            if refusal.status not in _BAD_ADDRESS:
                raise
            results = []
        for result in results:
            if result.get("raw_content"):
                return self._page(id, result.get("title"), result["raw_content"])
        raise ToolError(f"the page {id:.200} cannot be opened")

    def _results(self, path: str, request: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self._service.post(self._url + path, request)
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            raise InfrastructureFault(
                f'{self._url}{path}: expected an answer {{"results": [...]}}; got {repr(answer)[:200]}'
            )
        return results

    def _page(self, url: Any, title: Any, text: Any) -> Document:
        try:
            return Document.from_row({"id": url, "title": title, "text": text})
        except ValueError as error:
            raise InfrastructureFault(f"{self._url} answered with what is no page: {error}") from None


def _is_web_address(text: str) -> bool:
    if len(text.split()) != 1 or has_surrogates(text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
