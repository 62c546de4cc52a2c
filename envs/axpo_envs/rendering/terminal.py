"""Defines `show`: a moment of an episode, written to the terminal as text and, where it has colours, pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Final, TextIO

import numpy as np

from axpo_envs.images import Size
from axpo_envs.plumbing.printable import printable
from axpo_envs.rendering import _story
from axpo_envs.rendering._gallery import drawn, fitting
from axpo_envs.rendering._moment import Moment, Picture, pictures_of
from axpo_envs.rendering._story import Passage
from axpo_envs.rendering._typesetting import wrapped

_WIDEST: Final = 100
_HIGHEST: Final = 36
_HALF: Final = "\u2580"
_MOST_PICTURES: Final = 4


def show(moment: Moment, out: TextIO, *, back: bool) -> None:
    """Writes what is new at a moment: the question, or the last turn, with its pictures and how the episode ended.

    A picture is drawn in half blocks of 24-bit colour; where the output is no terminal, or wants no colours
    (`NO_COLOR`), it is said which regions were looked at.

    Args:
        moment: the moment.
        out: where to.
        back: the episode did not come here by a step: it was rewound.
    """
    columns = min(shutil.get_terminal_size().columns, _WIDEST)
    colours = _has_colours(out)
    lines = list(_said(moment, back=back))
    pictures = [picture for picture in pictures_of(moment) if picture.recent]
    for picture in pictures[:_MOST_PICTURES] if colours else pictures:
        lines += _painted(picture, columns) if colours else [_named(picture)]
    if colours and len(pictures) > _MOST_PICTURES:
        lines.append(f"[... {len(pictures) - _MOST_PICTURES} more images ...]")
    end = _story.ending(moment.state)
    text = "\n".join([*lines, *([] if end is None else _written(end)), ""])
    write(text, out)


def write(text: str, out: TextIO) -> None:
    """Writes text; what the output's encoding lacks becomes question marks."""
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "replace").decode(encoding))
    out.flush()


def _said(moment: Moment, *, back: bool) -> Iterator[str]:
    state = moment.state
    if back:
        where = f"after turn {len(state.turns)}" if state.turns else "at the beginning"
        yield printable(f"[back {where} of question {' '.join(state.question.id.split())}]")
    for passage in list(_story.turns(state))[-1] if state.turns else (_story.question(state),):
        yield from _written(passage)


def _written(passage: Passage) -> list[str]:
    return [f"[{passage.heading}]", *(wrapped(passage.text, _WIDEST) if passage.text.strip() else ())]


def _named(picture: Picture) -> str:
    regions = (
        f", call {call}: {mark.left:.0f},{mark.top:.0f} {mark.width:.0f}x{mark.height:.0f}"
        for call, mark in picture.marks
    )
    return f"[image {picture.number} {picture.image.width}x{picture.image.height}{''.join(regions)}]"


def _painted(picture: Picture, columns: int) -> list[str]:
    # Boxes and their numbers would be lost at this size, so they are drawn on a larger picture that is then reduced.
    size = fitting(picture.image.size, Size(columns, 2 * _HIGHEST))
    large = drawn(picture, Size(size.width * 4, size.height * 4)).reduce(4)
    pixels = np.asarray(large)
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    rows = []
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m{_HALF}"
            for a, b in zip(upper.tolist(), lower.tolist(), strict=True)
        )
        rows.append(f"{''.join(cells)}\x1b[0m")
    return [_named(picture), *rows]


def _has_colours(out: TextIO) -> bool:
    if not out.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        _HALF.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
