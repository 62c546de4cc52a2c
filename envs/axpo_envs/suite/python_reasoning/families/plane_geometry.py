"""Defines problems of plane geometry: angles, sides, areas of labelled shapes, and polygons on a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from axpo_envs.suite.python_reasoning._drawing import (
    COLOURS,
    GREY,
    PALE,
    WHITE,
    Disc,
    Figure,
    Label,
    Mark,
    Path,
    Point,
    rectangle,
)
from axpo_envs.suite.python_reasoning._problem import ROUNDED, Maker, Problem, pick

_BOX: Final = (75.0, 50.0, 485.0, 360.0)
"""Left, top, right and bottom of what shapes are fitted into."""
_CELLS: Final = 12
_CELL: Final = 31.0


def missing_angle(rng: np.random.Generator) -> Problem:
    """Two angles of a triangle are given, the third is asked for."""
    asked = pick(rng, 30, 115)
    left = pick(rng, 25, 155 - asked)
    right = 180 - asked - left
    reach = math.sin(math.radians(right)) / math.sin(math.radians(asked))
    tip = (reach * math.cos(math.radians(left)), -reach * math.sin(math.radians(left)))
    corners = _fitted(((0.0, 0.0), (1.0, 0.0), tip))
    (west, bottom), (east, _), (x, top) = corners
    labels = (
        Label(at=(west, bottom + 24), text=f"{left} deg"),
        Label(at=(east, bottom + 24), text=f"{right} deg"),
        Label(at=(x, top - 20), text="?"),
    )
    return Problem(
        kind="missing_angle",
        text="How many degrees has the angle at the corner with the question mark?",
        figure=Figure(marks=(Path(points=(*corners, corners[0]), fill=PALE), *labels)),
        readings=(("angles", (left, right)),),
        program="print(180 - sum(angles))",
        answer=Fraction(asked),
    )


def right_triangle(rng: np.random.Generator) -> Problem:
    """The perimeter of a right triangle follows from its legs."""
    across, up = pick(rng, 12, 60), pick(rng, 12, 50)
    corners = _fitted(((0.0, 0.0), (float(across), 0.0), (0.0, -float(up))))
    (left, bottom), (right, _), (_, top) = corners
    square = 16.0
    marks = (
        Path(points=(*corners, corners[0]), fill=PALE),
        Path(points=((left, bottom - square), (left + square, bottom - square), (left + square, bottom))),
        Label(at=((left + right) / 2, bottom + 22), text=str(across)),
        Label(at=(left - 28, (top + bottom) / 2), text=str(up)),
    )
    return Problem(
        kind="right_triangle",
        text="What is the perimeter of the right triangle?" + ROUNDED,
        figure=Figure(marks=marks),
        readings=(("legs", (across, up)),),
        program="import math\nprint(round(sum(legs) + math.hypot(*legs), 2))",
        answer=Fraction(across + up) + Fraction(math.sqrt(across**2 + up**2)),
    )


def l_shape(rng: np.random.Generator) -> Problem:
    """The area of a rectangle from which a corner is cut."""
    wide, high = pick(rng, 9, 40), pick(rng, 8, 30)
    cut_wide, cut_high = pick(rng, wide // 4 + 1, 3 * wide // 4), pick(rng, high // 3 + 1, 3 * high // 4)
    outline = (
        *((0, 0), (wide, 0), (wide, cut_high - high), (wide - cut_wide, cut_high - high)),
        *((wide - cut_wide, -high), (0, -high), (0, 0)),
    )
    corners = _fitted([(float(x), float(y)) for x, y in outline])
    (left, bottom), (right, _), (_, step), (inner, _), (_, top) = corners[:5]
    marks = (
        Path(points=corners, fill=PALE),
        Label(at=((left + right) / 2, bottom + 22), text=str(wide)),
        Label(at=(left - 28, (top + bottom) / 2), text=str(high)),
        Label(at=((inner + right) / 2, step - 16), text=str(cut_wide)),
        Label(at=(inner + 20, (top + step) / 2), text=str(cut_high)),
    )
    return Problem(
        kind="l_shape",
        text="All angles of the shape are right angles. What is its area?",
        figure=Figure(marks=marks),
        readings=(("whole", (wide, high)), ("corner", (cut_wide, cut_high))),
        program="print(whole[0] * whole[1] - corner[0] * corner[1])",
        answer=Fraction(wide * high - cut_wide * cut_high),
    )


def cut_disc(rng: np.random.Generator) -> Problem:
    """The area that is left of a rectangle when a disc is cut out of it."""
    wide, high = pick(rng, 12, 36), pick(rng, 12, 28)
    radius = pick(rng, 3, min(wide, high) // 2 - 1)
    corners = _fitted(((0.0, 0.0), (float(wide), -float(high))))
    (left, bottom), (right, top) = corners
    unit = (right - left) / wide
    middle = ((left + right) / 2, (top + bottom) / 2)
    marks = (
        rectangle(left, top, right, bottom, fill=COLOURS["orange"]),
        Disc(centre=middle, radius=unit * radius, fill=WHITE),
        Path(points=(middle, (middle[0] + unit * radius, middle[1]))),
        Disc(centre=middle, radius=3, fill=COLOURS["blue"], colour=None),
        Label(at=(middle[0] + unit * radius / 2, middle[1] - 13), text=str(radius)),
        Label(at=((left + right) / 2, bottom + 22), text=str(wide)),
        Label(at=(left - 28, (top + bottom) / 2), text=str(high)),
    )
    return Problem(
        kind="cut_disc",
        text="A disc is cut out of the orange rectangle; its radius is drawn. What is the area that is left?" + ROUNDED,
        figure=Figure(marks=marks),
        readings=(("sides", (wide, high)), ("radius", radius)),
        program="import math\nprint(round(sides[0] * sides[1] - math.pi * radius**2, 2))",
        answer=Fraction(wide * high) - Fraction(math.pi * radius**2),
    )


def grid_polygon(rng: np.random.Generator) -> Problem:
    """The area of a quadrilateral whose corners lie on the points of a grid."""
    # A corner in each quarter of the grid: the sides cannot cross.
    low, high = (0, _CELLS // 2 - 1), (_CELLS // 2 + 1, _CELLS)
    xs = tuple(pick(rng, *span) for span in (low, high, high, low))
    ys = tuple(pick(rng, *span) for span in (low, low, high, high))
    left, bottom = 100.0, 385.0
    points = [(left + _CELL * x, bottom - _CELL * y) for x, y in zip(xs, ys, strict=True)]
    end = _CELL * _CELLS
    marks: list[Mark] = [Path(points=(*points, points[0]), fill=COLOURS["green"])]
    for line in range(_CELLS + 1):
        offset = _CELL * line
        marks.append(Path(points=((left + offset, bottom), (left + offset, bottom - end)), colour=GREY, width=1))
        marks.append(Path(points=((left, bottom - offset), (left + end, bottom - offset)), colour=GREY, width=1))
        if line % 2 == 0:
            marks.append(Label(at=(left + offset, bottom + 16), text=str(line), size=17))
            marks.append(Label(at=(left - 12, bottom - offset), text=str(line), size=17, anchor="rm"))
    marks.append(Path(points=(*points, points[0]), width=3.5))
    return Problem(
        kind="grid_polygon",
        text="The sides of the grid's squares are one unit long. How many square units is the green area?",
        figure=Figure(marks=tuple(marks)),
        readings=(("xs", xs), ("ys", ys)),
        program="print(abs(sum(xs[i - 1] * ys[i] - xs[i] * ys[i - 1] for i in range(4))) / 2)",
        answer=_area_by_diagonals(xs, ys),
    )


def _area_by_diagonals(xs: Sequence[int], ys: Sequence[int]) -> Fraction:
    """Half the cross product of the diagonals."""
    first, second = (xs[2] - xs[0], ys[2] - ys[0]), (xs[3] - xs[1], ys[3] - ys[1])
    return Fraction(abs(first[0] * second[1] - first[1] * second[0]), 2)


def _fitted(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points moved and scaled into the middle of the box."""
    left, top, right, bottom = _BOX
    least = (min(x for x, _ in points), min(y for _, y in points))
    most = (max(x for x, _ in points), max(y for _, y in points))
    unit = min((right - left) / (most[0] - least[0]), (bottom - top) / (most[1] - least[1]))
    shift = (
        (left + right) / 2 - unit * (least[0] + most[0]) / 2,
        (top + bottom) / 2 - unit * (least[1] + most[1]) / 2,
    )
    return tuple((unit * x + shift[0], unit * y + shift[1]) for x, y in points)


KINDS: Final[tuple[Maker, ...]] = (missing_angle, right_triangle, l_shape, cut_disc, grid_polygon)
"""The kinds, all equally often."""
