"""Defines the vocabulary of `tiny-search`: phrases of MultiHopSearch, and all names of a library."""

from __future__ import annotations

from typing import Final

from axpo_agents.tiny.vocabulary import CHARACTERS, SPECIAL_TOKENS, TAGS, UNKNOWN
from axpo_envs.suite.multi_hop_search.brief import brief_graph

LIBRARY: Final = 1600
"""The `corpus_size` of the library that it knows."""

PHRASES: Final[tuple[str, ...]] = (
    "system",
    "user",
    "assistant",
    "What is ",
    "Find ",
    "Tell me ",
    "I would like to know ",
    "the currency of ",
    "the money that is used in ",
    "the continent of ",
    "the continent on which ",
    "the quadrant of the earth of ",
    "the quadrant of the earth in which ",
    "the country of ",
    "the country in which ",
    "the capital of ",
    "the seat of government of ",
    "the city of ",
    "the country with the ISO code ",
    "the country whose three-letter code is ",
    " lies",
    "I can guess",
    "I must search",
    "it reads",
    '{"name": "search", "arguments": {"query": "',
    '"}}',
    " code",
    " capital",
    " currency",
    " continent",
    " country",
    " quadrant",
    ": ",
    "1. ",
    " (country)",
    " (id: ",
    ")\n",
    ". ",
    "No documents were found.",
    "error: ",
)
"""Text that the policy writes or reads as one token each, so that an episode of two searches takes a hundred tokens."""


def tokens() -> tuple[str, ...]:
    """All tokens; the position is the token id.

    Names are those of the installed data packages: another version of them may have others.

    Raises:
        MissingExtraError: a package of the extra `data` is not installed.
    """
    names = dict.fromkeys(PHRASES)
    for entity in brief_graph(LIBRARY).entities.values():
        names.update(dict.fromkeys((entity.id, entity.name)))
        names.update(dict.fromkeys(mention.key for mention in entity.mentions))
        names.update(dict.fromkeys(fact.value for fact in entity.facts))
    return (*SPECIAL_TOKENS, *TAGS, UNKNOWN, *dict.fromkeys((*names, *CHARACTERS)))
