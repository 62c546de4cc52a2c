"""Defines `frame_of`: a moment of an episode as pixels, every frame of one size, so that frames make a video."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from axpo_envs.images import Pixels, Size
from axpo_envs.plumbing.printable import printable
from axpo_envs.rendering._gallery import draw_gallery
from axpo_envs.rendering._moment import Moment, pictures_of
from axpo_envs.rendering._typesetting import FAINT, INK, font, lines_of, wrapped

FRAME: Final = Size(1280, 720)
"""Every frame; both sides are even, as video encoders want them."""

_PAPER: Final = (250, 250, 248)
_BAR: Final = (226, 229, 233)
_BAR_HEIGHT: Final = 28
_MARGIN: Final = 12
_GALLERY: Final = 652
_LETTER: Final = 14
_LINE: Final = 18


def frame_of(moment: Moment) -> Pixels:
    """The images with the boxes of calls on the left, what was said on the right; uint8 of shape (720, 1280, 3)."""
    canvas, draw = _begun(_headline(moment))
    top, bottom = _BAR_HEIGHT + _MARGIN, FRAME.height - _MARGIN
    left = _MARGIN
    if pictures := pictures_of(moment):
        draw_gallery(canvas, (left, top, left + _GALLERY, bottom), pictures)
        left += _GALLERY + _MARGIN
    width = int((FRAME.width - _MARGIN - left) / font(_LETTER).getlength("m"))
    for place, line in enumerate(lines_of(moment.state, width=width, room=(bottom - top) // _LINE)):
        draw.text((left, top + place * _LINE), line.text, line.colour, font(_LETTER))
    return np.array(canvas)


def message_frame(title: str, message: str) -> Pixels:
    """A frame for an episode that could not begin; of the size of every other."""
    canvas, draw = _begun(title)
    letters = int((FRAME.width - 2 * _MARGIN) / font(_LETTER).getlength("m"))
    most = (FRAME.height - _BAR_HEIGHT - 2 * _MARGIN) // _LINE
    for place, line in enumerate(wrapped(printable(message[: most * letters]), letters)[:most]):
        draw.text((_MARGIN, _BAR_HEIGHT + _MARGIN + place * _LINE), line, INK, font(_LETTER))
    return np.array(canvas)


def _begun(headline: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    canvas = Image.new("RGB", FRAME, _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, FRAME.width, _BAR_HEIGHT), fill=_BAR)
    draw.text((_MARGIN, 6), printable(" ".join(headline.split()))[:140], FAINT, font(_LETTER))
    return canvas, draw


def _headline(moment: Moment) -> str:
    state = moment.state
    status = "running" if state.stop is None else f"{state.stop.value}, reward {state.reward:g}"
    return f"{moment.title} | question {state.question.id} | turn {len(state.turns)} | {status}"
