"""Defines how passages become lines of a panel: wrapped, coloured, and cut with marks to what there is room for."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from PIL import ImageFont

from axpo_envs.imaging._decoding import Colour
from axpo_envs.rendering import _story
from axpo_envs.rendering._story import CUT_CHARACTERS, Passage, Voice
from axpo_envs.types import EpisodeState

INK: Final[Colour] = (32, 33, 36)
FAINT: Final[Colour] = (110, 114, 120)
CALL_COLOURS: Final[tuple[Colour, ...]] = (
    (214, 39, 40),
    (31, 119, 180),
    (44, 140, 44),
    (148, 103, 189),
    (200, 100, 0),
    (140, 86, 75),
    (200, 60, 160),
    (0, 130, 140),
)
"""Of the first call and those after it, over and over: its box and its heading have one colour."""

_VOICES: Final[dict[Voice, Colour]] = {
    Voice.QUESTION: (0, 92, 92),
    Voice.ASSISTANT: (90, 60, 150),
    Voice.CALL: INK,
    Voice.END: (150, 70, 0),
}
_MOST_OF_A_PASSAGE: Final = 12
_LEAST_OF_A_TURN: Final = 3


class Line(NamedTuple):
    """A line of a panel."""

    text: str
    """At most as long as the panel is wide."""
    colour: Colour
    """Of its letters."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """A font whose letters all have one width, of many scripts; what it lacks is shown as an empty box."""
    # matplotlib brings it; nothing else of that package is used.
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def call_colour(number: int) -> Colour:
    """The colour of the call of that number, from 1."""
    return CALL_COLOURS[(number - 1) % len(CALL_COLOURS)]


def lines_of(state: EpisodeState, *, width: int, room: int) -> list[Line]:
    """An episode as the lines of a panel: the question, the newest turns that there is room for, the end.

    Args:
        state: the episode.
        width: letters of a line.
        room: lines of the panel.
    """
    opening = _cut_lines(_lines(_story.question(state), width), max(room // 3, _LEAST_OF_A_TURN))
    end = _story.ending(state)
    closing = [] if end is None else [_EMPTY, *_lines(end, width)]
    room -= len(opening) + len(closing)
    told: list[Line] = []
    turns = list(_story.turns(state))
    while turns:
        # One line is for the mark that earlier turns are missing.
        free = room - len(told) - (len(turns) > 1)
        turn = [_EMPTY, *(line for passage in turns[-1] for line in _shortened(passage, width))]
        if len(turn) > free:
            if told or free < _LEAST_OF_A_TURN:
                break
            turn = _cut_lines(turn, free)
        told = [*turn, *told]
        turns.pop()
    missing = [Line(f"[... {len(turns)} earlier turn{'s' * (len(turns) > 1)} ...]", FAINT)] if turns else []
    return [*opening, *missing, *told, *closing]


_EMPTY: Final = Line("", INK)


def _shortened(passage: Passage, width: int) -> list[Line]:
    return _cut_lines(_lines(passage, width), _MOST_OF_A_PASSAGE)


def _lines(passage: Passage, width: int) -> list[Line]:
    colour = call_colour(passage.call) if passage.call else _VOICES[passage.voice]
    heading = passage.heading if len(passage.heading) <= width else f"{passage.heading[: width - 3]}..."
    body = [Line(text, INK) for text in wrapped(passage.text, width)] if passage.text.strip() else []
    return [Line(heading, colour), *body]


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most that many letters; its own line breaks and indentation stay."""
    wrapper = textwrap.TextWrapper(
        width=width, expand_tabs=False, replace_whitespace=False, drop_whitespace=True, break_on_hyphens=False
    )
    return [piece for line in text.strip("\n").split("\n") for piece in (wrapper.wrap(line) or [""])]


def _cut_lines(lines: Sequence[Line], most: int) -> list[Line]:
    if len(lines) <= most:
        return list(lines)
    head = most // 2
    tail = most - 1 - head
    left_out = lines[head : len(lines) - tail]
    more = "more than " * any(line.text.endswith(CUT_CHARACTERS) for line in left_out)
    return [*lines[:head], Line(f"[... {more}{len(left_out)} lines cut ...]", FAINT), *lines[len(lines) - tail :]]
