"""Defines how the maps of PerceptionQA are drawn."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from axpo_envs.images import ImageRef
from axpo_envs.imaging.colour_names import Rgb
from axpo_envs.suite.perception_qa._map_font import map_font
from axpo_envs.suite.perception_qa._maps import Map, Pin
from axpo_envs.suite.perception_qa._places import Symbol

INKS: Final[dict[str, Rgb]] = {
    "black": (25, 25, 25),
    "red": (225, 20, 20),
    "blue": (20, 40, 225),
    "green": (0, 140, 40),
    "purple": (130, 30, 170),
    "orange": (240, 130, 0),
}
"""The colours of what is drawn on maps."""

_BLOTCHES: Final = 16
_RING: Final = 1.35
"""Outer radius of a ring in radii of a dot."""


def draw_map(shown: Map) -> ImageRef:
    """The map's pixels; the same map gives the same pixels."""
    rng = np.random.default_rng(shown.seed)
    coarse = Image.fromarray(rng.integers(222, 247, (_BLOTCHES, _BLOTCHES, 3)).astype(np.uint8))
    image = coarse.resize((shown.size, shown.size), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    if shown.frame is not None:
        width = max(2, round(0.3 * shown.unit))
        # The line lies outside, so that what touches it within is seen to be inside.
        box = shown.frame.box
        outer = (box.left - width, box.top - width, box.right + width, box.bottom + width)
        draw.rectangle(outer, outline=INKS[shown.frame.colour], width=width)
    marked = dict(shown.marked)
    for pin in shown.pins:
        _draw_pin(draw, shown, pin, marked.get(pin.place.key))
    _draw_bar(draw, shown)
    return ImageRef(np.asarray(image))


def _draw_pin(draw: ImageDraw.ImageDraw, shown: Map, pin: Pin, colour: str | None) -> None:
    text = INKS["blue" if pin.place.is_airport else "black"]
    if colour is None:
        _draw_symbol(draw, pin, shown.dot)
    else:
        # A marked symbol is a plain one, large enough to be found in the view.
        box = _square(pin, 2 * shown.dot)
        (draw.rectangle if pin.place.is_airport else draw.ellipse)(box, fill=INKS[colour])
    middle = (pin.label.left, (pin.label.top + pin.label.bottom) / 2)
    draw.text(middle, pin.place.name, fill=text, font=map_font(round(shown.font)), anchor="lm")


def _draw_symbol(draw: ImageDraw.ImageDraw, pin: Pin, dot: float) -> None:
    """Draws a symbol; those of towns cover the area of a circle of radius `dot`, whatever they are."""
    match pin.place.symbol:
        case Symbol.SQUARE:
            draw.rectangle(_square(pin, dot), fill=INKS["blue"])
        case Symbol.DOT:
            draw.ellipse(_square(pin, dot), fill=INKS["black"])
        case Symbol.RING:
            outer = _RING * dot
            width = max(1, round(outer - dot * math.sqrt(_RING**2 - 1)))
            draw.ellipse(_square(pin, outer), outline=INKS["black"], width=width)
        case Symbol.TRIANGLE:
            half = dot * math.sqrt(math.pi / 2)
            corners = ((pin.x, pin.y - half), (pin.x + half, pin.y + half), (pin.x - half, pin.y + half))
            draw.polygon(corners, fill=INKS["black"])


def _square(pin: Pin, half: float) -> tuple[float, float, float, float]:
    return pin.x - half, pin.y - half, pin.x + half, pin.y + half


def _draw_bar(draw: ImageDraw.ImageDraw, shown: Map) -> None:
    bar, width = shown.bar, max(2, round(0.25 * shown.unit))
    right, tick = bar.left + shown.bar_km / shown.km_per_pixel, 0.6 * shown.unit
    foot = bar.bottom - width
    for line in ((bar.left, foot, right, foot), *((x, foot - tick, x, foot) for x in (bar.left, right))):
        draw.line(line, fill=INKS["black"], width=width)
    middle = (bar.left + width, bar.top + 0.6 * shown.unit)
    draw.text(middle, f"{shown.bar_km} km", fill=INKS["black"], font=map_font(round(shown.font)), anchor="lm")
