"""Defines the questions that PerceptionQA asks of boards: a scene is made for each, with the truth behind it."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from axpo_envs.imaging.coordinates import PixelBox
from axpo_envs.suite.perception_qa._boards import (
    CELLS,
    CHARACTERS,
    MARK_SHAPES,
    Board,
    BoardScene,
    Demand,
    arrange_boards,
    contrasting,
    fill_board,
)
from axpo_envs.suite.perception_qa._truth import Look, Topic, Truth

DIRECTIONS: Final = ("right", "below right", "below", "below left", "left", "above left", "above", "above right")
"""Answers about relative position, clockwise."""

CANDIDATES: Final = 5
"""Candidates of a comparison."""

MOST_COUNTED: Final = 15
"""The largest count of marks."""

_TOLERANCE: Final = math.radians(12)
_DIRECTION_WORDS: Final = {"above": ("top", "upper"), "below": ("bottom", "lower")}
_INKS: Final = ("black", "white")
_PLURALS: Final = {"cross": "crosses", "plus": "plus signs"}


class Asked(NamedTuple):
    """A scene with its question."""

    scene: BoardScene
    """What is drawn."""
    truth: Truth
    """What is asked."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A question as one topic drafts it."""

    text: str
    demands: Mapping[int, Demand]
    asked: tuple[int, ...]
    words: tuple[str, ...] = ()
    answer: str = ""
    alternatives: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def ask_of_boards(topic: Topic, *, size: int, unit: float, boards: int, rng: np.random.Generator) -> Asked:
    """A question of a topic with a fresh scene; its first board, or its first five, are asked about.

    Args:
        topic: one of those of scenes.
        size: width and height of the scene in pixels.
        unit: original pixels to one of the view.
        boards: boards of the scene.
        rng: draws everything.
    """
    bare = arrange_boards(size, unit, boards, rng)
    draft = _DRAFTS[topic](bare, rng)
    filled = tuple(
        dataclasses.replace(board, marks=fill_board(board, draft.demands.get(number, Demand()), rng))
        for number, board in enumerate(bare)
    )
    scene = BoardScene(size=size, unit=unit, boards=filled, seed=int(rng.integers(2**63)))
    asked = tuple(filled[number] for number in draft.asked)
    answer, measured = _seen(topic, draft, asked[0])
    truth = Truth(
        topic=topic,
        text=draft.text,
        answer=answer,
        alternatives=draft.alternatives,
        options=draft.options,
        words=draft.words,
        places=tuple(_around(board) for board in asked),
        looks=tuple(Look(box=board.face_box, detail=board.mark_size) for board in asked),
        measured=measured,
    )
    return Asked(scene, truth)


def further_truths(scene: BoardScene) -> Iterator[Truth]:
    """What else a scene answers: of every board the character, the counts of marks, and the marks that are unique."""
    for board in scene.boards:
        figures = [mark for mark in board.marks if mark.shape in MARK_SHAPES]
        for mark in board.marks:
            if mark.shape in CHARACTERS:
                yield _of_one(board, Topic.CHARACTER, _character_text(board), mark.shape)
        for shape, count in Counter(mark.shape for mark in figures).items():
            if count <= MOST_COUNTED:
                yield _of_one(board, Topic.MARKS, _marks_text(board, shape), str(count), shape)
            if count == 1:
                (only,) = (mark for mark in figures if mark.shape == shape)
                yield _of_one(board, Topic.COLOUR, _colour_text(board, shape), only.colour, shape)
        for colour, count in Counter(mark.colour for mark in figures).items():
            if count == 1 and colour not in _INKS:
                (only,) = (mark for mark in figures if mark.colour == colour)
                yield _of_one(board, Topic.SHAPE, _shape_text(board, colour), only.shape, colour)


def _of_one(board: Board, topic: Topic, text: str, answer: str, *words: str) -> Truth:
    return Truth(
        topic=topic,
        text=text,
        answer=answer,
        words=words,
        places=(_around(board),),
        looks=(Look(box=board.face_box, detail=board.mark_size),),
    )


def _seen(topic: Topic, draft: _Draft, board: Board) -> tuple[str, tuple[tuple[float, float], ...]]:
    """The answer, where it is what was drawn, and the point whose colour tells it."""
    match topic:
        case Topic.COLOUR:
            (mark,) = (mark for mark in board.marks if mark.shape == draft.words[0])
            return mark.colour, (mark.inked,)
        case Topic.SHAPE:
            (mark,) = (mark for mark in board.marks if mark.colour == draft.words[0] and mark.shape in MARK_SHAPES)
            return mark.shape, ()
        case Topic.CHARACTER:
            (mark,) = (mark for mark in board.marks if mark.shape in CHARACTERS)
            return mark.shape, ()
        case _:
            return draft.answer, ()


def _around(board: Board) -> PixelBox:
    radius = board.radius
    return PixelBox(board.x - radius, board.y - radius, board.x + radius, board.y + radius)


def _colour(boards: tuple[Board, ...], rng: np.random.Generator) -> _Draft:
    shape, cell = _any_shape(rng), int(rng.integers(CELLS * CELLS))
    text = _colour_text(boards[0], shape)
    return _Draft(text=text, demands={0: Demand(places=((shape, cell),))}, asked=(0,), words=(shape,))


def _shape(boards: tuple[Board, ...], rng: np.random.Generator) -> _Draft:
    # A character is black or white, so those two do not tell a mark.
    colours = [name for name in contrasting(boards[0].colour) if name not in _INKS]
    colour = colours[int(rng.integers(len(colours)))]
    return _Draft(
        text=_shape_text(boards[0], colour),
        demands={0: Demand(unique_colour=colour)},
        asked=(0,),
        words=(colour,),
    )


def _marks(boards: tuple[Board, ...], rng: np.random.Generator) -> _Draft:
    shape, count = _any_shape(rng), int(rng.integers(1, MOST_COUNTED + 1))
    return _Draft(
        text=_marks_text(boards[0], shape),
        demands={0: Demand(counts=((shape, count),))},
        asked=(0,),
        words=(shape,),
        answer=str(count),
    )


def _most(boards: tuple[Board, ...], rng: np.random.Generator) -> _Draft:
    shape, most, winner = _any_shape(rng), int(rng.integers(6, MOST_COUNTED)), int(rng.integers(CANDIDATES))
    fewer = (int(count) for count in rng.integers(max(1, most - 8), most - 1, CANDIDATES))
    counts = [most if number == winner else count for number, count in enumerate(fewer)]
    names = tuple(board.name for board in boards[:CANDIDATES])
    return _Draft(
        text=f"Which of these boards has the most {_plural(shape)}: {', '.join(names[:-1])} or {names[-1]}?",
        demands={number: Demand(counts=((shape, count),)) for number, count in enumerate(counts)},
        asked=tuple(range(CANDIDATES)),
        words=(shape,),
        answer=names[winner],
        alternatives=(f"the {names[winner]}", f"{names[winner]} board", f"the {names[winner]} board"),
        options=names,
    )


def _direction(boards: tuple[Board, ...], rng: np.random.Generator) -> _Draft:
    one, other = (MARK_SHAPES[int(number)] for number in rng.permutation(len(MARK_SHAPES))[:2])
    number = int(rng.integers(len(DIRECTIONS)))
    pairs = _pairs_of_cells(number)
    start, end = pairs[int(rng.integers(len(pairs)))]
    answer = DIRECTIONS[number]
    spellings = {answer} | {
        answer.replace(word, other) for word, others in _DIRECTION_WORDS.items() for other in others if " " in answer
    }
    return _Draft(
        text=f"On the {boards[0].name} board, where does the only {other} lie as seen from the only "
        f"{one}: {', '.join(DIRECTIONS[:-1])} or {DIRECTIONS[-1]}?",
        demands={0: Demand(places=((one, start), (other, end)))},
        asked=(0,),
        words=(one, other),
        answer=answer,
        alternatives=tuple(sorted({*spellings, *(spelling.replace(" ", "-") for spelling in spellings)} - {answer})),
    )


def _character(boards: tuple[Board, ...], rng: np.random.Generator) -> _Draft:
    del rng  # the board's filling draws the character
    return _Draft(text=_character_text(boards[0]), demands={0: Demand(character=True)}, asked=(0,))


_DRAFTS: Final[Mapping[Topic, Any]] = {
    Topic.COLOUR: _colour,
    Topic.SHAPE: _shape,
    Topic.MARKS: _marks,
    Topic.MOST: _most,
    Topic.DIRECTION: _direction,
    Topic.CHARACTER: _character,
}


def _pairs_of_cells(direction: int) -> list[tuple[int, int]]:
    """The pairs of cells at least two apart of which the second lies in that direction from the first."""
    cells = range(CELLS * CELLS)
    pairs = []
    for start in cells:
        for end in cells:
            across, down = end % CELLS - start % CELLS, end // CELLS - start // CELLS
            off = math.remainder(math.atan2(down, across) - direction * math.pi / 4, 2 * math.pi)
            if max(abs(across), abs(down)) >= 2 and abs(off) <= _TOLERANCE:
                pairs.append((start, end))
    return pairs


def _any_shape(rng: np.random.Generator) -> str:
    return MARK_SHAPES[int(rng.integers(len(MARK_SHAPES)))]


def _plural(shape: str) -> str:
    return _PLURALS.get(shape, f"{shape}s")


def _colour_text(board: Board, shape: str) -> str:
    return f"What colour is the only {shape} on the {board.name} board?"


def _shape_text(board: Board, colour: str) -> str:
    shapes = ", ".join(MARK_SHAPES[:-1]) + f" or {MARK_SHAPES[-1]}"
    return f"What shape is the only {colour} mark on the {board.name} board: {shapes}?"


def _marks_text(board: Board, shape: str) -> str:
    return f"How many {_plural(shape)} are on the {board.name} board?"


def _character_text(board: Board) -> str:
    return f"Which letter or digit is written on the {board.name} board?"
