"""Defines the corpus: documents written of a fact graph, and the file that holds them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

from axpo_envs.backends.search import Document
from axpo_envs.digest import digest_of
from axpo_envs.errors import InfrastructureFault
from axpo_envs.plumbing.cache_folder import cache_folder
from axpo_envs.plumbing.whole_files import write_whole
from axpo_envs.suite.multi_hop_search._building import build_graph
from axpo_envs.suite.multi_hop_search._graph import Entity, Fact, FactGraph
from axpo_envs.suite.multi_hop_search._selection import order_of
from axpo_envs.suite.multi_hop_search._wording import alias_sentence, brief_sentence, opening, sentence
from axpo_envs.suite.multi_hop_search.brief import brief_graph

_DIGITS: Final = 16


class Style(StrEnum):
    """How documents are written."""

    FULL = "full"
    """In varied sentences in any order, with other names."""
    SHORT = "short"
    """One wording for each relation, in one order, nothing beside the facts: for a very small policy."""
    BRIEF = "brief"
    """As short as they can be: countries and cities alone, two to four facts each, in sentences of five tokens."""


def document_of(entity: Entity, style: Style) -> Document:
    """The document about an entity: an opening and a sentence for every fact."""
    sentences = [stated(entity, fact, style) for fact in entity.facts]
    if style is not Style.FULL:
        return Document(id=entity.id, title=entity.title, text=" ".join(sentences))
    if entity.aliases:
        sentences.append(alias_sentence(entity))
    sentences.sort(key=lambda text: order_of(f"{entity.id}/{text}"))
    return Document(id=entity.id, title=entity.title, text=" ".join((opening(entity, plain=False), *sentences)))


def stated(entity: Entity, fact: Fact, style: Style) -> str:
    """The sentence of an entity's document that states a fact."""
    return brief_sentence(entity, fact) if style is Style.BRIEF else sentence(entity, fact, plain=style is Style.SHORT)


def graph_of(size: int, style: Style) -> FactGraph:
    """What the documents of a corpus of that many tell; brief ones are fewer, and tell less.

    Raises:
        MissingExtraError: a package of the extra `data` is not installed.
    """
    return brief_graph(size) if style is Style.BRIEF else build_graph(size)


def documents(graph: FactGraph, style: Style) -> Iterator[Document]:
    """The documents of a graph."""
    return (document_of(entity, style) for entity in graph.entities.values())


def corpus_folder() -> Path:
    """Where corpora are kept: `axpo/multi-hop-search` within `$XDG_CACHE_HOME`, or within `~/.cache`."""
    return cache_folder("multi-hop-search")


def corpus_text(graph: FactGraph, style: Style) -> str:
    """The corpus as JSON lines."""
    rows = (document.to_row() for document in documents(graph, style))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def corpus_name(text: str) -> str:
    """A name that tells corpora with different bytes apart."""
    return f"corpus-{digest_of(text)[:_DIGITS]}.jsonl"


def write_corpus(text: str) -> Path:
    """The path of the corpus's file, which is written if nobody has written it yet.

    Its name is a hash of its contents, and it appears whole or not at all.

    Raises:
        InfrastructureFault: it cannot be written.
    """
    path = corpus_folder() / corpus_name(text)
    data = text.encode("utf-8")
    try:
        if path.is_file() and path.read_bytes() == data:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise InfrastructureFault(
            f"cannot write the corpus {path}: {error} (XDG_CACHE_HOME chooses another folder)"
        ) from error
    return path
