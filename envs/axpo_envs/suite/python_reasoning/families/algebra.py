"""Defines problems of algebra: a balance, a number machine, equations of symbols, and a line in a graph."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import numpy as np

from axpo_envs.suite.python_reasoning._drawing import (
    BLACK,
    COLOURS,
    GREY,
    PALE,
    Disc,
    Figure,
    Label,
    Mark,
    Path,
    Point,
    rectangle,
    regular,
)
from axpo_envs.suite.python_reasoning._problem import ROUNDED, Maker, Problem, pick, some

_SIGNS: Final = ("+", "-", "*")
_SYMBOLS: Final = ("circle", "square", "triangle")


def balance(rng: np.random.Generator) -> Problem:
    """Boxes and weights on both sides of a balance: what does a box weigh?"""
    box = pick(rng, 6, 75)
    left_boxes = pick(rng, 3, 6)
    right_boxes = pick(rng, 1, left_boxes - 1)
    left = pick(rng, 3, 60)
    right = left + box * (left_boxes - right_boxes)
    beam = 130.0
    marks = (
        Path(points=((280, 130), (230, 220), (330, 220), (280, 130)), fill=GREY),
        Path(points=((30, beam), (530, beam)), width=6),
        *_load(34.0, beam, left_boxes, left),
        *_load(302.0, beam, right_boxes, right),
    )
    return Problem(
        kind="balance",
        text="Both sides of the balance weigh the same. All orange boxes weigh the same, and the grey weights weigh "
        "what is written on them. How much does one orange box weigh?",
        figure=Figure(marks=marks, height=250),
        readings=(("boxes", (left_boxes, right_boxes)), ("weights", (left, right))),
        program="from fractions import Fraction\n"
        "print(Fraction(weights[1] - weights[0], boxes[0] - boxes[1]))",
        answer=Fraction(box),
    )  # fmt: skip


def machine(rng: np.random.Generator) -> Problem:
    """A number goes through steps one after the other; what comes out is known."""
    start = pick(rng, 4, 80)
    signs = (*some(rng, _SIGNS, 3), _SIGNS[pick(rng, 0, 1)])
    numbers = tuple(pick(rng, 2, 9) if sign == "*" else pick(rng, 3, 60) for sign in signs)
    value = start
    for sign, number in zip(signs, numbers, strict=True):
        value = value + number if sign == "+" else value - number if sign == "-" else value * number
    texts = ("?", *(f"{sign} {number}" for sign, number in zip(signs, numbers, strict=True)), str(value))
    marks: list[Mark] = []
    for place, text in enumerate(texts):
        x = 50.0 + 92.0 * place
        if 0 < place < len(texts) - 1:
            marks.append(rectangle(x - 33, 62, x + 33, 118, fill=PALE))
        marks.append(Label(at=(x, 90), text=text))
        if place:
            marks.append(Path(points=((x - 57, 90), (x - 37, 90))))
            marks.append(Path(points=((x - 44, 84), (x - 37, 90), (x - 44, 96))))
    return Problem(
        kind="machine",
        text="A number goes in on the left, each box changes it as written, and the number on the right comes out. "
        "Which number went in?",
        figure=Figure(marks=tuple(marks), height=180),
        readings=(("signs", signs), ("numbers", numbers), ("out", value)),
        program="for sign, number in zip(reversed(signs), reversed(numbers)):\n"
        "    out = out - number if sign == '+' else out + number if sign == '-' else out // number\n"
        "print(out)",
        answer=Fraction(start),
    )


def symbols(rng: np.random.Generator) -> Problem:
    """Three sums of symbols, each of which stands for a number."""
    values = tuple(pick(rng, 2, 25) for _ in _SYMBOLS)
    while True:
        counts = [tuple(pick(rng, 0, 3) for _ in _SYMBOLS) for _ in _SYMBOLS]
        if _determinant(counts) and all(2 <= sum(row) <= 5 for row in counts):
            break
    sums = tuple(sum(count * value for count, value in zip(row, values, strict=True)) for row in counts)
    marks = [mark for line in range(3) for mark in _equation(50.0 + 80.0 * line, counts[line], sums[line])]
    first, second, third = order = tuple(int(place) for place in rng.permutation(3))
    rows = ((*counts[line], sums[line]) for line in range(3))
    return Problem(
        kind="symbols",
        text="Every symbol stands for a number, the same one wherever it is drawn. Multiply the number of the "
        f"{_SYMBOLS[first]} by the number of the {_SYMBOLS[second]}, then add the number of the {_SYMBOLS[third]}. "
        "What is the result?",
        figure=Figure(marks=tuple(marks), height=260),
        readings=(*((f"row_{line}", row) for line, row in enumerate(rows)), ("order", order)),
        program=_CRAMER,
        answer=Fraction(values[first] * values[second] + values[third]),
    )


_CRAMER: Final = """\
from fractions import Fraction
rows = (row_0, row_1, row_2)
def det(i, j, k):
    (a, b, c), (d, e, f), (g, h, l) = ((row[i], row[j], row[k]) for row in rows)
    return a * (e * l - f * h) - b * (d * l - f * g) + c * (d * h - e * g)
whole = det(0, 1, 2)
values = [Fraction(det(3, 1, 2), whole), Fraction(det(0, 3, 2), whole), Fraction(det(0, 1, 3), whole)]
first, second, third = (values[place] for place in order)
print(first * second + third)"""


def line_in_graph(rng: np.random.Generator) -> Problem:
    """A line goes through two points whose coordinates are written; a third point tells only one."""
    while True:
        xs = sorted(4 + int(value) for value in rng.permutation(92)[:3])
        ys = (pick(rng, 5, 95), pick(rng, 5, 95))
        asked = pick(rng, 0, 2)
        known = [x for place, x in enumerate(xs) if place != asked]
        slope = Fraction(ys[1] - ys[0], known[1] - known[0])
        height = ys[0] + slope * (xs[asked] - known[0])
        if ys[0] != ys[1] and 0 <= height <= 100 and min(b - a for a, b in itertools.pairwise(xs)) >= 14:
            break
    marks = _graph(tuple(known), ys, xs[asked], height)
    return Problem(
        kind="line_in_graph",
        text="The points lie on one straight line. What is the second coordinate of the red point?" + ROUNDED,
        figure=Figure(marks=marks, height=430),
        readings=(("xs", tuple(known)), ("ys", ys), ("x", xs[asked])),
        program="print(round(ys[0] + (ys[1] - ys[0]) * (x - xs[0]) / (xs[1] - xs[0]), 2))",
        answer=height,
    )


def _load(left: float, beam: float, boxes: int, weight: int) -> Iterator[Mark]:
    """A weight, and boxes in rows of three beside it."""
    bottom = beam - 4
    yield rectangle(left, bottom - 50, left + 70, bottom, fill=PALE)
    yield Label(at=(left + 35, bottom - 25), text=str(weight))
    for place in range(boxes):
        x, y = left + 78 + 50 * (place % 3), bottom - 46 * (place // 3)
        yield rectangle(x, y - 42, x + 44, y, fill=COLOURS["orange"])


def _determinant(rows: list[tuple[int, ...]]) -> int:
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _equation(y: float, counts: tuple[int, ...], total: int) -> Iterator[Mark]:
    drawn = [symbol for symbol, count in zip(_SYMBOLS, counts, strict=True) for _ in range(count)]
    for place, symbol in enumerate(drawn):
        x = 60.0 + 84.0 * place
        yield _symbol(symbol, (x, y))
        yield Label(at=(x + 42, y), text="=" if place == len(drawn) - 1 else "+", size=26)
    yield Label(at=(60.0 + 84.0 * len(drawn), y), text=str(total), size=26)


def _symbol(symbol: str, centre: Point) -> Mark:
    x, y = centre
    match symbol:
        case "circle":
            return Disc(centre=centre, radius=22, fill=COLOURS["blue"])
        case "square":
            return rectangle(x - 20, y - 20, x + 20, y + 20, fill=COLOURS["orange"])
        case _:
            return regular(centre, 26, 3, COLOURS["green"])


def _graph(known: tuple[int, ...], ys: tuple[int, int], x: int, height: Fraction) -> tuple[Mark, ...]:
    """Axes from 0 to 100, the line, the known points with both coordinates and the asked one with one."""

    def at(across: float, up: float) -> Point:
        return 60 + 4.6 * across, 390 - 3.6 * up

    slope = (ys[1] - ys[0]) / (known[1] - known[0])
    ends = [across for across in (0.0, 100.0) if 0 <= ys[0] + slope * (across - known[0]) <= 100]
    ends += [
        across for up in (0.0, 100.0) if 0 <= (across := known[0] + (up - ys[0]) / slope) <= 100 and across not in ends
    ]
    line = tuple(at(across, ys[0] + slope * (across - known[0])) for across in (min(ends), max(ends)))
    marks: list[Mark] = [
        Path(points=(at(0, 104), at(0, 0), at(104, 0))),
        Path(points=line, colour=COLOURS["blue"], width=3.5),
    ]
    up = 1 if slope < 0 else -1
    for across, high, text in (
        (known[0], float(ys[0]), f"({known[0]}, {ys[0]})"),
        (known[1], float(ys[1]), f"({known[1]}, {ys[1]})"),
        (x, float(height), f"({x}, ?)"),
    ):
        place = at(across, high)
        fill = COLOURS["red"] if text.endswith("?)") else BLACK
        marks.append(Disc(centre=place, radius=6, fill=fill))
        marks.append(_beside(place, text, up))
    return tuple(marks)


def _beside(place: Point, text: str, up: int) -> Label:
    """The coordinates of a point, on the side of the line on which there is room."""
    x, y = place
    right = x < 300
    return Label(at=(x + (12 if right else -12), y + (14 if right == (up < 0) else -14)), text=text, size=18,
                 anchor="lm" if right else "rm")  # fmt: skip


KINDS: Final[tuple[Maker, ...]] = (balance, machine, symbols, line_in_graph)
"""The kinds, all equally often."""
