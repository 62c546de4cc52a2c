"""Defines how questions are found: walks over the fact graph, each of which needs a known number of documents.

A *bridge* follows one connection after another and asks for something of the last entity. A *comparison* asks how far
two numbers lie apart, at least one of them at the end of a walk of its own. An *intersection* asks for something of the
one entity that two lists share (or of an entity that a further connection leads to).

No question names what its later documents hold in the same words, and none of its earlier documents holds the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from axpo_envs.questions.splits import Split
from axpo_envs.suite.multi_hop_search._corpus import Style, document_of
from axpo_envs.suite.multi_hop_search._graph import Entity, Fact, FactGraph, Kind, Mention
from axpo_envs.suite.multi_hop_search._plan import Hop, Plan, QuestionKind
from axpo_envs.suite.multi_hop_search._wording import asked

T = TypeVar("T")

_EDGES: Final = ("city", "country", "capital", "other_city", "airport")
FINALS: Final = (
    *_EDGES,
    "currency",
    "calling_code",
    "area",
    "population",
    "zone",
    "elevation",
    "icao",
    "iata",
    "year",
    "continent",
    "quadrant",
)
"""Relations that a question may ask for in the end, unless it compares."""
_NUMBERS: Final = ("population", "elevation", "area")
_FEWEST_CHOICES: Final = 3
_STARTS: Final = (Kind.AIRPORT, Kind.CITY, Kind.COUNTRY)


class Walker:
    """Finds questions about the entities of one split.

    Args:
        graph: the facts.
        split: which entities may be walked over.
        style: how their documents are written, which decides what they give away.
    """

    def __init__(self, graph: FactGraph, split: Split, style: Style) -> None:
        self._graph = graph
        self._split = split
        self._style = style
        self._countries = graph.of(split, Kind.COUNTRY)
        self._elements = graph.of(split, Kind.ELEMENT)
        self._inside = self._by_country(split)
        pairs = tuple(self._common_neighbours())
        # Whoever reads one list alone is to have something to choose from.
        self._pairs = tuple(pair for pair in pairs if _choices(pair) >= _FEWEST_CHOICES) or pairs
        self._texts: dict[str, str] = {}

    def attempt(self, kind: QuestionKind, hops: int, rng: np.random.Generator) -> Plan | None:
        """Draws a question; None where the draw led nowhere, which happens often."""
        make = {
            QuestionKind.BRIDGE: self._bridge,
            QuestionKind.COMPARISON: self._comparison,
            QuestionKind.INTERSECTION: self._intersection,
        }[kind]
        plan = make(hops, rng)
        return plan if plan is not None and self._is_sound(plan) else None

    def _by_country(self, split: Split) -> dict[str, tuple[Entity, ...]]:
        inside: dict[str, list[Entity]] = {country.id: [country] for country in self._countries}
        home: dict[str, str] = {}
        for city in self._graph.of(split, Kind.CITY):
            fact = city.fact("country")
            assert fact is not None
            home[city.id] = fact.targets[0]
            inside[fact.targets[0]].append(city)
            if airport := city.fact("airport"):
                home[airport.targets[0]] = fact.targets[0]
        for airport_entity in self._graph.of(split, Kind.AIRPORT):
            served = airport_entity.fact("city")
            country = home[served.targets[0]] if served else home[airport_entity.id]
            inside[country].append(airport_entity)
        return {country: tuple(members) for country, members in inside.items()}

    def _start(self, rng: np.random.Generator) -> tuple[Entity, Mention] | None:
        """An entity of any country, all equally often, and a way to name it."""
        if not self._countries:
            return None
        country = _any(self._countries, rng)
        kind = _any(_STARTS, rng)
        members = [one for one in self._inside[country.id] if one.kind is kind]
        if not members:
            return None
        start = _any(members, rng)
        mention = self._mention(start, rng)
        return None if mention is None else (start, mention)

    def _mention(self, entity: Entity, rng: np.random.Generator) -> Mention | None:
        """A way to name an entity by words that its document holds; None if there is none."""
        text = self._text(entity)
        usable = [mention for mention in entity.mentions if mention.key.casefold() in text]
        return _any(usable, rng) if usable else None

    def _walk(self, length: int, rng: np.random.Generator) -> _Walk | None:
        """Hops over `length` documents, the last of which has no fact chosen yet."""
        begun = self._start(rng)
        if begun is None:
            return None
        entity, mention = begun
        walk = _Walk(hops=(), last=entity, key=mention.key, phrase=mention.phrase)
        for _ in range(length - 1):
            step = self._onward(walk, rng)
            if step is None:
                return None
            walk = step
        return walk

    def _onward(self, walk: _Walk, rng: np.random.Generator) -> _Walk | None:
        visited = {*(hop.entity.id for hop in walk.hops), walk.last.id}
        edges = [fact for fact in walk.last.facts if fact.relation in _EDGES and fact.targets[0] not in visited]
        if not edges:
            return None
        fact = _any(edges, rng)
        return walk.over(fact, self._graph.entities[fact.targets[0]], int(rng.integers(2)))

    def _finals(self, walk: _Walk) -> list[Fact]:
        visited = {*(hop.entity.id for hop in walk.hops), walk.last.id}
        return [fact for fact in walk.last.facts if fact.relation in FINALS and visited.isdisjoint(fact.targets)]

    def _bridge(self, hops: int, rng: np.random.Generator) -> Plan | None:
        walk = self._walk(hops, rng)
        if walk is None or not (finals := self._finals(walk)):
            return None
        return self._ending(QuestionKind.BRIDGE, walk, _any(finals, rng), rng)

    def _ending(self, kind: QuestionKind, walk: _Walk, fact: Fact, rng: np.random.Generator) -> Plan:
        answer = self._graph.entities[fact.targets[0]].name if fact.targets else fact.value
        phrase = asked(fact.relation, walk.phrase, int(rng.integers(2)))
        text = _any(("What is {x}?", "Find {x}.", "Tell me {x}.", "I would like to know {x}."), rng).format(x=phrase)
        return Plan(kind=kind, hops=walk.ended(fact), text=text, answer=answer, relation=fact.relation)

    def _comparison(self, hops: int, rng: np.random.Generator) -> Plan | None:
        first = int(rng.integers(1, hops))
        one, other = self._walk(first, rng), self._walk(hops - first, rng)
        if one is None or other is None:
            return None
        relation = next((name for name in _NUMBERS if one.last.fact(name) and other.last.fact(name)), None)
        facts = [] if relation is None else [one.last.fact(relation), other.last.fact(relation)]
        numbers = [fact.number for fact in facts if fact is not None]
        if relation is None or len(numbers) < 2 or numbers[0] is None or numbers[1] is None:
            return None
        assert facts[0] is not None
        assert facts[1] is not None
        phrases = [asked(relation, walk.phrase, int(rng.integers(2))) for walk in (one, other)]
        wording = _any(
            ("What is the difference between {a} and {b}?", "By how much do {a} and {b} differ?",
             "Compare {a} with {b}: how far apart are they?"),
            rng,
        )  # fmt: skip
        return Plan(
            kind=QuestionKind.COMPARISON,
            hops=(*one.ended(facts[0]), *other.ended(facts[1])),
            text=wording.format(a=phrases[0], b=phrases[1]),
            answer=str(abs(numbers[0] - numbers[1])),
            relation=f"difference of {relation}",
        )

    def _common_neighbours(self) -> Iterator[tuple[Entity, Entity, Entity]]:
        """Pairs of countries with the one country that borders both."""
        lists = [
            (country, fact) for country in self._countries if country.mentions and (fact := country.fact("neighbours"))
        ]
        for place, (one, of_one) in enumerate(lists):
            for other, of_other in lists[place + 1 :]:
                common = set(of_one.targets) & set(of_other.targets)
                if len(common) == 1 and (shared := self._graph.entities[common.pop()]).split is self._split:
                    yield one, other, shared

    def _intersection(self, hops: int, rng: np.random.Generator) -> Plan | None:
        lists = self._of_elements(rng) if self._elements and hops == 3 and rng.random() < 0.2 else None
        walk = lists or self._of_neighbours(hops, rng)
        while walk is not None and len(walk.hops) + 1 < hops:
            walk = self._onward(walk, rng)
        if walk is None or not (finals := self._finals(walk)):
            return None
        return self._ending(QuestionKind.INTERSECTION, walk, _any(finals, rng), rng)

    def _of_neighbours(self, hops: int, rng: np.random.Generator) -> _Walk | None:
        if not self._pairs:
            return None
        one, other, shared = _any(self._pairs, rng)
        listed: list[Hop] = []
        phrases: list[str] = []
        for country in (one, other):
            mention = self._mention(country, rng)
            assert mention is not None  # every document of a country holds its code
            walk = _Walk(hops=(), last=country, key=mention.key, phrase=mention.phrase)
            if hops == 4 and not listed and rng.random() < 0.5:
                reached = self._through_city(country, rng)
                walk = walk if reached is None else reached
            fact = country.fact("neighbours")
            assert fact is not None
            listed += walk.ended(fact)
            phrases.append(walk.phrase)
        wording = _any(
            ("the only country that borders both {a} and {b}", "the one common neighbour of {a} and {b}"), rng
        )
        return _Walk(
            hops=tuple(listed), last=shared, key=shared.title, phrase=wording.format(a=phrases[0], b=phrases[1])
        )

    def _through_city(self, country: Entity, rng: np.random.Generator) -> _Walk | None:
        cities = [one for one in self._inside[country.id] if one.kind is Kind.CITY]
        if not cities:
            return None
        city = _any(cities, rng)
        fact, mention = city.fact("country"), self._mention(city, rng)
        assert fact is not None
        assert mention is not None  # its document has its name as its title
        return _Walk(hops=(), last=city, key=mention.key, phrase=mention.phrase).over(fact, country, 1)

    def _of_elements(self, rng: np.random.Generator) -> _Walk | None:
        element = _any(self._elements, rng)
        lists = [one for kind in (Kind.PERIOD, Kind.GROUP) for one in self._lists(kind, element)]
        if len(lists) < 2:
            return None
        hops = tuple(
            Hop(entity=one, fact=fact, key=one.mentions[0].key) for one in lists if (fact := one.fact("members"))
        )
        phrase = "the element in {} and {}".format(*(one.mentions[0].phrase for one in lists))
        return _Walk(hops=hops, last=element, key=element.title, phrase=phrase)

    def _lists(self, kind: Kind, element: Entity) -> list[Entity]:
        return [one for one in self._graph.entities.values() if one.kind is kind and element.id in one.facts[0].targets]

    def _is_sound(self, plan: Plan) -> bool:
        """Whether every document is needed: none is named by the question but those that it begins with."""
        if len(set(plan.chain)) < len(plan.hops):
            return False
        question = plan.text.casefold()
        given = [hop.key.casefold() for hop in plan.hops if hop.key.casefold() in question]
        texts = [self._text(hop.entity) for hop in plan.hops]
        for number, hop in enumerate(plan.hops):
            if hop.key.casefold() not in question and any(key in texts[number] for key in given):
                return False
        told = plan.answer.casefold().rpartition("/")[2].replace("_", " ")
        return told not in question and not any(told in text for text in texts[:-1])

    def _text(self, entity: Entity) -> str:
        if entity.id not in self._texts:
            document = document_of(entity, self._style)
            self._texts[entity.id] = f"{document.title} {document.text}".casefold()
        return self._texts[entity.id]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    """Documents that lead to an entity, of which nothing is asked yet."""

    hops: tuple[Hop, ...]
    """The documents before."""
    last: Entity
    """Where it stands."""
    key: str
    """What that entity is searched by."""
    phrase: str
    """What a question calls it."""

    def over(self, fact: Fact, target: Entity, choice: int) -> _Walk:
        """The walk with one more connection."""
        phrase = asked(fact.relation, self.phrase, choice)
        return _Walk(hops=self.ended(fact), last=target, key=target.title, phrase=phrase)

    def ended(self, fact: Fact) -> tuple[Hop, ...]:
        """The documents, the last one read for a fact."""
        return (*self.hops, Hop(entity=self.last, fact=fact, key=self.key))


def _choices(pair: tuple[Entity, Entity, Entity]) -> int:
    """Entries of the shorter list of a pair of countries."""
    return min(len(fact.targets) for country in pair[:2] if (fact := country.fact("neighbours")))


def _any(options: Sequence[T], rng: np.random.Generator) -> T:
    return options[int(rng.integers(len(options)))]
