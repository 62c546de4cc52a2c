"""Defines `RetrievalServer`, a client of the retrieval protocol of Search-R1, verl and verl-tool."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from axpo_envs.backends.search._query import clean_query
from axpo_envs.backends.search._types import Document, Hit, finite_score
from axpo_envs.errors import EnvConfigError, InfrastructureFault
from axpo_envs.plumbing.web._retries import Retries
from axpo_envs.plumbing.web.service import Service, checked_url
from axpo_envs.tool.protocol import Effects

_ADVICE: Final = {404: "is this the whole address, such as http://host:8000/retrieve?"}


class RetrievalServer:
    """Asks a server of the retrieval protocol.

    `POST url` with `{"queries": [query], "topk": k, "return_scores": true}` is answered by `{"result": [hits]}`; a hit
    is `{"document": {"id", "contents"}, "score"}` or the document alone. Documents without an id get a hash of their
    contents.

    Args:
        url: the whole address, such as `http://host:8000/retrieve`.
        documents_url: where documents are opened by id, as `axpo serve-search` offers it beside the protocol; None
            for a server without it.
        name: names what the server serves in fingerprint and recordings, wherever it runs; its address by default.
        timeout_s: seconds for one attempt (see `Service`).
        retries: how often and when a failed attempt is repeated.

    Raises:
        EnvConfigError: an address is none, or holds a secret; a setting is out of range; httpx is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        documents_url: str | None = None,
        name: str = "",
        timeout_s: float = 10.0,
        retries: Retries | None = None,
    ) -> None:
        self._url = checked_url(url)
        self._documents_url = None if documents_url is None else checked_url(documents_url)
        self._name = name or url
        self._service = Service(timeout_s=timeout_s, retries=Retries() if retries is None else retries, advice=_ADVICE)

    def __repr__(self) -> str:
        return f"RetrievalServer({self._url!r})"

    @property
    def fingerprint(self) -> str:
        """The server's name or address."""
        return f"retrieval:{self._name}"

    @property
    def effects(self) -> Effects:
        """External: what stands behind the address may change (see `SearchBackend.effects`)."""
        return Effects.EXTERNAL

    @property
    def opens(self) -> bool:
        """Whether a `documents_url` was given."""
        return self._documents_url is not None

    def check(self) -> None:
        """Nothing can be checked without asking the server."""

    def close(self) -> None:
        """Closes the connections; a later request opens new ones."""
        self._service.close()

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        """The server's hits in its order, at most `top_k`.

        Raises:
            InfrastructureFault: the server stays unreachable after all retries, or answers in another format.
            ServiceRefusedError: the server refuses the request.
        """
        request = {"queries": [clean_query(query)], "topk": top_k, "return_scores": True}
        answer = self._service.post(self._url, request)
        match answer:
            case {"result": [[*items]]}:
                return tuple(self._hit(item) for item in items[:top_k])
        raise self._nonsense(self._url, '{"result": [[...]]} with one inner list', answer)

    def open(self, id: str) -> Document | None:
        """The document of that id; None if there is none.

        Raises:
            EnvConfigError: there is no `documents_url`.
            InfrastructureFault: as in `search`.
            ServiceRefusedError: as in `search`.
        """
        if self._documents_url is None:
            raise EnvConfigError(f"{self} cannot open documents: it was given no documents_url")
        answer = self._service.post(self._documents_url, {"ids": [id]})
        match answer:
            case {"result": [None]}:
                return None
            case {"result": [row]}:
                return self._document(row)
        raise self._nonsense(self._documents_url, '{"result": [document or null]}', answer)

    def _hit(self, item: Any) -> Hit:
        match item:
            case {"document": row, **rest}:
                return Hit(document=self._document(row), score=finite_score(rest.get("score")))
        return Hit(document=self._document(item))

    def _document(self, row: Any) -> Document:
        if isinstance(row, Mapping) and "id" not in row:
            contents = ascii(row.get("contents", row.get("text"))).encode()
            row = {**row, "id": hashlib.blake2b(contents, digest_size=6).hexdigest()}
        try:
            return Document.from_row(row)
        except ValueError as error:
            raise InfrastructureFault(f"{self._url} answered with what is no document: {error}") from None

    def _nonsense(self, url: str, expected: str, answer: Any) -> InfrastructureFault:
        return InfrastructureFault(f"{url}: expected an answer {expected}; got {repr(answer)[:200]}")
