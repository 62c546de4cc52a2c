"""Defines the font of labels on maps: it has the accents of the names that they show."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

import matplotlib as mpl
from PIL import ImageFont

_REFERENCE: Final = 100


@lru_cache(maxsize=16)
def map_font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings, at a size in pixels."""
    file = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=50_000)
def _reference_width(text: str) -> float:
    return float(map_font(_REFERENCE).getlength(text))


def label_width(text: str, size: float) -> float:
    """How wide a text is in pixels at a font size in pixels."""
    return _reference_width(text) * size / _REFERENCE
