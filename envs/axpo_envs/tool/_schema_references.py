"""Defines `resolve`, which finds the part of a JSON schema that a `$ref` names."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote


def resolve(reference: Any, root: Mapping[str, Any]) -> Any:
    """The schema that a reference names within a document: by pointer (`#/$defs/a/b`), by anchor, or by `$id`.

    Args:
        reference: the value of `$ref` or `$dynamicRef`.
        root: the whole schema, of any draft.

    Returns:
        A schema; True, which says nothing, where the document holds no such part.
    """
    if not isinstance(reference, str):
        return True
    address, _, fragment = reference.partition("#")
    base: Any = root if not address else next(_identified(address, root), None)
    if fragment.startswith("/"):
        base = _at_pointer(fragment, base)
    elif fragment:
        base = next(_anchored(fragment, base), None)
    return base if isinstance(base, Mapping | bool) else True


def _at_pointer(pointer: str, document: Any) -> Any:
    for step in pointer.split("/")[1:]:
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and len(name) < 10 and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document


def _identified(address: str, root: Any) -> Iterator[Any]:
    """The parts whose `$id` is that address, written in full or without the document's own beginning."""
    for part in _parts(root):
        identifier = part.get("$id")
        if isinstance(identifier, str) and identifier.removesuffix("#").endswith(address):
            yield part


def _anchored(name: str, root: Any) -> Iterator[Any]:
    for part in _parts(root):
        # Before draft 2019-09 an anchor was an `$id` of a fragment alone.
        if name in (part.get("$anchor"), part.get("$dynamicAnchor")) or part.get("$id") == f"#{name}":
            yield part


def _parts(document: Any) -> Iterator[Mapping[str, Any]]:
    """Every object of a document, outermost first."""
    waiting = deque([document])
    while waiting:
        part = waiting.popleft()
        if isinstance(part, Mapping):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
