"""Defines `colour_name`: the plain English name that comes nearest to a colour."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, TypeAlias

Rgb: TypeAlias = tuple[int, int, int]
_Lab: TypeAlias = tuple[float, float, float]

COLOUR_NAMES: Final[Mapping[str, tuple[Rgb, ...]]] = {
    "black": ((10, 10, 10),),
    "grey": ((90, 90, 90), (135, 135, 135), (185, 185, 185)),
    "white": ((250, 250, 250),),
    "red": ((220, 30, 30), (150, 15, 15)),
    "orange": ((240, 140, 20),),
    "yellow": ((240, 220, 30), (250, 240, 150)),
    "green": ((30, 160, 50), (10, 90, 30), (130, 210, 110)),
    "cyan": ((40, 215, 225), (150, 235, 240), (20, 150, 150)),
    "blue": ((40, 60, 225), (45, 70, 190), (20, 30, 110), (100, 150, 235)),
    "purple": ((125, 40, 165), (170, 110, 210)),
    "pink": ((245, 130, 190), (225, 40, 210), (255, 195, 215)),
    "brown": ((120, 70, 30), (165, 115, 75)),
}
"""Every name that `colour_name` gives, with the colours that stand for it."""

_TO_XYZ: Final = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
_WHITE_POINT: Final = (0.95047, 1.0, 1.08883)


@lru_cache(maxsize=4096)
def colour_name(rgb: Rgb) -> str:
    """The name of the standing colour that is nearest in CIELAB.

    Args:
        rgb: levels from 0 to 255, sRGB.
    """
    lab = _lab(rgb)
    return min((_squared(lab, standing), name) for name, standings in _LABS for standing in standings)[1]


def colour_distance(one: Rgb, other: Rgb) -> float:
    """The distance of two sRGB colours in CIELAB (CIE 1976): black and white lie 100 apart."""
    return math.sqrt(_squared(_lab(one), _lab(other)))


def _squared(one: _Lab, other: _Lab) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _lab(rgb: Rgb) -> _Lab:
    """CIELAB under D65 of an sRGB colour (IEC 61966-2-1; CIE 15)."""
    linear = [_linear(level / 255) for level in rgb]
    x, y, z = (
        _cube_root(sum(share * level for share, level in zip(row, linear, strict=True)) / white)
        for row, white in zip(_TO_XYZ, _WHITE_POINT, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _linear(level: float) -> float:
    return float(level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4)


def _cube_root(share: float) -> float:
    return float(share ** (1 / 3) if share > 216 / 24389 else (24389 / 27 * share + 16) / 116)


_LABS: Final = tuple((name, tuple(map(_lab, standings))) for name, standings in COLOUR_NAMES.items())
