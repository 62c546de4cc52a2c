"""Defines which places a corpus of a given size has, and to which split each country belongs."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import Final

from axpo_envs.questions.splits import Split
from axpo_envs.suite.multi_hop_search._sources import Airport, City, World

_TURNS: Final = (Split.TRAIN, Split.VALIDATION, Split.TRAIN, Split.TEST, Split.TRAIN)
_CLUSTER: Final = 6
_LARGE: Final = 4
_SHARES: Final = {Split.TRAIN: 0.6, Split.VALIDATION: 0.2, Split.TEST: 0.2}
_DOCUMENTS_PER_COUNTRY: Final = 8
_FEWEST_COUNTRIES: Final = 6
_ELEMENTS_FROM: Final = 2000
_NAMESAKES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a corpus is about."""

    splits: Mapping[str, Split]
    """The countries, by code, each with its split."""
    cities: tuple[City, ...]
    """Their cities."""
    airports: tuple[Airport, ...]
    """Airports of these cities."""
    elements: bool
    """Whether the chemical elements are in it, too."""


def order_of(text: str) -> int:
    """A number that puts things into an order without meaning, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def capitals(world: World) -> dict[str, City]:
    """The seat of government of each country whose name is found among its cities; the most populous of that name."""
    found: dict[str, City] = {}
    for city in sorted(world.cities.values(), key=lambda city: city.population):
        country = world.countries[city.country]
        if country.capital.casefold() == city.name.casefold():
            found[country.code] = city
    return found


def country_splits(world: World, seats: Mapping[str, City]) -> Iterator[tuple[str, Split]]:
    """The countries that have a known seat of government, neighbours beside each other, each with its split.

    Countries are grouped with neighbours, at most six together, so that every split has pairs with a common neighbour;
    a group goes to the split that lacks most of its share.
    """
    taken: set[str] = set()
    counts: Counter[Split] = Counter()
    clusters: dict[Split, list[list[str]]] = {split: [] for split in Split}
    for seed in sorted(seats, key=order_of):
        if seed in taken:
            continue
        cluster = _grown(seed, world, set(seats) - taken)
        taken.update(cluster)
        split = min(Split, key=lambda one: counts[one] / _SHARES[one])
        counts[split] += len(cluster)
        clusters[split].append(cluster)
    # Small corpora take the first of them: some of every split, and neighbours rather than islands.
    for listed in clusters.values():
        listed.sort(key=_is_scattered)
    queues = {split: chain.from_iterable(listed) for split, listed in clusters.items()}
    for _ in range(len(taken)):
        for split in _TURNS:
            yield from ((code, split) for code in islice(queues[split], 1))


def _is_scattered(cluster: list[str]) -> bool:
    return len(cluster) < _LARGE


def select(world: World, size: int) -> Selection:
    """As many places as make a corpus of that many documents, and the elements in corpora of 2,000 and more.

    Every country gets its capital and its next largest city first, then the cities that have airports, then others, in
    turn with all other countries; one in twelve documents is kept for further cities that share a name with one of
    them.
    """
    seats = capitals(world)
    elements = size >= _ELEMENTS_FROM
    lists = {element.group for element in world.elements} | {-element.period for element in world.elements}
    room = size - (len(world.elements) + len(lists - {None}) if elements else 0)
    wanted = max(_FEWEST_COUNTRIES, size // _DOCUMENTS_PER_COUNTRY)
    splits = dict(islice(country_splits(world, seats), wanted))
    room -= len(splits)
    at: dict[int, list[Airport]] = defaultdict(list)
    for airport in world.airports:
        at[airport.city].append(airport)
    chosen = _Chosen(at)
    places = _places(world, seats, splits, at)
    chosen.take(places, room - (room // _NAMESAKES if elements else 0))
    if elements:
        chosen.take(_namesakes(world, splits, chosen), room)
    chosen.take(places, room)
    return Selection(splits=splits, cities=tuple(chosen.cities), airports=tuple(chosen.airports), elements=elements)


class _Chosen:
    """Cities that were chosen, with their airports."""

    def __init__(self, at: Mapping[int, list[Airport]]) -> None:
        self._at = at
        self.cities: list[City] = []
        self.airports: list[Airport] = []
        self._numbers: set[int] = set()

    def take(self, cities: Iterator[City], room: int) -> None:
        """Takes cities that it has not, and their airports, until there are so many documents."""
        while (left := room - len(self.cities) - len(self.airports)) > 0:
            city = next(cities, None)
            if city is None:
                return
            if city.number not in self._numbers:
                self._numbers.add(city.number)
                self.cities.append(city)
                self.airports += self._at.get(city.number, [])[: left - 1]


def _grown(seed: str, world: World, free: set[str]) -> list[str]:
    cluster, waiting = [seed], deque([seed])
    while waiting and len(cluster) < _CLUSTER:
        for neighbour in world.countries[waiting.popleft()].neighbours:
            if neighbour in free and neighbour not in cluster and len(cluster) < _CLUSTER:
                cluster.append(neighbour)
                waiting.append(neighbour)
    return cluster


def _places(
    world: World, seats: Mapping[str, City], splits: Mapping[str, Split], at: Mapping[int, list[Airport]]
) -> Iterator[City]:
    by_country: dict[str, list[City]] = defaultdict(list)
    for city in sorted(world.cities.values(), key=lambda city: -city.population):
        by_country[city.country].append(city)
    queues = [_queue(seats[code], by_country[code], at) for code in splits]
    return filter(None, chain.from_iterable(zip_longest(*queues)))


def _queue(seat: City, cities: list[City], at: Mapping[int, list[Airport]]) -> list[City]:
    first = [seat, *(city for city in cities if city is not seat)][:2]
    rest = [city for city in cities if city not in first]
    return first + [city for city in rest if city.number in at] + [city for city in rest if city.number not in at]


def _namesakes(world: World, splits: Mapping[str, Split], chosen: _Chosen) -> Iterator[City]:
    names = {city.name for city in chosen.cities}
    for city in sorted(world.cities.values(), key=lambda city: -city.population):
        if city.name in names and city.country in splits:
            yield city
