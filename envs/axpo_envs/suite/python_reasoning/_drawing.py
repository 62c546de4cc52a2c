"""Defines figures as data, the marks that they are made of, and `draw_figure`, which renders them at any size.

Coordinates are units of a canvas `WIDTH` units wide, from its upper left corner. What a figure shows can therefore be
read off its marks: every number is a `Label`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from axpo_envs.images import ImageRef

Point: TypeAlias = tuple[float, float]
Rgb: TypeAlias = tuple[int, int, int]

WIDTH: Final = 560.0
"""Units that every figure is wide."""
TEXT_SIZE: Final = 21.0
"""Font size of a label, in units."""

BLACK: Final[Rgb] = (25, 25, 30)
GREY: Final[Rgb] = (150, 150, 158)
PALE: Final[Rgb] = (222, 222, 228)
WHITE: Final[Rgb] = (255, 255, 255)
COLOURS: Final[dict[str, Rgb]] = {
    "red": (214, 54, 48),
    "blue": (48, 96, 206),
    "green": (44, 150, 74),
    "orange": (240, 146, 30),
    "purple": (134, 66, 172),
}
"""Colours that stay apart, by the words that questions use."""

_FINER: Final = 2
"""Figures are drawn so many times larger and reduced, which smooths their edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A line through points, or a filled area between them."""

    points: tuple[Point, ...]
    """At least two points in units."""
    fill: Rgb | None = None
    """Closes the path and fills it; None leaves it open."""
    colour: Rgb | None = BLACK
    """Of the line; None draws none."""
    width: float = 2.5
    """Of the line, in units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disc:
    """A circle."""

    centre: Point
    """In units."""
    radius: float
    """In units."""
    fill: Rgb | None = None
    """Of the area; None leaves it empty."""
    colour: Rgb | None = BLACK
    """Of the line; None draws none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Text."""

    at: Point
    """Where its anchor lies, in units."""
    text: str
    """ASCII: the bundled font lacks signs such as the one of multiplication."""
    size: float = TEXT_SIZE
    """Font size in units."""
    anchor: str = "mm"
    """Pillow's anchor: which point of the text lies there."""
    colour: Rgb = BLACK
    """Of the letters."""


Mark: TypeAlias = Path | Disc | Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing: everything needed to draw it again."""

    marks: tuple[Mark, ...]
    """What is drawn, later marks over earlier ones."""
    height: float = 420.0
    """Units that the canvas is high."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that stands in it."""
        return tuple(mark.text for mark in self.marks if isinstance(mark, Label))


def rectangle(left: float, top: float, right: float, bottom: float, *, fill: Rgb | None = None) -> Path:
    """An upright rectangle with an outline."""
    corners = ((left, top), (right, top), (right, bottom), (left, bottom), (left, top))
    return Path(points=corners, fill=fill)


def regular(centre: Point, radius: float, corners: int, fill: Rgb) -> Path:
    """A regular polygon that stands on a side, or on a corner where it has four."""
    turn = -math.pi / 2
    angles = [turn + 2 * math.pi * corner / corners for corner in range(corners + 1)]
    points = tuple((centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)) for angle in angles)
    return Path(points=points, fill=fill)


def draw_figure(figure: Figure, size: int) -> ImageRef:
    """The figure's pixels; the same figure and size give the same ones.

    Args:
        figure: what to draw.
        size: pixels of its longer side.
    """
    scale = size / max(WIDTH, figure.height)
    wide, high = max(1, round(scale * WIDTH)), max(1, round(scale * figure.height))
    image = Image.new("RGB", (_FINER * wide, _FINER * high), WHITE)
    draw = ImageDraw.Draw(image)
    for mark in figure.marks:
        _draw(draw, mark, _FINER * scale)
    return ImageRef(np.asarray(image.reduce(_FINER)).copy())


def _draw(draw: ImageDraw.ImageDraw, mark: Mark, scale: float) -> None:
    match mark:
        case Path():
            points = [(scale * x, scale * y) for x, y in mark.points]
            if mark.fill is not None:
                draw.polygon(points, fill=mark.fill)
            if mark.colour is not None:
                draw.line(points, fill=mark.colour, width=max(1, round(scale * mark.width)), joint="curve")
        case Disc():
            (x, y), radius = mark.centre, mark.radius
            box = (scale * (x - radius), scale * (y - radius), scale * (x + radius), scale * (y + radius))
            width = 0 if mark.colour is None else max(1, round(2.5 * scale))
            draw.ellipse(box, fill=mark.fill, outline=mark.colour, width=width)
        case Label():
            place = (scale * mark.at[0], scale * mark.at[1])
            draw.text(place, mark.text, fill=mark.colour, font=_font(scale * mark.size), anchor=mark.anchor)


@lru_cache(maxsize=64)
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
