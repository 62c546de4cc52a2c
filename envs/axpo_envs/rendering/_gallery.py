"""Defines how pictures are drawn: scaled, with the boxes of calls on them, and several of them side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from axpo_envs.images import ImageRef, Size
from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.imaging.showing import resized
from axpo_envs.plumbing.printable import printable
from axpo_envs.rendering._moment import Picture
from axpo_envs.rendering._typesetting import FAINT, call_colour, font
from axpo_envs.tool.marks import Mark

MOST_PICTURES: Final = 9

_CAPTION: Final = 18
_GAP: Final = 8
_ENLARGED: Final = 16
_LABEL: Final = 13
_POINT: Final = 6
_LONGEST_LABEL: Final = 12


def draw_gallery(canvas: Image.Image, area: tuple[int, int, int, int], pictures: Sequence[Picture]) -> None:
    """Draws pictures with captions into an area, as large as they get there.

    Args:
        canvas: what is drawn on, RGB.
        area: left, top, right and bottom edge in pixels.
        pictures: at least one; of more than `MOST_PICTURES` some are counted instead.
    """
    chosen = _chosen(pictures)
    left, top, right, bottom = area
    bottom -= _CAPTION if len(chosen) < len(pictures) else 0
    columns = max(range(1, len(chosen) + 1), key=lambda count: _area(chosen, count, Size(right - left, bottom - top)))
    cell = _cell(len(chosen), columns, Size(right - left, bottom - top))
    draw = ImageDraw.Draw(canvas)
    for place, picture in enumerate(chosen):
        x = left + (place % columns) * (cell.width + _GAP)
        y = top + (place // columns) * (cell.height + _CAPTION + _GAP)
        caption = f"image {picture.number} ({picture.image.width}x{picture.image.height})"
        draw.text((x, y), caption, FAINT, font(12))
        canvas.paste(drawn(picture, fitting(picture.image.size, cell)), (x, y + _CAPTION))
    if len(chosen) < len(pictures):
        text = f"[... {len(pictures) - len(chosen)} more images ...]"
        draw.text((left, bottom + 2), text, FAINT, font(12))


def fitting(size: Size, room: Size) -> Size:
    """The size of an image in a room: as large as fits, small ones up to 16 times larger."""
    scale = min(room.width / size.width, room.height / size.height, _ENLARGED)
    return Size(*(max(1, math.floor(side * scale)) for side in size))


def drawn(picture: Picture, size: Size) -> Image.Image:
    """A picture at a size, with the boxes of the calls that looked at it and their numbers."""
    image = _scaled(picture.image, size)
    draw = ImageDraw.Draw(image)
    for call, mark in picture.marks:
        _draw_mark(draw, mark, call, (size.width / picture.image.width, size.height / picture.image.height))
    return image


def _scaled(image: ImageRef, size: Size) -> Image.Image:
    if size.width > image.width:
        return image.to_pil().resize(size, Image.Resampling.NEAREST)
    return resized(image, PixelBox(0, 0, *image.size), size)


def _draw_mark(draw: ImageDraw.ImageDraw, mark: Mark, call: int, scale: tuple[float, float]) -> None:
    width, height = draw.im.size
    edges = [mark.left * scale[0], mark.top * scale[1]]
    edges += [(mark.left + max(0.0, mark.width)) * scale[0], (mark.top + max(0.0, mark.height)) * scale[1]]
    # A tool may say any numbers; a line just outside the image is not seen.
    limits = (width, height, width, height)
    left, top, right, bottom = (
        round(min(max(edge, -_POINT), limit + _POINT)) for edge, limit in zip(edges, limits, strict=True)
    )
    colour = call_colour(call)
    if mark.width <= 0 and mark.height <= 0:
        draw.ellipse((left - _POINT, top - _POINT, left + _POINT, top + _POINT), outline=colour, width=2)
    else:
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline="white")
        draw.rectangle((left, top, right, bottom), outline=colour, width=2)
    label = printable(mark.label)[:_LONGEST_LABEL].replace("\n", " ") or str(call)
    length = int(font(_LABEL).getlength(label)) + 6
    x = min(max(left, 0), max(0, width - length))
    y = top - _LABEL - 4 if top >= _LABEL + 4 else max(top, 0)
    draw.rectangle((x, y, x + length, y + _LABEL + 3), fill=colour)
    draw.text((x + 3, y), label, "white", font(_LABEL))


def _chosen(pictures: Sequence[Picture]) -> list[Picture]:
    """Those of the last turn first, then the question's first one, then the newest; in their order."""
    ranks = sorted(pictures, key=lambda picture: (not picture.recent, picture.number != 0, -picture.number))
    return sorted(ranks[:MOST_PICTURES], key=lambda picture: picture.number)


def _cell(count: int, columns: int, room: Size) -> Size:
    rows = math.ceil(count / columns)
    width = (room.width - (columns - 1) * _GAP) // columns
    height = (room.height - (rows - 1) * _GAP) // rows - _CAPTION
    return Size(max(1, width), max(1, height))


def _area(pictures: Sequence[Picture], columns: int, room: Size) -> int:
    """Pixels that the pictures get in so many columns."""
    cell = _cell(len(pictures), columns, room)
    return sum(math.prod(fitting(picture.image.size, cell)) for picture in pictures)
