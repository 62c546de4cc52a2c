"""Defines the maps of PerceptionQA: a window on a tile, the places that have room in it, and their labels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.suite.perception_qa._map_font import label_width
from axpo_envs.suite.perception_qa._places import TILE_DEGREES, Place, Tile

KM_PER_DEGREE: Final = 111.195
"""Kilometres from one parallel to the next: a 360th of the circumference of a sphere of radius 6371 km."""

_SMALLEST_KM, _LARGEST_KM = 60.0, 400.0
_FEWEST_TOWNS, _MOST_TOWNS, _MOST_AIRPORTS = 16, 64, 8
_BARS: Final = (5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 80, 100, 120)
_BAR_SHARES: Final = (0.08, 0.4)
_MARGIN: Final = 1.2
_DOT: Final = 0.45
_FONT: Final = 1.6
_LABEL_GAP: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A place on a map with its label."""

    place: Place
    """What it is."""
    x: float
    """Pixels from the left."""
    y: float
    """Pixels from the top."""
    label: PixelBox
    """Where its label stands."""

    def box(self, unit: float) -> PixelBox:
        """Symbol and label."""
        reach = 2 * _DOT * unit
        return PixelBox(
            min(self.label.left, self.x - reach),
            min(self.label.top, self.y - reach),
            max(self.label.right, self.x + reach),
            max(self.label.bottom, self.y + reach),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A coloured box on a map."""

    colour: str
    """Its colour's name."""
    box: PixelBox
    """Where it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """One map, north up: everything needed to draw it again."""

    size: int
    """Width and height in pixels."""
    unit: float
    """Original pixels that one pixel of the view covers across."""
    north: float
    """Latitude of the upper edge, degrees."""
    west: float
    """Longitude of the left edge, degrees."""
    kilometres: float
    """Width and height."""
    squeeze: float
    """Cosine of the latitude in the middle: by how much degrees of longitude are shorter than those of latitude."""
    pins: tuple[Pin, ...]
    """Towns, the largest first, then airports."""
    bar_km: int
    """Length of the scale bar."""
    marked: tuple[tuple[str, str], ...] = ()
    """Keys of places, and the colour in which their symbol is drawn, larger than others."""
    frame: Frame | None = None
    """A box, where one is asked about."""
    seed: int = 0
    """Seeds the backdrop."""

    @property
    def km_per_pixel(self) -> float:
        """Scale."""
        return self.kilometres / self.size

    @property
    def towns(self) -> tuple[Pin, ...]:
        """The pins that are towns."""
        return tuple(pin for pin in self.pins if not pin.place.is_airport)

    @property
    def airports(self) -> tuple[Pin, ...]:
        """The pins that are airports."""
        return tuple(pin for pin in self.pins if pin.place.is_airport)

    @property
    def dot(self) -> float:
        """Radius of a symbol in pixels; that of a marked one is twice that."""
        return _DOT * self.unit

    @property
    def font(self) -> float:
        """Font size of labels in pixels."""
        return _FONT * self.unit

    @property
    def bar(self) -> PixelBox:
        """The scale bar with its label, near the lower left corner."""
        length = self.bar_km / self.km_per_pixel
        foot = self.size - 1.2 * self.unit
        return PixelBox(1.5 * self.unit, foot - 2.4 * self.unit, 1.5 * self.unit + max(length, 7 * self.unit), foot)


def arrange_map(tiles: Sequence[Tile], *, size: int, unit: float, rng: np.random.Generator) -> Map:
    """A window of 60 to 400 km at a random town of a random tile, with as many places as have room.

    Larger towns come first, as on other maps; of namesakes only the largest is shown.
    """
    while True:
        tile = tiles[int(rng.integers(len(tiles)))]
        towns = [place for place in tile.places if not place.is_airport]
        centre = towns[int(rng.integers(len(towns)))]
        kilometres = math.exp(float(rng.uniform(math.log(_SMALLEST_KM), math.log(_LARGEST_KM))))
        bars = [bar for bar in _BARS if _BAR_SHARES[0] <= bar / kilometres <= _BAR_SHARES[1]]
        bare = _window(tile, centre, kilometres, size=size, unit=unit)
        # How long the bar is tells nothing of the scale: it must be read.
        bare = dataclasses.replace(bare, bar_km=bars[int(rng.integers(len(bars)))])
        pins = _pinned(bare, tile.places)
        if sum(not pin.place.is_airport for pin in pins) >= _FEWEST_TOWNS:
            return dataclasses.replace(bare, pins=pins, seed=int(rng.integers(2**63)))


def _window(tile: Tile, centre: Place, kilometres: float, *, size: int, unit: float) -> Map:
    """The window around a place, moved inside the tile where it reaches out."""
    high = kilometres / KM_PER_DEGREE
    south = min(max(centre.latitude - high / 2, tile.south), tile.south + TILE_DEGREES - high)
    squeeze = math.cos(math.radians(south + high / 2))
    wide = high / squeeze
    west = min(max(centre.longitude - wide / 2, tile.west), tile.west + TILE_DEGREES - wide)
    return Map(
        size=size,
        unit=unit,
        north=south + high,
        west=west,
        kilometres=kilometres,
        squeeze=squeeze,
        pins=(),
        bar_km=_BARS[0],
    )


def _pinned(bare: Map, places: Sequence[Place]) -> tuple[Pin, ...]:
    taken, names = [bare.bar], set[str]()
    pins: list[Pin] = []
    left = {True: _MOST_AIRPORTS, False: _MOST_TOWNS}
    for place in places:
        x, y = _pixels(bare, place)
        edge = _MARGIN * bare.unit
        inside = edge < x < bare.size - edge and edge < y < bare.size - edge
        if not inside or left[place.is_airport] == 0 or place.name.casefold() in names:
            continue
        reach = 2.4 * bare.dot
        symbol = PixelBox(x - reach, y - reach, x + reach, y + reach)
        label = None if _hits(symbol, taken) else _label(bare, place.name, x, y, taken)
        if label is not None:
            pins.append(Pin(place=place, x=x, y=y, label=label))
            taken += [symbol, label]
            names.add(place.name.casefold())
            left[place.is_airport] -= 1
    return tuple(pins)


def _pixels(window: Map, place: Place) -> tuple[float, float]:
    per_degree = KM_PER_DEGREE / window.km_per_pixel
    x = (place.longitude - window.west) * per_degree * window.squeeze
    return x, (window.north - place.latitude) * per_degree


def _label(window: Map, name: str, x: float, y: float, taken: Sequence[PixelBox]) -> PixelBox | None:
    """Where a label has room: right of the symbol, left, above or below; None where it has none."""
    wide, high = label_width(name, round(window.font)), 1.25 * window.font
    gap = 2.6 * window.dot
    corners = (
        (x + gap, y - high / 2),
        (x - gap - wide, y - high / 2),
        (x - wide / 2, y - gap - high),
        (x - wide / 2, y + gap),
    )
    edge = _LABEL_GAP * window.unit
    for left, top in corners:
        box = PixelBox(left, top, left + wide, top + high)
        inside = min(left, top) > edge and max(box.right, box.bottom) < window.size - edge
        if inside and not _hits(box, taken):
            return box
    return None


def _hits(box: PixelBox, others: Sequence[PixelBox]) -> bool:
    return any(
        box.left < other.right and other.left < box.right and box.top < other.bottom and other.top < box.bottom
        for other in others
    )
