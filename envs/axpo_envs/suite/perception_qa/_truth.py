"""Defines what a question of PerceptionQA is about and the truth behind it: topics, and what must be seen to answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from axpo_envs.imaging.coordinates import PixelBox


class Picture(StrEnum):
    """What a question is asked of."""

    SCENES = "scenes"
    """Boards of many colours and shapes with small marks on them."""
    MAPS = "maps"
    """Real towns and airports at their true coordinates."""


class Kind(StrEnum):
    """What a question demands."""

    ATTRIBUTE = "attribute"
    """The colour or the shape of a mark (scenes)."""
    COUNT = "count"
    """How many there are."""
    COMPARISON = "comparison"
    """Which of five candidates has the most, or lies furthest."""
    POSITION = "position"
    """In which of eight directions one thing lies from another."""
    READING = "reading"
    """A character, a name or a code."""
    DISTANCE = "distance"
    """Kilometres by the scale of the map (maps)."""


class Topic(StrEnum):
    """A form of question; each kind has one or two on each sort of picture."""

    COLOUR = "colour"
    """The colour of the only mark of a shape on a board."""
    SHAPE = "shape"
    """The shape of the only mark of a colour on a board."""
    MARKS = "marks"
    """How many marks of a shape are on a board."""
    MOST = "most"
    """Which of five boards has the most marks of a shape."""
    DIRECTION = "direction"
    """In which direction one mark of a board lies from another."""
    CHARACTER = "character"
    """The character on a board."""
    TOWNS = "towns"
    """How many towns lie within a box on a map."""
    FURTHEST = "furthest"
    """Which of five towns lies furthest north, south, east or west."""
    BEARING = "bearing"
    """In which direction one town lies from another."""
    NAME = "name"
    """The name beside a red dot."""
    CODE = "code"
    """The code beside a red square, an airport."""
    DISTANCE = "distance"
    """How far a red dot lies from a blue one."""

    @property
    def kind(self) -> Kind:
        """What it demands."""
        return _KINDS[self]

    @property
    def picture(self) -> Picture:
        """What it is asked of."""
        return Picture.SCENES if self in _OF_SCENES else Picture.MAPS


_KINDS: Final = {
    Topic.COLOUR: Kind.ATTRIBUTE,
    Topic.SHAPE: Kind.ATTRIBUTE,
    Topic.MARKS: Kind.COUNT,
    Topic.MOST: Kind.COMPARISON,
    Topic.DIRECTION: Kind.POSITION,
    Topic.CHARACTER: Kind.READING,
    Topic.TOWNS: Kind.COUNT,
    Topic.FURTHEST: Kind.COMPARISON,
    Topic.BEARING: Kind.POSITION,
    Topic.NAME: Kind.READING,
    Topic.CODE: Kind.READING,
    Topic.DISTANCE: Kind.DISTANCE,
}
_OF_SCENES: Final = frozenset(tuple(_KINDS)[:6])


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A part of the picture that must be seen enlarged."""

    box: PixelBox
    """The part, in pixels of the original."""
    detail: float
    """Original pixels of the smallest thing in it that must be told."""
    legible: float = 7.0
    """Pixels that this thing must be high as shown."""

    def shown_by(self, box: PixelBox, view_size: int) -> bool:
        """Whether a crop of that box, shown at `view_size`, shows it whole and large enough."""
        slack = 0.05 * self.detail
        inside = box.left <= self.box.left + slack and box.top <= self.box.top + slack
        inside = inside and box.right >= self.box.right - slack and box.bottom >= self.box.bottom - slack
        return inside and self.detail * view_size / max(box.width, box.height) >= self.legible


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The truth behind a question, for experts, diagnostics and probes."""

    topic: Topic
    """Its form."""
    text: str
    """The question."""
    answer: str
    """The answer."""
    alternatives: tuple[str, ...] = ()
    """Other ways to write it."""
    options: tuple[str, ...] = ()
    """The candidates that the question names; empty where it names none."""
    words: tuple[str, ...] = ()
    """The words that make it differ from other questions of its topic: shapes, colours, directions."""
    places: tuple[PixelBox, ...] = ()
    """The things asked about that the reduced view lets one find, in pixels of the original."""
    looks: tuple[Look, ...] = ()
    """What must be seen enlarged; empty where measuring is enough."""
    measured: tuple[tuple[float, float], ...] = ()
    """The points whose measurement answers it: one for a colour, two for a distance; empty where none does."""
    km_per_pixel: float | None = None
    """Scale of a map; None for a scene."""
