"""Defines how the maps of PerceptionQA are drawn."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from axpo_envs.images import ImageRef
from axpo_envs.imaging.colour_names import Rgb
from axpo_envs.suite.perception_qa._map_font import map_font
from axpo_envs.suite.perception_qa._maps import KM_PER_DEGREE, Map, Pin

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
_LINE: Final = (205, 205, 212)
_LINES_ABOUT: Final = 4


def draw_map(shown: Map) -> ImageRef:
    """The map's pixels; the same map gives the same pixels."""
    rng = np.random.default_rng(shown.seed)
    coarse = Image.fromarray(rng.integers(222, 247, (_BLOTCHES, _BLOTCHES, 3)).astype(np.uint8))
    image = coarse.resize((shown.size, shown.size), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    _draw_graticule(draw, shown)
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


def _draw_graticule(draw: ImageDraw.ImageDraw, shown: Map) -> None:
    high = shown.kilometres / KM_PER_DEGREE
    step = min((1 / 6, 0.25, 0.5, 1.0, 2.0), key=lambda degrees: abs(high / degrees - _LINES_ABOUT))
    width = max(1, round(0.1 * shown.unit))
    per_degree = KM_PER_DEGREE / shown.km_per_pixel
    for number in range(math.ceil((shown.north - high) / step), math.floor(shown.north / step) + 1):
        y = (shown.north - number * step) * per_degree
        draw.line((0, y, shown.size, y), fill=_LINE, width=width)
    wide = high / shown.squeeze
    for number in range(math.ceil(shown.west / step), math.floor((shown.west + wide) / step) + 1):
        x = (number * step - shown.west) * per_degree * shown.squeeze
        draw.line((x, 0, x, shown.size), fill=_LINE, width=width)


def _draw_pin(draw: ImageDraw.ImageDraw, shown: Map, pin: Pin, colour: str | None) -> None:
    radius = shown.dot if colour is None else 2 * shown.dot
    box = (pin.x - radius, pin.y - radius, pin.x + radius, pin.y + radius)
    text = INKS["black"]
    if pin.place.is_airport:
        text = INKS["blue"]
        draw.rectangle(box, fill=INKS[colour or "blue"])
    else:
        draw.ellipse(box, fill=INKS[colour or "black"])
    middle = (pin.label.left, (pin.label.top + pin.label.bottom) / 2)
    draw.text(middle, pin.place.name, fill=text, font=map_font(round(shown.font)), anchor="lm")


def _draw_bar(draw: ImageDraw.ImageDraw, shown: Map) -> None:
    bar, width = shown.bar, max(2, round(0.25 * shown.unit))
    right, tick = bar.left + shown.bar_km / shown.km_per_pixel, 0.6 * shown.unit
    foot = bar.bottom - width
    for line in ((bar.left, foot, right, foot), *((x, foot - tick, x, foot) for x in (bar.left, right))):
        draw.line(line, fill=INKS["black"], width=width)
    middle = (bar.left + width, bar.top + 0.6 * shown.unit)
    draw.text(middle, f"{shown.bar_km} km", fill=INKS["black"], font=map_font(round(shown.font)), anchor="lm")
