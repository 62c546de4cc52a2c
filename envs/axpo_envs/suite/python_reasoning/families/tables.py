"""Defines problems about tables: bills, weighted means, totals of rows, and times of departure and arrival."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from axpo_envs.suite.python_reasoning._drawing import PALE, WHITE, WIDTH, Figure, Label, Mark, Path, rectangle
from axpo_envs.suite.python_reasoning._problem import ROUNDED, Maker, Problem, pick, some

_ROW: Final = 46.0
_EDGE: Final = 24.0
_GOODS: Final = ("apples", "bread", "candles", "eggs", "flour", "honey", "jam", "lemons", "milk", "nuts", "rice", "tea")
_TASKS: Final = ("essay", "exam", "film", "model", "poster", "quiz", "report", "sketch", "speech", "test")
_SHOPS: Final = ("Bridge", "Castle", "Garden", "Harbour", "Market", "Mill", "Station", "Tower")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri")
_TRAINS: Final = ("Falcon", "Heron", "Kite", "Lark", "Owl", "Robin", "Stork", "Wren")


def bill(rng: np.random.Generator) -> Problem:
    """What everything on a list costs."""
    goods = some(rng, _GOODS, pick(rng, 4, 6))
    cents = tuple(pick(rng, 35, 1990) for _ in goods)
    counts = tuple(pick(rng, 2, 12) for _ in goods)
    rows = [(name, _money(price), str(count)) for name, price, count in zip(goods, cents, counts, strict=True)]
    return Problem(
        kind="bill",
        text="How much does the whole order cost?" + ROUNDED,
        figure=_table((("goods", "price each", "number"), *rows)),
        readings=(("cents", cents), ("numbers", counts)),
        program="print(sum(price * number for price, number in zip(cents, numbers)) / 100)",
        answer=sum((Fraction(price, 100) * count for price, count in zip(cents, counts, strict=True)), Fraction()),
    )


def weighted_mean(rng: np.random.Generator) -> Problem:
    """The mean of points, each with its weight."""
    tasks = some(rng, _TASKS, pick(rng, 4, 6))
    points = tuple(pick(rng, 20, 99) for _ in tasks)
    weights = tuple(pick(rng, 1, 9) for _ in tasks)
    rows = [(name, str(point), str(weight)) for name, point, weight in zip(tasks, points, weights, strict=True)]
    return Problem(
        kind="weighted_mean",
        text="What is the weighted mean of the points?" + ROUNDED,
        figure=_table((("task", "points", "weight"), *rows)),
        readings=(("points", points), ("weights", weights)),
        program="print(round(sum(p * w for p, w in zip(points, weights)) / sum(weights), 2))",
        answer=sum((Fraction(w, sum(weights)) * p for p, w in zip(points, weights, strict=True)), Fraction()),
    )


def best_and_worst_row(rng: np.random.Generator) -> Problem:
    """How far the largest and the smallest total of a row lie apart."""
    shops = some(rng, _SHOPS, pick(rng, 4, 5))
    sold = [tuple(pick(rng, 10, 199) for _ in _DAYS) for _ in shops]
    rows = [(shop, *map(str, numbers)) for shop, numbers in zip(shops, sold, strict=True)]
    totals = sorted(map(sum, sold))
    return Problem(
        kind="best_and_worst_row",
        text="The table says what shops sold on every day. How many more did the shop with the largest total sell than "
        "the shop with the smallest total?",
        figure=_table((("shop", *_DAYS), *rows)),
        readings=tuple((f"row_{place}", numbers) for place, numbers in enumerate(sold)),
        program=f"totals = [sum(row) for row in ({', '.join(f'row_{place}' for place in range(len(sold)))})]\n"
        "print(max(totals) - min(totals))",
        answer=Fraction(totals[-1] - totals[0]),
    )


def time_on_trains(rng: np.random.Generator) -> Problem:
    """The minutes between departures and arrivals, over all trains."""
    trains = some(rng, _TRAINS, pick(rng, 4, 6))
    leaving = [pick(rng, 5 * 60, 19 * 60) for _ in trains]
    lasting = [pick(rng, 35, 239) for _ in trains]
    departures = tuple(map(_clock, leaving))
    arrivals = tuple(_clock(start + minutes) for start, minutes in zip(leaving, lasting, strict=True))
    rows = list(zip(trains, departures, arrivals, strict=True))
    return Problem(
        kind="time_on_trains",
        text="All trains arrive on the day on which they depart. How many minutes do all of them travel together?",
        figure=_table((("train", "departure", "arrival"), *rows)),
        readings=(("departures", departures), ("arrivals", arrivals)),
        program="minutes = lambda time: 60 * int(time[:2]) + int(time[3:])\n"
        "print(sum(minutes(b) - minutes(a) for a, b in zip(departures, arrivals)))",
        answer=Fraction(sum(lasting)),
    )


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _table(rows: Sequence[Sequence[str]]) -> Figure:
    """A table with a heading; the first column is wider where there are many."""
    columns = len(rows[0])
    first = (WIDTH - 2 * _EDGE) * (1 / 3 if columns == 3 else 0.24)
    rest = (WIDTH - 2 * _EDGE - first) / (columns - 1)
    edges = [_EDGE, *(_EDGE + first + rest * column for column in range(columns))]
    marks: list[Mark] = []
    for line, row in enumerate(rows):
        top = _EDGE + _ROW * line
        marks.append(rectangle(_EDGE, top, WIDTH - _EDGE, top + _ROW, fill=PALE if line == 0 else WHITE))
        for column, text in enumerate(row):
            middle = (edges[column] + edges[column + 1]) / 2
            marks.append(Label(at=(middle, top + _ROW / 2), text=text))
    bottom = _EDGE + _ROW * len(rows)
    marks += [Path(points=((edge, _EDGE), (edge, bottom))) for edge in edges]
    return Figure(marks=tuple(marks), height=bottom + _EDGE)


KINDS: Final[tuple[Maker, ...]] = (bill, weighted_mean, best_and_worst_row, time_on_trains)
"""The kinds, all equally often."""
