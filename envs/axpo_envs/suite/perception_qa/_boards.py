"""Defines the scenes of PerceptionQA: boards of many colours and shapes, each with small marks in a grid of cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from axpo_envs.imaging.colour_names import Rgb, colour_distance
from axpo_envs.imaging.coordinates import PixelBox

Points: TypeAlias = tuple[tuple[float, float], ...]

BOARD_COLOURS: Final[dict[str, Rgb]] = {
    "red": (190, 35, 35),
    "orange": (225, 125, 25),
    "yellow": (225, 205, 40),
    "green": (35, 140, 60),
    "cyan": (45, 180, 195),
    "blue": (45, 65, 190),
    "purple": (120, 50, 155),
    "pink": (225, 110, 170),
}
"""The colours of boards."""

MARK_COLOURS: Final[dict[str, Rgb]] = {
    "black": (15, 15, 15),
    "white": (250, 250, 250),
    "red": (235, 25, 25),
    "orange": (250, 145, 0),
    "yellow": (255, 235, 60),
    "green": (20, 190, 60),
    "cyan": (60, 225, 235),
    "blue": (30, 50, 240),
    "purple": (140, 30, 190),
    "pink": (255, 130, 200),
}
"""The colours of marks."""

BOARD_SHAPES: Final = ("circle", "square", "diamond", "triangle", "hexagon", "cross")
"""The shapes of boards."""

MARK_SHAPES: Final = ("dot", "ring", "triangle", "square", "diamond", "plus", "cross")
"""The shapes of marks. All cover the same area, so that a reduced view does not tell one from another by its weight."""

CHARACTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""What may be written on a board: capital letters and digits without I, O, 0 and 1."""

CELLS: Final = 6
"""Cells of a board's face in each direction."""

FEWEST_MARKS, MOST_MARKS = 20, 26
"""Marks of a board, whatever is asked of it."""

_MARK_SHARE: Final = 0.72
_CELL_IN_VIEW: Final = (1.2, 1.55)
_LEAST_CONTRAST: Final = 30.0
_HEXAGON: Final = tuple((0.84 * math.cos(angle), 0.84 * math.sin(angle)) for angle in np.arange(6) * math.pi / 3)
_OUTLINES: Final[dict[str, Points]] = {
    "circle": (),
    "square": ((-0.58, -0.58), (0.58, -0.58), (0.58, 0.58), (-0.58, 0.58)),
    "diamond": ((0, -1.1), (1.1, 0), (0, 1.1), (-1.1, 0)),
    "triangle": ((0, -1.42), (1.22, 0.62), (-1.22, 0.62)),
    "hexagon": _HEXAGON,
    "cross": (
        (-0.55, -0.95), (0.55, -0.95), (0.55, -0.55), (0.95, -0.55), (0.95, 0.55), (0.55, 0.55),
        (0.55, 0.95), (-0.55, 0.95), (-0.55, 0.55), (-0.95, 0.55), (-0.95, -0.55), (-0.55, -0.55),
    ),
}  # fmt: skip
_CIRCLE_RADIUS: Final = 0.76


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A small figure on a board."""

    shape: str
    """One of `MARK_SHAPES`, or a character."""
    colour: str
    """One of `MARK_COLOURS`."""
    cell: int
    """Number of its cell, row by row."""
    x: float
    """Centre, pixels from the left."""
    y: float
    """Centre, pixels from the top."""
    size: float
    """Width and height of the square that it fills, pixels."""

    @property
    def inked(self) -> tuple[float, float]:
        """A point of its colour: the centre, or the band of a ring."""
        return (self.x + 0.4 * self.size, self.y) if self.shape == "ring" else (self.x, self.y)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A large plate with marks on its face, a square in its middle."""

    colour: str
    """One of `BOARD_COLOURS`; no two boards of a scene share both colour and shape."""
    shape: str
    """One of `BOARD_SHAPES`."""
    x: float
    """Centre of the face, pixels from the left."""
    y: float
    """Centre of the face, pixels from the top."""
    face: float
    """Side of the face in pixels."""
    rgb: Rgb
    """Its shade of its colour."""
    marks: tuple[Mark, ...] = ()
    """What is on it."""

    @property
    def name(self) -> str:
        """How questions name it."""
        return f"{self.colour} {self.shape}"

    @property
    def radius(self) -> float:
        """How far its outline reaches from the centre, pixels."""
        return self.face * _reach(self.shape)

    @property
    def outline(self) -> Points:
        """Corners in pixels; empty for a circle."""
        return tuple((self.x + self.face * x, self.y + self.face * y) for x, y in _OUTLINES[self.shape])

    @property
    def face_box(self) -> PixelBox:
        """The face with a narrow rim."""
        half = 0.54 * self.face
        return PixelBox(self.x - half, self.y - half, self.x + half, self.y + half)

    @property
    def mark_size(self) -> float:
        """Size of its marks in pixels."""
        return _MARK_SHARE * self.face / CELLS


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardScene:
    """One scene: everything needed to draw it again."""

    size: int
    """Width and height in pixels."""
    unit: float
    """Original pixels that one pixel of the view covers across."""
    boards: tuple[Board, ...]
    """The boards."""
    seed: int
    """Seeds backdrop and clutter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What marks a board must have; the rest of it is filled at random."""

    counts: tuple[tuple[str, int], ...] = ()
    """How many marks of a shape there are."""
    unique_colour: str | None = None
    """A colour that exactly one mark has."""
    places: tuple[tuple[str, int], ...] = ()
    """Marks of a shape at a cell, the only ones of their shapes."""
    character: bool = False
    """Whether a character is among them; otherwise one is in every second board."""
    banned: frozenset[str] = field(default=frozenset())
    """Shapes that the rest must not have."""


def arrange_boards(size: int, unit: float, number: int, rng: np.random.Generator) -> tuple[Board, ...]:
    """Bare boards at random places that do not touch."""
    while True:
        pairs = rng.permutation(len(BOARD_COLOURS) * len(BOARD_SHAPES))[:number]
        boards: list[Board] = []
        for pair in pairs:
            colour = tuple(BOARD_COLOURS)[int(pair) // len(BOARD_SHAPES)]
            board = _placed(boards, colour, BOARD_SHAPES[int(pair) % len(BOARD_SHAPES)], size, unit, rng)
            if board is None:
                break
            boards.append(board)
        if len(boards) == number:
            return tuple(boards)


def contrasting(board: str) -> tuple[str, ...]:
    """The colours of marks that stand out on a board of that colour."""
    base = BOARD_COLOURS[board]
    return tuple(
        name for name, rgb in MARK_COLOURS.items() if name != board and colour_distance(base, rgb) > _LEAST_CONTRAST
    )


def fill_board(board: Board, demand: Demand, rng: np.random.Generator) -> tuple[Mark, ...]:
    """Marks for a board as demanded, all cells equally likely.

    Args:
        board: the bare board.
        demand: what must be on it.
        rng: draws everything else.
    """
    total = int(rng.integers(FEWEST_MARKS, MOST_MARKS + 1))
    written = demand.character or bool(rng.random() < 0.5)
    taken = {cell for _, cell in demand.places}
    free = [int(cell) for cell in rng.permutation(CELLS * CELLS) if int(cell) not in taken]
    shapes = [shape for shape, count in demand.counts for _ in range(count)]
    named = demand.banned | {shape for shape, _ in (*demand.counts, *demand.places)}
    others = [shape for shape in MARK_SHAPES if shape not in named]
    shapes += [others[int(rng.integers(len(others)))] for _ in range(total - len(shapes) - len(demand.places))]
    placed = [*demand.places, *zip(shapes, free, strict=False)]
    colours = _colours(board, len(placed), demand.unique_colour, rng)
    marks = [_mark(board, shape, colour, cell, rng) for (shape, cell), colour in zip(placed, colours, strict=True)]
    if written:
        character = CHARACTERS[int(rng.integers(len(CHARACTERS)))]
        ink = max(("black", "white"), key=lambda name: colour_distance(MARK_COLOURS[name], board.rgb))
        marks.append(_mark(board, character, ink, free[len(shapes)], rng))
    return tuple(marks)


def _colours(board: Board, count: int, unique: str | None, rng: np.random.Generator) -> list[str]:
    allowed = [name for name in contrasting(board.colour) if name != unique]
    colours = [allowed[int(rng.integers(len(allowed)))] for _ in range(count)]
    if unique is not None:
        colours[int(rng.integers(count))] = unique
    return colours


def _mark(board: Board, shape: str, colour: str, cell: int, rng: np.random.Generator) -> Mark:
    side = board.face / CELLS
    shift_x, shift_y = (float(shift) for shift in rng.uniform(-0.1, 0.1, 2))
    return Mark(
        shape=shape,
        colour=colour,
        cell=cell,
        x=board.x + side * (cell % CELLS + 0.5 - CELLS / 2 + shift_x),
        y=board.y + side * (cell // CELLS + 0.5 - CELLS / 2 + shift_y),
        size=board.mark_size,
    )


def _placed(
    others: list[Board], colour: str, shape: str, size: int, unit: float, rng: np.random.Generator
) -> Board | None:
    """A board that touches no other one; None where no place was found."""
    face = CELLS * unit * float(rng.uniform(*_CELL_IN_VIEW))
    red, green, blue = (int(level) for level in np.asarray(BOARD_COLOURS[colour]) + rng.integers(-8, 9, 3))
    reach = face * _reach(shape)
    for _ in range(200):
        x, y = (float(place) for place in rng.uniform(1.02 * reach, size - 1.02 * reach, 2))
        if all(math.hypot(x - one.x, y - one.y) > 1.04 * (reach + one.radius) for one in others):
            return Board(colour=colour, shape=shape, x=x, y=y, face=face, rgb=(red, green, blue))
    return None


def _reach(shape: str) -> float:
    return max((math.hypot(x, y) for x, y in _OUTLINES[shape]), default=_CIRCLE_RADIUS)
