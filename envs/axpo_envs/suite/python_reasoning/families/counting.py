"""Defines problems of counting: objects of several sorts in one picture, objects that are worth points, and dice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import numpy as np

from axpo_envs.suite.python_reasoning._drawing import (
    BLACK,
    COLOURS,
    WHITE,
    WIDTH,
    Disc,
    Figure,
    Label,
    Mark,
    Path,
    Point,
    Rgb,
    rectangle,
    regular,
)
from axpo_envs.suite.python_reasoning._problem import Maker, Problem, pick, some

_SHAPES: Final = ("circle", "square", "triangle")
_NAMES: Final = tuple(COLOURS)
_COLUMNS, _ROWS = 9, 5
_RADIUS: Final = 17.0
_PIPS: Final = {
    1: ((0, 0),),
    2: ((-1, -1), (1, 1)),
    3: ((-1, -1), (0, 0), (1, 1)),
    4: ((-1, -1), (1, -1), (-1, 1), (1, 1)),
    5: ((-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1)),
    6: ((-1, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (1, 1)),
}


def three_sorts(rng: np.random.Generator) -> Problem:
    """Two sorts are counted and multiplied, a third is added; a fourth one only stands there."""
    pairs = [(colour, shape) for colour in _NAMES for shape in _SHAPES]
    sorts = [pairs[int(place)] for place in rng.permutation(len(pairs))[:4]]
    counts = (pick(rng, 4, 12), pick(rng, 4, 12), pick(rng, 3, 12), pick(rng, 3, 9))
    marks = _scattered(rng, sorts, counts, top=0.0)
    first, second, third = (f"{colour} {shape}s" for colour, shape in sorts[:3])
    return Problem(
        kind="three_sorts",
        text=f"Multiply the number of {first} by the number of {second}, then add the number of {third}. "
        "What is the result?",
        figure=Figure(marks=tuple(marks), height=380),
        readings=(("first", counts[0]), ("second", counts[1]), ("third", counts[2])),
        program="print(first * second + third)",
        answer=Fraction(counts[0] * counts[1] + counts[2]),
    )


def worth_points(rng: np.random.Generator) -> Problem:
    """Every shape is worth some points, as a row at the top tells."""
    worth = tuple(2 + int(value) for value in rng.permutation(18)[:3])
    counts = tuple(pick(rng, 4, 13) for _ in _SHAPES)
    colours = some(rng, _NAMES, 3)
    sorts = list(zip(colours, _SHAPES, strict=True))
    marks: list[Mark] = list(_scattered(rng, sorts, counts, top=72.0))
    for place, (colour, shape) in enumerate(sorts):
        x = 90.0 + 160.0 * place
        marks.append(_shape(shape, (x, 34.0), COLOURS[colour]))
        marks.append(Label(at=(x + 26, 34), text=f"= {worth[place]}", anchor="lm"))
    marks.append(Path(points=((20, 66), (WIDTH - 20, 66))))
    return Problem(
        kind="worth_points",
        text="The row above the line says how many points a shape is worth. "
        "How many points are all the shapes below the line worth together?",
        figure=Figure(marks=tuple(marks), height=452),
        readings=(("counts", counts), ("worth", worth)),
        program="print(sum(count * points for count, points in zip(counts, worth)))",
        answer=Fraction(sum(counts[place] * worth[place] for place in range(3))),
    )


def dice(rng: np.random.Generator) -> Problem:
    """The pips of two rows of dice are added up, the sums multiplied."""
    names = some(rng, _NAMES, 2)
    rows = tuple(tuple(pick(rng, 1, 6) for _ in range(pick(rng, 4, 6))) for _ in names)
    order = rng.permutation(len(rows[0]) + len(rows[1]))
    thrown = [(name, pips) for name, row in zip(names, rows, strict=True) for pips in row]
    marks: list[Mark] = []
    for place, index in enumerate(order):
        name, pips = thrown[int(index)]
        centre = (90.0 + 126.0 * (place % 4), 80.0 + 126.0 * (place // 4))
        marks += _die(centre, pips, COLOURS[name])
    return Problem(
        kind="dice",
        text=f"Add up the pips of the {names[0]} dice, and the pips of the {names[1]} dice. "
        "What is the product of both sums?",
        figure=Figure(marks=tuple(marks), height=412),
        readings=(("one", rows[0]), ("other", rows[1])),
        program="print(sum(one) * sum(other))",
        answer=Fraction(sum(first * second for first in rows[0] for second in rows[1])),
    )


def _scattered(
    rng: np.random.Generator, sorts: list[tuple[str, str]], counts: tuple[int, ...], *, top: float
) -> list[Mark]:
    """The objects, each somewhere in a cell of its own."""
    cells = iter(rng.permutation(_COLUMNS * _ROWS))
    wide, high = WIDTH / _COLUMNS, 76.0
    marks: list[Mark] = []
    for (colour, shape), count in zip(sorts, counts, strict=True):
        for _ in range(count):
            row, column = divmod(int(next(cells)), _COLUMNS)
            x = wide * (column + 0.5) + float(rng.uniform(-1, 1)) * (wide / 2 - _RADIUS - 3)
            y = top + high * (row + 0.5) + float(rng.uniform(-1, 1)) * (high / 2 - _RADIUS - 3)
            marks.append(_shape(shape, (x, y), COLOURS[colour]))
    return marks


def _shape(shape: str, centre: Point, fill: Rgb) -> Mark:
    match shape:
        case "circle":
            return Disc(centre=centre, radius=_RADIUS, fill=fill)
        case "square":
            half = _RADIUS * math.sqrt(0.8)
            x, y = centre
            return rectangle(x - half, y - half, x + half, y + half, fill=fill)
        case _:
            return regular(centre, _RADIUS * 1.15, 3, fill)


def _die(centre: Point, pips: int, fill: Rgb) -> Iterator[Mark]:
    x, y = centre
    yield rectangle(x - 44, y - 44, x + 44, y + 44, fill=fill)
    for across, down in _PIPS[pips]:
        yield Disc(centre=(x + 24 * across, y + 24 * down), radius=9, fill=WHITE, colour=BLACK)


KINDS: Final[tuple[Maker, ...]] = (three_sorts, worth_points, dice)
"""The kinds, all equally often."""
