"""Defines what is known about a question: its kind, the documents that it takes in order, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from axpo_envs.suite.multi_hop_search._graph import Entity, Fact


class QuestionKind(StrEnum):
    """How the documents of a question hang together."""

    BRIDGE = "bridge"
    """One leads to the next."""
    COMPARISON = "comparison"
    """Two numbers are compared."""
    INTERSECTION = "intersection"
    """Two lists have one entry in common."""


FEWEST_HOPS: Final = {QuestionKind.BRIDGE: 2, QuestionKind.COMPARISON: 3, QuestionKind.INTERSECTION: 3}
"""Hops that a kind of question has at least: fewer, and one search would find all of its documents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One document that a question needs."""

    entity: Entity
    """Its subject."""
    fact: Fact
    """What it must be read for."""
    key: str
    """What to search for: the words of the question, or the title that the document before told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The truth behind a question."""

    kind: QuestionKind
    """How its documents hang together."""
    hops: tuple[Hop, ...]
    """The documents in an order in which each can be found."""
    text: str
    """The question."""
    answer: str
    """The answer."""
    relation: str
    """What the last document must be read for; answers of equal relations look alike."""

    @property
    def chain(self) -> tuple[str, ...]:
        """The ids of its entities in order."""
        return tuple(hop.entity.id for hop in self.hops)
