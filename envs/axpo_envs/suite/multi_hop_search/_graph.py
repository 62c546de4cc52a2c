"""Defines the fact graph: entities, the facts that their documents state, and the entities that facts lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from axpo_envs.questions.splits import Split


class Kind(StrEnum):
    """What an entity is."""

    COUNTRY = "country"
    """A country or territory."""
    CITY = "city"
    """A city."""
    AIRPORT = "airport"
    """An airport."""
    ELEMENT = "element"
    """A chemical element."""
    GROUP = "group"
    """A group of the periodic table: the list of its elements."""
    PERIOD = "period"
    """A period of the periodic table: the list of its elements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """What one sentence of a document states about the document's subject."""

    relation: str
    """What is stated, such as `capital`."""
    value: str
    """What is stated of it, as text; a number without separators."""
    targets: tuple[str, ...] = ()
    """Ids of the entities that the value names; empty for a number, a code or a date."""

    @property
    def number(self) -> int | None:
        """The value where it is a whole number."""
        return int(self.value) if self.value.lstrip("-").isdecimal() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """A way to name an entity so that it is no other one."""

    phrase: str
    """As a question has it, such as `the airport with the IATA code CDG`."""
    key: str
    """The part of it that tells the entity from others, such as `CDG`: what to search for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """The subject of a document."""

    id: str
    """Unique; also the id of the document."""
    kind: Kind
    """What it is."""
    name: str
    """Its name, which others may bear, too."""
    title: str
    """Its name, with the coordinates where others bear the name, too; other documents call it so."""
    split: Split | None
    """Where it may be asked about; None for lists that belong to none."""
    aliases: tuple[str, ...] = ()
    """Other names that its document tells."""
    mentions: tuple[Mention, ...] = ()
    """How questions name it where it begins a walk."""
    facts: tuple[Fact, ...] = ()
    """What its document states."""

    def fact(self, relation: str) -> Fact | None:
        """Its fact of that relation; None if it has none."""
        return next((fact for fact in self.facts if fact.relation == relation), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactGraph:
    """The entities of a corpus."""

    entities: Mapping[str, Entity]
    """By id, in the order of the corpus."""

    def of(self, split: Split, kind: Kind) -> tuple[Entity, ...]:
        """The entities of a split and a kind."""
        return tuple(one for one in self.entities.values() if one.split is split and one.kind is kind)
