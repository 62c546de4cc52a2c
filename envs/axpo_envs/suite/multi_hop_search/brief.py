"""Defines `brief_graph`: a few cities and facts of each country, for a very small policy."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

from axpo_envs.suite.multi_hop_search._building import build_graph
from axpo_envs.suite.multi_hop_search._graph import Entity, Fact, FactGraph, Kind
from axpo_envs.suite.multi_hop_search._sources import City, read_world

_CITIES_OF_A_COUNTRY: Final = 3
_OF_COUNTRIES: Final = ("iso3", "capital", "currency")
"""Relations that are kept, in the order in which documents state them."""


@lru_cache(maxsize=2)
def brief_graph(size: int) -> FactGraph:
    """The countries of the corpus of that many documents, with their capitals and next largest cities.

    Left out are airports, elements, cities that share their names with others, and facts that nobody guesses;
    continents and quadrants (north-east of equator and prime meridian, say) are told besides, whose values many share.

    Raises:
        MissingExtraError: a package of the extra `data` is not installed.
    """
    full = build_graph(size)
    cities: dict[str, list[Entity]] = {}
    for entity in full.entities.values():
        home = entity.fact("country")
        if entity.kind is Kind.CITY and home is not None and entity.title == entity.name:
            cities.setdefault(home.targets[0], []).append(entity)
    kept: dict[str, Entity] = {}
    for entity in full.entities.values():
        seat = entity.fact("capital")
        if entity.kind is not Kind.COUNTRY or seat is None:
            continue
        here = sorted(cities.get(entity.id, ()), key=lambda city: (city.id != seat.targets[0], -_inhabitants(city)))
        if not here or here[0].id != seat.targets[0]:
            continue
        kept[entity.id] = _country(entity)
        kept.update({city.id: _city(city) for city in here[:_CITIES_OF_A_COUNTRY]})
    return FactGraph(entities={name: kept[name] for name in full.entities if name in kept})


def _country(entity: Entity) -> Entity:
    facts = [fact for name in _OF_COUNTRIES if (fact := entity.fact(name)) is not None]
    continent = read_world().countries[entity.id.partition("-")[2]].continent
    return replace(entity, facts=(*facts, Fact(relation="continent", value=continent)))


def _city(entity: Entity) -> Entity:
    home = entity.fact("country")
    assert home is not None
    quadrant = _quadrant(read_world().cities[int(entity.id.partition("-")[2])])
    mentions = tuple(mention for mention in entity.mentions if mention.key == entity.title)
    return replace(entity, aliases=(), mentions=mentions, facts=(home, Fact(relation="quadrant", value=quadrant)))


def _quadrant(city: City) -> str:
    return f"{'south' if city.latitude < 0 else 'north'}-{'west' if city.longitude < 0 else 'east'}"


def _inhabitants(city: Entity) -> int:
    fact = city.fact("population")
    return int(fact.value) if fact is not None else 0
