"""Defines the questions that PerceptionQA asks of maps: a map is made for each, with the truth behind it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.suite.perception_qa._board_questions import CANDIDATES
from axpo_envs.suite.perception_qa._maps import Frame, Map, Pin, arrange_map
from axpo_envs.suite.perception_qa._places import Symbol, Tile, plain_name
from axpo_envs.suite.perception_qa._truth import Look, Topic, Truth

BEARINGS: Final = ("east", "south-east", "south", "south-west", "west", "north-west", "north", "north-east")
"""Answers about directions on maps, clockwise."""

ENDS: Final = ("north", "south", "east", "west")
"""Where the furthest of several towns is asked for."""

FEWEST_TOWNS, MOST_TOWNS = 2, 10
"""How many towns a box holds that are to be counted."""

ROUNDED_KM: Final = 10
"""Distances are asked for to the nearest ten kilometres."""

_COUNTED: Final = {
    Symbol.RING: "towns of fewer than 30,000 inhabitants",
    Symbol.DOT: "towns of 30,000 to 80,000 inhabitants",
    Symbol.TRIANGLE: "towns of more than 80,000 inhabitants",
}
_FRAMES: Final = ("green", "purple", "orange")
_TOLERANCE: Final = math.radians(12)
_NEAREST_IN_VIEW: Final = 12.0
_LEAD_IN_VIEW: Final = 2.0
_FRAME_IN_VIEW: Final = (14.0, 45.0)
_LOOK_IN_VIEW: Final = 15.0
_CLEAR_IN_VIEW: Final = 1.2
_CAPITAL_SHARE: Final = 0.73
_SYMBOL_LEGIBLE: Final = 6.0
_TRIES: Final = 200
_MAPS_TRIED: Final = 60


class Asked(NamedTuple):
    """A map with its question."""

    shown: Map
    """What is drawn."""
    truth: Truth
    """What is asked."""


def ask_of_map(topic: Topic, tiles: Sequence[Tile], *, size: int, unit: float, rng: np.random.Generator) -> Asked:
    """A question of a topic with a fresh map of one of the tiles.

    Args:
        topic: one of those of maps.
        tiles: those of the split.
        size: width and height of the map in pixels.
        unit: original pixels to one of the view.
        rng: draws everything.
    """
    while True:
        # What is wanted stays while maps are tried, so that what few maps have is asked for as often as anything else.
        seed = int(rng.integers(2**63))
        for _ in range(_MAPS_TRIED):
            shown = arrange_map(tiles, size=size, unit=unit, rng=rng)
            asked = _DRAFTS[topic](shown, np.random.default_rng(seed))
            if asked is not None:
                truth = dataclasses.replace(asked.truth, km_per_pixel=shown.km_per_pixel)
                return Asked(asked.shown, truth)


def _name(shown: Map, rng: np.random.Generator) -> Asked:
    pin = shown.towns[int(rng.integers(len(shown.towns)))]
    marked = dataclasses.replace(shown, marked=((pin.place.key, "red"),))
    truth = Truth(
        topic=Topic.NAME,
        text="What is the name beside the red dot on the map?",
        answer=pin.place.name,
        alternatives=_unaccented(pin.place.name),
        places=(_symbol(shown, pin),),
        looks=(_look(shown, pin),),
    )
    return Asked(marked, truth)


def _code(shown: Map, rng: np.random.Generator) -> Asked | None:
    if len(shown.airports) < 2:
        return None
    pin = shown.airports[int(rng.integers(len(shown.airports)))]
    marked = dataclasses.replace(shown, marked=((pin.place.key, "red"),))
    truth = Truth(
        topic=Topic.CODE,
        text="What is the code of the airport whose square is red on the map?",
        answer=pin.place.name,
        places=(_symbol(shown, pin),),
        looks=(_look(shown, pin),),
    )
    return Asked(marked, truth)


def _furthest(shown: Map, rng: np.random.Generator) -> Asked | None:
    end = ENDS[int(rng.integers(len(ENDS)))]
    chosen = [shown.towns[int(number)] for number in rng.permutation(len(shown.towns))[:CANDIDATES]]
    far = {"north": _north, "south": _south, "east": _east, "west": _west}[end]
    ranked = sorted(chosen, key=far, reverse=True)
    if far(ranked[0]) - far(ranked[1]) < _LEAD_IN_VIEW * shown.unit:
        return None
    names = tuple(pin.place.name for pin in chosen)
    truth = Truth(
        topic=Topic.FURTHEST,
        text=f"Which of these towns lies furthest {end} on the map: {', '.join(names[:-1])} or {names[-1]}?",
        answer=ranked[0].place.name,
        alternatives=_unaccented(ranked[0].place.name),
        options=names,
        words=(end,),
        looks=tuple(_look(shown, pin) for pin in chosen),
    )
    return Asked(shown, truth)


def _north(pin: Pin) -> float:
    return -pin.y


def _south(pin: Pin) -> float:
    return pin.y


def _east(pin: Pin) -> float:
    return pin.x


def _west(pin: Pin) -> float:
    return -pin.x


def _bearing(shown: Map, rng: np.random.Generator) -> Asked | None:
    wanted = int(rng.integers(len(BEARINGS)))
    pairs = [
        (one, other) for one in shown.towns for other in shown.towns
        if math.dist((one.x, one.y), (other.x, other.y)) >= _NEAREST_IN_VIEW * shown.unit
        and abs(math.remainder(math.atan2(other.y - one.y, other.x - one.x) - wanted * math.pi / 4, 2 * math.pi))
        <= _TOLERANCE
    ]  # fmt: skip
    if not pairs:
        return None
    one, other = pairs[int(rng.integers(len(pairs)))]
    answer = BEARINGS[wanted]
    truth = Truth(
        topic=Topic.BEARING,
        text=f"In which direction from {one.place.name} does {other.place.name} lie on the map: "
        f"{', '.join(BEARINGS[:-1])} or {BEARINGS[-1]}?",
        answer=answer,
        alternatives=(answer.replace("-", ""), answer.replace("-", " ")) if "-" in answer else (),
        looks=(_look(shown, one), _look(shown, other)),
    )
    return Asked(shown, truth)


def _towns(shown: Map, rng: np.random.Generator) -> Asked | None:
    wanted, number = int(rng.integers(FEWEST_TOWNS, MOST_TOWNS + 1)), int(rng.integers(len(_COUNTED)))
    symbol = tuple(_COUNTED)[number]
    box = _box_around(shown, symbol, wanted, rng)
    if box is None:
        return None
    colour = _FRAMES[int(rng.integers(len(_FRAMES)))]
    truth = Truth(
        topic=Topic.TOWNS,
        text=f"How many {symbol}s ({_COUNTED[symbol]}) lie inside the {colour} box on the map?",
        answer=str(wanted),
        words=(symbol,),
        places=(box,),
        looks=_looks_at(shown, box),
    )
    return Asked(dataclasses.replace(shown, frame=Frame(colour=colour, box=box)), truth)


def _box_around(shown: Map, symbol: Symbol, wanted: int, rng: np.random.Generator) -> PixelBox | None:
    """A box that holds so many towns of a symbol, none of them near its edges; None where none was found."""
    clear = _CLEAR_IN_VIEW * shown.unit
    places = np.array([(pin.x, pin.y) for pin in shown.towns if pin.place.symbol is symbol]).reshape(-1, 2)
    if len(places) < wanted:
        return None
    sides = rng.uniform(*_FRAME_IN_VIEW, (_TRIES, 2)) * shown.unit
    low = clear + rng.random((_TRIES, 2)) * (shown.size - 2 * clear - sides)
    up = low + sides
    inside = ((places > low[:, None] + clear) & (places < up[:, None] - clear)).all(axis=2).sum(axis=1)
    near = ((places > low[:, None] - clear) & (places < up[:, None] + clear)).all(axis=2).sum(axis=1)
    found = np.flatnonzero((inside == wanted) & (near == wanted))
    return PixelBox(*map(float, (*low[found[0]], *up[found[0]]))) if found.size else None


def _looks_at(shown: Map, box: PixelBox) -> tuple[Look, ...]:
    """Parts of a box that are small enough to show its dots."""
    side = _LOOK_IN_VIEW * shown.unit
    across, down = math.ceil(box.width / side), math.ceil(box.height / side)
    wide, high = box.width / across, box.height / down
    return tuple(
        Look(
            box=PixelBox(
                box.left + column * wide, box.top + row * high,
                box.left + (column + 1) * wide, box.top + (row + 1) * high,
            ),
            detail=2 * shown.dot,
            legible=_SYMBOL_LEGIBLE,
        )
        for row in range(down) for column in range(across)
    )  # fmt: skip


def _distance(shown: Map, rng: np.random.Generator) -> Asked | None:
    one, other = (shown.towns[int(number)] for number in rng.permutation(len(shown.towns))[:2])
    ends = ((one.x, one.y), (other.x, other.y))
    kilometres = math.dist(*ends) * shown.km_per_pixel
    off = abs(kilometres / ROUNDED_KM - round(kilometres / ROUNDED_KM))
    # Whoever is a quarter of a step off still rounds to the same number.
    if kilometres < ROUNDED_KM or off > 0.25:
        return None
    marked = dataclasses.replace(shown, marked=((one.place.key, "red"), (other.place.key, "blue")))
    rounded = round(kilometres / ROUNDED_KM) * ROUNDED_KM
    truth = Truth(
        topic=Topic.DISTANCE,
        text="How far is it in a straight line from the red dot to the blue dot by the scale of the map, in "
        "kilometres, to the nearest ten?",
        answer=str(rounded),
        alternatives=tuple(f"{rounded}{unit}" for unit in (" km", "km", " kilometres", " kilometers")),
        places=(_symbol(shown, one), _symbol(shown, other)),
        measured=ends,
    )
    return Asked(marked, truth)


_DRAFTS: Final[Mapping[Topic, Callable[[Map, np.random.Generator], Asked | None]]] = {
    Topic.NAME: _name,
    Topic.CODE: _code,
    Topic.FURTHEST: _furthest,
    Topic.BEARING: _bearing,
    Topic.TOWNS: _towns,
    Topic.DISTANCE: _distance,
}


def _look(shown: Map, pin: Pin) -> Look:
    """A symbol with its label."""
    return Look(box=pin.box(shown.unit), detail=_CAPITAL_SHARE * shown.font)


def _symbol(shown: Map, pin: Pin) -> PixelBox:
    reach = 2 * shown.dot
    return PixelBox(pin.x - reach, pin.y - reach, pin.x + reach, pin.y + reach)


def _unaccented(name: str) -> tuple[str, ...]:
    plain = plain_name(name)
    return (plain,) if plain != name else ()
