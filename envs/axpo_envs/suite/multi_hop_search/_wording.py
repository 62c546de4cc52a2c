"""Defines how facts are worded: the sentences of documents, and the phrases of questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from axpo_envs.suite.multi_hop_search._graph import Entity, Fact, Kind
from axpo_envs.suite.multi_hop_search._selection import order_of

_SENTENCES: Final[Mapping[str, tuple[str, ...]]] = {
    "capital": (
        "The seat of government is {value}.",
        "{name} is governed from {value}.",
        "Its capital is {value}.",
    ),
    "other_city": (
        "Of the other towns, {value} has most inhabitants.",
        "Leaving the capital aside, most people live in {value}.",
        "The largest town besides the capital is {value}.",
    ),
    "neighbours": (
        "On land it touches {value}.",
        "{name} shares borders with {value}.",
        "Its neighbours are {value}.",
    ),
    "currency": ("People pay in {value}.", "Money there is the {value}.", "The legal tender is {value}."),
    "calling_code": (
        "Calls from abroad begin with the code +{value}.",
        "The telephone prefix is +{value}.",
        "Telephone numbers bear the calling code +{value}.",
    ),
    "area": ("It covers {value} square kilometres.", "Its area comes to {value} square kilometres."),
    "domain": ("Web addresses end in {value}.", "The top-level domain is {value}."),
    "iso3": ("Lists abbreviate it as {value}.", "Its ISO code has the three letters {value}."),
    "country": ("It lies in {value}.", "The city belongs to {value}.", "{name} is one of the cities of {value}."),
    "population": (
        "About {value} people live there.",
        "The number of inhabitants is {value}.",
        "Its population was counted as {value}.",
    ),
    "zone": ("Clocks follow the zone {value}.", "Its time zone is {value}.", "Local time is that of {value}."),
    "airport": (
        "Travellers by air use {value}.",
        "Its airport is {value}.",
        "Flights to {name} land at {value}.",
    ),
    "elevation": (
        "The runway lies {value} feet above the sea.",
        "Its elevation is {value} feet.",
        "Aircraft touch down at a height of {value} feet.",
    ),
    "icao": ("Pilots know it as {value}.", "The ICAO code is {value}."),
    "iata": ("Luggage tags bear the letters {value}.", "The IATA code is {value}."),
    "city": ("It serves {value}.", "The city that it belongs to is {value}.", "Most of its passengers go to {value}."),
    "symbol": ("Chemists write it {value}.", "Its symbol is {value}."),
    "atomic_number": ("Its nucleus holds {value} protons.", "The atomic number is {value}."),
    "year": ("It was discovered in {value}.", "The year of its discovery is {value}."),
    "discoverers": ("The discovery is credited to {value}.", "Its discoverer: {value}."),
    "members": ("It holds {value}.", "The elements in it are {value}."),
}
_OPENINGS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.COUNTRY: ("{name} is a country or territory.", "This page is about the country {name}."),
    Kind.CITY: ("{title} is a city.", "{title}: a town.", "This page describes the city of {title}."),
    Kind.AIRPORT: ("{title} is an airport.", "{title}: an airfield with scheduled codes."),
    Kind.ELEMENT: ("{title} is a chemical element.", "Among the elements, {title} has a page of its own."),
    Kind.GROUP: ("{title} is a column of elements.",),
    Kind.PERIOD: ("{title} is a row of elements.",),
}
_ALIASES: Final = ("It is also called {value}.", "Other spellings are {value}.", "Maps name it {value}, too.")
_WORDS: Final[Mapping[str, str]] = {"iso3": "code"}
"""What brief documents and queries call a relation, where that is not its name."""
_ASKED: Final[Mapping[str, tuple[str, ...]]] = {
    "capital": ("the capital of {x}", "the seat of government of {x}"),
    "other_city": ("the most populous city besides the capital of {x}", "the largest non-capital city of {x}"),
    "currency": ("the currency of {x}", "the money that is used in {x}"),
    "calling_code": ("the international calling code of {x}", "the telephone code of {x}"),
    "area": ("the area in square kilometres of {x}",),
    "domain": ("the top-level internet domain of {x}",),
    "iso3": ("the three-letter ISO code of {x}",),
    "country": ("the country of {x}", "the country in which {x} lies"),
    "population": ("the population of {x}", "the number of inhabitants of {x}"),
    "zone": ("the time zone of {x}",),
    "airport": ("the airport of {x}", "the airport that serves {x}"),
    "elevation": ("the elevation in feet of {x}", "the height in feet of {x}"),
    "icao": ("the ICAO code of {x}",),
    "iata": ("the IATA code of {x}",),
    "city": ("the city served by {x}", "the city that {x} serves"),
    "symbol": ("the symbol of {x}",),
    "atomic_number": ("the atomic number of {x}",),
    "year": ("the year of discovery of {x}",),
    "discoverers": ("the discoverer of {x}",),
    "continent": ("the continent of {x}", "the continent on which {x} lies"),
    "quadrant": ("the quadrant of the earth of {x}", "the quadrant of the earth in which {x} lies"),
}


def opening(entity: Entity, *, plain: bool) -> str:
    """The first sentence of a document."""
    return _choice(_OPENINGS[entity.kind], entity.id, plain=plain).format(title=entity.title, name=entity.name)


def sentence(entity: Entity, fact: Fact, *, plain: bool) -> str:
    """The sentence of a document that states a fact; `plain` words a relation always in the same way."""
    wording = _choice(_SENTENCES[fact.relation], f"{entity.id}/{fact.relation}", plain=plain)
    return wording.format(name=entity.name, value=fact.value)


def word_of(relation: str) -> str:
    """What brief documents and queries call a relation."""
    return _WORDS.get(relation, relation)


def brief_sentence(entity: Entity, fact: Fact) -> str:
    """The sentence of a brief document that states a fact: it begins with the words that a search for it has."""
    return f"{entity.name} {word_of(fact.relation)}: {fact.value}."


def alias_sentence(entity: Entity) -> str:
    """The sentence that tells an entity's other names."""
    return _choice(_ALIASES, f"{entity.id}/aliases", plain=False).format(value=", ".join(entity.aliases))


def asked(relation: str, of: str, choice: int) -> str:
    """The phrase that asks for a relation of something, such as `the capital of X`.

    Args:
        relation: what is asked for.
        of: the phrase that names the something.
        choice: picks one of the wordings.
    """
    wordings = _ASKED[relation]
    return wordings[choice % len(wordings)].format(x=of)


def _choice(wordings: tuple[str, ...], key: str, *, plain: bool) -> str:
    return wordings[0] if plain else wordings[order_of(key) % len(wordings)]
