"""Defines `build_graph`: the entities of a corpus, made of the facts of the data packages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from axpo_envs.questions.splits import Split
from axpo_envs.suite.multi_hop_search._graph import Entity, Fact, FactGraph, Kind, Mention
from axpo_envs.suite.multi_hop_search._selection import Selection, capitals, order_of, select
from axpo_envs.suite.multi_hop_search._sources import Airport, City, Country, Element, World, read_world

_ALIASES: Final = 4
_WORDS: Final = ("and", "are")
"""Codes that are words of many documents: nobody could search for them."""
_SPLITS_OF_ELEMENTS: Final = (Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST)


@lru_cache(maxsize=4)
def build_graph(size: int) -> FactGraph:
    """The graph of a corpus of that many documents; about a second, kept for later calls.

    Raises:
        MissingExtraError: a package of the extra `data` is not installed.
    """
    world = read_world()
    selection = select(world, size)
    entities = [*_Places(world, selection).entities()]
    if selection.elements:
        entities += [*_elements(world.elements), *_lists(world.elements)]
    entities.sort(key=lambda entity: order_of(entity.id))
    return FactGraph(entities={entity.id: entity for entity in entities})


class _Places:
    """Makes the entities of countries, cities and airports.

    Every connection is stated by one document: that of the airport or that of the city, that of the city (its country)
    or that of the country (its seat of government and next largest city).
    """

    def __init__(self, world: World, selection: Selection) -> None:
        self._world = world
        self._chosen = selection
        self._cities: Mapping[int, City] = {city.number: city for city in selection.cities}
        self._seats = capitals(world)
        names = Counter(city.name for city in selection.cities)
        names.update(world.countries[code].name for code in selection.splits)
        self._titles = {
            city.number: city.name if names[city.name] == 1 else _located(city) for city in selection.cities
        }
        self._known = {city.number: _plain_aliases(city) for city in selection.cities}
        self._alias_bearers = Counter(
            name for city in selection.cities for name in {city.name, *self._known[city.number]}
        )
        self._stated = dict(self._airports_stated_by_cities())

    def entities(self) -> Iterator[Entity]:
        """All of them."""
        yield from (self._country(self._world.countries[code]) for code in self._chosen.splits)
        yield from map(self._city, self._chosen.cities)
        yield from map(self._airport, self._chosen.airports)

    def _airports_stated_by_cities(self) -> Iterator[tuple[int, Airport]]:
        at: dict[int, list[Airport]] = defaultdict(list)
        for airport in self._chosen.airports:
            at[airport.city].append(airport)
        names = Counter(airport.name for airport in self._chosen.airports)
        for number, airports in at.items():
            unique = len(airports) == 1 and names[airports[0].name] == 1
            if unique and order_of(airports[0].iata) % 2:
                yield number, airports[0]

    def _country(self, country: Country) -> Entity:
        here = [city for city in self._chosen.cities if city.country == country.code]
        seat = self._seats[country.code]
        others = [city for city in here if city is not seat]
        facts = [Fact(relation="capital", value=self._titles[seat.number], targets=(f"city-{seat.number}",))]
        if others:
            largest = max(others, key=lambda city: city.population)
            value = self._titles[largest.number]
            facts.append(Fact(relation="other_city", value=value, targets=(f"city-{largest.number}",)))
        borders = [self._world.countries[code] for code in country.neighbours if code in self._chosen.splits]
        if borders:
            value = _listed([neighbour.name for neighbour in borders])
            targets = tuple(f"country-{neighbour.code}" for neighbour in borders)
            facts.append(Fact(relation="neighbours", value=value, targets=targets))
        facts += [
            Fact(relation=relation, value=value)
            for relation, value in (
                ("currency", country.currency),
                ("calling_code", country.calling),
                ("area", str(country.area)),
                ("domain", country.domain),
                ("iso3", country.code3),
            )
            if value and value != "0"
        ]
        return Entity(
            id=f"country-{country.code}",
            kind=Kind.COUNTRY,
            name=country.name,
            title=f"{country.name} (country)",
            split=self._chosen.splits[country.code],
            mentions=()
            if country.code3.lower() in _WORDS
            else (
                Mention(phrase=f"the country with the ISO code {country.code3}", key=country.code3),
                Mention(phrase=f"the country whose three-letter code is {country.code3}", key=country.code3),
            ),
            facts=tuple(facts),
        )

    def _city(self, city: City) -> Entity:
        country = self._world.countries[city.country]
        facts = [
            Fact(relation="country", value=country.name, targets=(f"country-{country.code}",)),
            Fact(relation="population", value=str(city.population)),
            Fact(relation="zone", value=city.zone),
        ]
        if city.number in self._stated:
            airport = self._stated[city.number]
            facts.append(Fact(relation="airport", value=airport.name, targets=(f"airport-{airport.iata}",)))
        title, aliases = self._titles[city.number], self._known[city.number]
        mentions = [Mention(phrase=f"the city of {title}", key=title), Mention(phrase=title, key=title)]
        mentions += [
            Mention(phrase=f"the city that is also called {alias}", key=alias)
            for alias in aliases
            if self._alias_bearers[alias] == 1
        ]
        return Entity(
            id=f"city-{city.number}",
            kind=Kind.CITY,
            name=city.name,
            title=title,
            split=self._chosen.splits[city.country],
            aliases=aliases,
            mentions=tuple(mentions),
            facts=tuple(facts),
        )

    def _airport(self, airport: Airport) -> Entity:
        city = self._cities[airport.city]
        facts = [
            Fact(relation="elevation", value=str(airport.elevation)),
            Fact(relation="icao", value=airport.icao),
            Fact(relation="iata", value=airport.iata),
        ]
        mentions = [
            Mention(phrase=f"the airport with the IATA code {airport.iata}", key=airport.iata),
            Mention(phrase=f"the airport whose ICAO code is {airport.icao}", key=airport.icao),
        ]
        if airport.city not in self._stated:
            value = self._titles[city.number]
            facts.append(Fact(relation="city", value=value, targets=(f"city-{city.number}",)))
        return Entity(
            id=f"airport-{airport.iata}",
            kind=Kind.AIRPORT,
            name=airport.name,
            title=airport.name,
            split=self._chosen.splits[city.country],
            mentions=tuple(mentions),
            facts=tuple(facts),
        )


def _elements(elements: tuple[Element, ...]) -> Iterator[Entity]:
    for element in elements:
        facts = [
            Fact(relation="symbol", value=element.symbol),
            Fact(relation="atomic_number", value=str(element.number)),
        ]
        if element.year is not None:
            facts.append(Fact(relation="year", value=str(element.year)))
            facts.append(Fact(relation="discoverers", value=element.discoverers.strip(" .")))
        yield Entity(
            id=f"element-{element.symbol}",
            kind=Kind.ELEMENT,
            name=element.name,
            title=element.name,
            split=_SPLITS_OF_ELEMENTS[order_of(element.symbol) % len(_SPLITS_OF_ELEMENTS)],
            mentions=(
                Mention(phrase=f"the element {element.name}", key=element.name),
                Mention(phrase=element.name.lower(), key=element.name),
            ),
            facts=tuple(facts),
        )


def _lists(elements: tuple[Element, ...]) -> Iterator[Entity]:
    for kind in (Kind.GROUP, Kind.PERIOD):
        members: dict[int, list[Element]] = defaultdict(list)
        for element in elements:
            number = element.group if kind is Kind.GROUP else element.period
            if number is not None:
                members[number].append(element)
        for number, listed in sorted(members.items()):
            title = f"{kind.capitalize()} {number} of the periodic table"
            yield Entity(
                id=f"{kind}-{number}",
                kind=kind,
                name=title,
                title=title,
                split=None,
                mentions=(Mention(phrase=f"{kind} {number}", key=title),),
                facts=(
                    Fact(
                        relation="members",
                        value=_listed([element.name for element in listed]),
                        targets=tuple(f"element-{element.symbol}" for element in listed),
                    ),
                ),
            )


def _located(city: City) -> str:
    north, east = city.latitude, city.longitude
    return f"{city.name} ({abs(north):.3f} {'NS'[north < 0]}, {abs(east):.3f} {'EW'[east < 0]})"


def _plain_aliases(city: City) -> tuple[str, ...]:
    """Some of a city's other names, those in other scripts first; codes and names with marks of lists left out."""
    usable = [
        alias
        for alias in city.aliases
        if len(alias) > 3 - 2 * (not alias.isascii())
        and alias != city.name
        and not any(mark in alias for mark in ',;()[]/"')
        and city.name not in alias
    ]
    other = sorted((alias for alias in usable if not alias.isascii()), key=order_of)
    plain = sorted((alias for alias in usable if alias.isascii() and alias[0].isupper()), key=order_of)
    return tuple(dict.fromkeys((*plain[: _ALIASES // 2], *other[: _ALIASES // 2])))


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
