"""Defines problems about charts: bars and lines whose values are written beside them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from axpo_envs.suite.python_reasoning._drawing import (
    BLACK,
    COLOURS,
    PALE,
    Disc,
    Figure,
    Label,
    Mark,
    Path,
    Rgb,
    rectangle,
)
from axpo_envs.suite.python_reasoning._problem import ROUNDED, Maker, Problem, pick, some

_LEFT, _RIGHT, _TOP, _BOTTOM = 62.0, 545.0, 40.0, 360.0
_MOST: Final = 100
_PEOPLE: Final = ("Ana", "Ben", "Cleo", "Dag", "Eva", "Finn", "Gina", "Hugo", "Ida", "Jan", "Kim", "Lena")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def higher_bars(rng: np.random.Generator) -> Problem:
    """The bars that are higher than a named one are added up."""
    names = some(rng, _PEOPLE, pick(rng, 6, 8))
    values = _different(rng, len(names))
    order = sorted(range(len(names)), key=lambda place: values[place])
    asked = order[pick(rng, 0, len(names) - 3)]
    return Problem(
        kind="higher_bars",
        text=f"Add up the values of all bars that are higher than the bar of {names[asked]}. What is the sum?",
        figure=Figure(marks=(*_axes(), *_bars(names, (values,), (COLOURS["blue"],)))),
        readings=(("bars", values), ("bar", values[asked])),
        program="print(sum(value for value in bars if value > bar))",
        answer=Fraction(sum(values[place] for place in order[order.index(asked) + 1 :])),
    )


def mean_of_bars(rng: np.random.Generator) -> Problem:
    """The mean of all bars."""
    names = some(rng, _PEOPLE, pick(rng, 6, 8))
    values = _different(rng, len(names))
    return Problem(
        kind="mean_of_bars",
        text="What is the mean of the values of all bars?" + ROUNDED,
        figure=Figure(marks=(*_axes(), *_bars(names, (values,), (COLOURS["green"],)))),
        readings=(("bars", values),),
        program="print(round(sum(bars) / len(bars), 2))",
        answer=Fraction(sum(values), len(values)),
    )


def gaps_of_pairs(rng: np.random.Generator) -> Problem:
    """Two bars to a name: how far they lie apart, over all names."""
    names = some(rng, _PEOPLE, 5)
    first, second = (_different(rng, len(names)) for _ in range(2))
    colours = some(rng, tuple(COLOURS), 2)
    bars = _bars(names, (first, second), (COLOURS[colours[0]], COLOURS[colours[1]]))
    return Problem(
        kind="gaps_of_pairs",
        text=f"For every name, how far do the {colours[0]} and the {colours[1]} bar lie apart? Add up these gaps, "
        "each as a positive number. What is the sum?",
        figure=Figure(marks=(*_axes(), *bars)),
        readings=(("one", first), ("other", second)),
        program="print(sum(abs(a - b) for a, b in zip(one, other)))",
        answer=Fraction(sum(map(max, first, second)) - sum(map(min, first, second))),
    )


def rises_of_line(rng: np.random.Generator) -> Problem:
    """What a line rises in all the months in which it rises."""
    count = pick(rng, 7, 9)
    begin = pick(rng, 0, len(_MONTHS) - count)
    values = _different(rng, count)
    marks = (*_axes(), *_line(_MONTHS[begin : begin + count], values))
    moved = sum(abs(after - before) for before, after in itertools.pairwise(values))
    return Problem(
        kind="rises_of_line",
        text="From one month to the next the line rises or falls. By how much does it rise in all its rises together?",
        figure=Figure(marks=marks),
        readings=(("line", values),),
        program="print(sum(max(0, after - before) for before, after in zip(line, line[1:])))",
        # Rises and falls together are what it moved, rises less falls how far its ends lie apart.
        answer=Fraction(moved + values[-1] - values[0], 2),
    )


def _different(rng: np.random.Generator, count: int) -> tuple[int, ...]:
    """Different values that bars can show."""
    return tuple(11 + int(value) for value in rng.permutation(88)[:count])


def _height(value: int) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * value / _MOST


def _axes() -> list[Mark]:
    marks: list[Mark] = []
    for value in range(0, _MOST + 1, 20):
        y = _height(value)
        marks.append(Path(points=((_LEFT, y), (_RIGHT, y)), colour=PALE, width=1.5))
        marks.append(Label(at=(_LEFT - 10, y), text=str(value), size=17, anchor="rm"))
    marks.append(Path(points=((_LEFT, _TOP - 10), (_LEFT, _BOTTOM), (_RIGHT, _BOTTOM))))
    return marks


def _bars(names: Sequence[str], series: Sequence[Sequence[int]], colours: Sequence[Rgb]) -> list[Mark]:
    slot = (_RIGHT - _LEFT) / len(names)
    wide = 0.72 * slot / len(series)
    marks: list[Mark] = []
    for place, name in enumerate(names):
        middle = _LEFT + slot * (place + 0.5)
        marks.append(Label(at=(middle, _BOTTOM + 20), text=name, size=18))
        for number, values in enumerate(series):
            left = middle + wide * (number - len(series) / 2)
            top = _height(values[place])
            marks.append(rectangle(left, top, left + wide, _BOTTOM, fill=colours[number]))
            marks.append(Label(at=(left + wide / 2, top - 13), text=str(values[place]), size=18))
    return marks


def _line(names: Sequence[str], values: Sequence[int]) -> list[Mark]:
    slot = (_RIGHT - _LEFT) / len(names)
    points = tuple((_LEFT + slot * (place + 0.5), _height(value)) for place, value in enumerate(values))
    marks: list[Mark] = [Path(points=points, colour=COLOURS["purple"], width=3.5)]
    for place, (x, y) in enumerate(points):
        around = [values[near] for near in (place - 1, place + 1) if 0 <= near < len(values)]
        below = sum(around) > len(around) * values[place]
        marks.append(Disc(centre=(x, y), radius=5, fill=COLOURS["purple"], colour=BLACK))
        marks.append(Label(at=(x, y + (18 if below else -18)), text=str(values[place]), size=18))
        marks.append(Label(at=(x, _BOTTOM + 20), text=names[place], size=18))
    return marks


KINDS: Final[tuple[Maker, ...]] = (higher_bars, mean_of_bars, gaps_of_pairs, rises_of_line)
"""The kinds, all equally often."""
