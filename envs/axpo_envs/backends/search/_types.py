"""Defines what a search deals in: documents, hits, and `SearchBackend`, the protocol of whatever finds them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.tool.protocol import Effects


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A text that can be found and opened."""

    id: str
    """Unique within its backend; the address of a web page."""
    title: str = ""
    """One line; empty without one."""
    text: str
    """The body, title excluded."""

    @property
    def contents(self) -> str:
        """Title and body as the retrieval protocol has them: the title is the first line."""
        return f"{self.title}\n{self.text}" if self.title else self.text

    def to_row(self) -> dict[str, str]:
        """The document as a row of the retrieval protocol; `from_row` reads it back unchanged."""
        return {"id": self.id, "title": self.title, "contents": self.contents}

    @classmethod
    def from_row(cls, row: Any) -> Document:
        """Reads `{"id", "contents"}`, where the first line of several is the title, or `{"id", "title"?, "text"}`.

        An integer id becomes its digits; further fields are ignored; halves of surrogate pairs become U+FFFD.

        Raises:
            ValueError: it is neither; the message says what was expected and what was got.
        """
        if not isinstance(row, Mapping):
            raise ValueError(f"expected an object; got {brief(row)}")
        title, text = _title_and_text(row)
        return cls(id=_row_id(row), title=title, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A document that a search found."""

    document: Document
    """What was found. A live service may give only an extract as its text."""
    score: float | None = None
    """How well it fits; higher is better, comparable within one search only. None where the backend tells none."""


_PROPERTIES: Final[Mapping[str, str]] = {
    "fingerprint": "a property fingerprint -> str",
    "effects": "a property effects -> Effects",
    "opens": "a property opens -> bool",
}
_METHODS: Final[Mapping[str, str]] = {
    "check": "a method check() -> None",
    "search": "a method search(query: str, top_k: int) -> tuple[Hit, ...]",
    "open": "a method open(id: str) -> Document | None",
}
_MEMBERS: Final = {**_PROPERTIES, **_METHODS}
_ARGUMENTS: Final[Mapping[str, tuple[Any, ...]]] = {"check": (), "search": ("", 1), "open": ("",)}


@runtime_checkable
class SearchBackend(Protocol):
    """Finds documents and opens them. Its methods may be called from several threads at once."""

    @property
    def fingerprint(self) -> str:
        """Identifies what is searched and every setting that changes the answers; holds no secret."""
        ...

    @property
    def effects(self) -> Effects:
        """`PURE` where equal requests get equal answers for ever; `EXTERNAL` where a live service is asked.

        A live search acts on nobody, and yet each one is a request that is paid for and that may be answered
        differently a second later: like an action it must happen exactly once per call that a policy made.
        """
        ...

    @property
    def opens(self) -> bool:
        """Whether `open` is to be had."""
        ...

    def check(self) -> None:
        """Makes sure that it can be used at all, without asking anyone.

        Raises:
            EnvConfigError: a key or a file is missing.
        """
        ...

    def search(self, query: str, top_k: int) -> tuple[Hit, ...]:
        """The best hits, best first.

        Args:
            query: what to look for; any text.
            top_k: at most how many, at least 1.

        Raises:
            ToolError: the backend cannot search for such a query; the policy reads why.
            InfrastructureFault: the backend cannot be reached, or answers nonsense.
            EnvConfigError: the backend refuses: its key, address or settings are wrong.
        """
        ...

    def open(self, id: str) -> Document | None:
        """The whole document of that id; None if there is none.

        Raises:
            ToolError: it exists and cannot be opened; the policy reads why.
            InfrastructureFault: as in `search`.
            EnvConfigError: as in `search`.
        """
        ...


def check_backend(backend: Any) -> None:
    """Makes sure that something has all that a `SearchBackend` has, and takes what its methods are given.

    Raises:
        EnvConfigError: it lacks members, which the message lists, each with its signature.
    """
    if isinstance(backend, type):
        raise EnvConfigError(f"expected a search backend; got the class {backend.__name__}: give an object of it")
    opens = getattr(backend, "opens", None)
    # Who opens nothing needs no method for it.
    needed = {name: signature for name, signature in _MEMBERS.items() if name != "open" or opens is not False}
    wrong = [signature for name, signature in needed.items() if not _is_right(backend, name)]
    if wrong:
        kind = type(backend).__name__
        raise EnvConfigError(
            f"the search backend {kind} lacks, or has otherwise: {'; '.join(wrong)} (see SearchBackend)"
        )
    if backend.effects not in tuple(Effects):
        raise EnvConfigError(f"{type(backend).__name__}.effects: expected an Effects; got {backend.effects!r}")


def _is_right(backend: Any, name: str) -> bool:
    try:
        member = getattr(backend, name)
    except AttributeError:
        return False
    if name in _PROPERTIES:
        return isinstance(member, str | bool)
    if not callable(member):
        return False
    try:
        # As the tools call it; what cannot be looked into is taken at its word.
        inspect.signature(member).bind(*_ARGUMENTS[name])
    except TypeError:
        return False
    except ValueError:
        pass
    return True


def finite_score(score: Any) -> float | None:
    """A score out of a service's answer; None where it is no finite number."""
    if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
        return None
    return float(score)


def _row_id(row: Mapping[str, Any]) -> str:
    given = row.get("id")
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if not isinstance(given, str) or not given.strip() or given != given.strip() or len(given.splitlines()) > 1:
        raise ValueError(f'expected "id": one line of text, without white space around it; got {brief(given)}')
    return well_formed(given)


def _title_and_text(row: Mapping[str, Any]) -> tuple[str, str]:
    title = row.get("title")
    if not isinstance(title, str | None):
        raise ValueError(f'expected "title": text; got {brief(title)}')
    for name in ("contents", "text"):
        if name in row and not isinstance(row[name], str):
            raise ValueError(f'expected "{name}": text; got {brief(row[name])}')
    if "contents" in row:
        return _split_contents(well_formed(row["contents"]), None if title is None else well_formed(title))
    if "text" not in row:
        raise ValueError(f'expected "contents" or "text"; got only {", ".join(map(repr, row)) or "an empty object"}')
    return " ".join(well_formed(title or "").split()), well_formed(row["text"])


def _split_contents(contents: str, title: str | None) -> tuple[str, str]:
    """Title and body; a given title decides where the first line could also be part of the body."""
    if title == "":
        return "", contents
    first, newline, rest = contents.partition("\n")
    return (first, rest) if first and newline else ("", contents)
