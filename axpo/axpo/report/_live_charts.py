"""Defines charts whose points tell their values under a pointer or a tap, and whose curves can be hidden, by CSS alone.

Pages run no script, and matplotlib's pictures cannot answer: these are laid out here and drawn by a template.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from axpo.report._values import Value, tick_text, told

T = TypeVar("T")

WIDTH: Final = 460
HEIGHT: Final = 240
_LEFT: Final = 44
_RIGHT: Final = 16
_TOP: Final = 26
_BOTTOM: Final = 30
_MOST_LABELS: Final = 6
_MOST_TOLD: Final = 100
"""Places that tell their values; of more, evenly spaced ones do. A line goes through all."""
_MOST_MARKS: Final = 30
ROLES: Final = ("axpo", "grpo", "extra1", "extra2", "extra3", "extra4", "start")
"""Colours of curves, in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One measure along a chart's axis."""

    label: str
    """Its name."""
    values: tuple[Value | None, ...]
    """One a place of the axis; None where nothing was observed."""
    role: str | None = None
    """Its colour; None takes the next of `ROLES`."""
    faint: tuple[float | None, ...] = ()
    """What is drawn faintly behind it, as many values as it has itself; empty where there is nothing."""
    dotted: bool = False
    """Whether its line is dotted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point as it is drawn."""

    x: float
    """Pixels from the left."""
    y: float
    """Pixels from the top."""
    text: str
    """What it tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A curve as it is drawn."""

    label: str
    """Its name."""
    role: str
    """Its colour."""
    line: str
    """The curve, as the commands of an SVG path."""
    band: str
    """Its intervals, likewise."""
    faint: str
    """What lies behind it, likewise."""
    dotted: bool
    """Whether its line is dotted."""
    points: tuple[Point, ...]
    """The points that tell their values."""
    cells: tuple[str, ...]
    """Its values as text, one a place that is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark of an axis."""

    at: float
    """Pixels from the left, or from the top."""
    text: str
    """What stands there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveChart:
    """A chart as its template draws it."""

    title: str
    """What it shows."""
    caption: str
    """What a reader must know to read it."""
    axis: str
    """What lies along the horizontal axis."""
    places: tuple[str, ...]
    """The places of that axis that are told."""
    dense: bool
    """Whether points show themselves only when they are pointed at."""
    curves: tuple[Drawn, ...]
    """The curves."""
    columns: tuple[Tick, ...]
    """Marks below."""
    rows: tuple[Tick, ...]
    """Marks at the left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What a chart is about."""

    title: str
    """What it shows."""
    caption: str
    """What a reader must know to read it."""
    axis: str
    """What lies along the horizontal axis."""
    places: tuple[str, ...]
    """The places of that axis."""
    share: bool = True
    """Values lie between 0 and 1 and are told in per cent."""
    positions: tuple[float, ...] | None = None
    """Where the places lie along the axis, ascending; None spaces them evenly."""


def live_chart(topic: Topic, curves: Sequence[Curve]) -> LiveChart | None:
    """Lays out a chart; None where no curve has a value."""
    drawn = [curve for curve in curves if any(value is not None for value in curve.values)]
    if not drawn:
        return None
    low, high = (0.0, 1.0) if topic.share else _range(drawn)
    count = len(topic.places)
    told_at = _told_places(count)
    scale = _Scale(low=low, high=high, shares=_shares(topic))
    every = -(-count // _MOST_LABELS)
    return LiveChart(
        title=topic.title,
        caption=topic.caption,
        axis=topic.axis,
        places=tuple(topic.places[place] for place in told_at),
        dense=len(told_at) > _MOST_MARKS,
        curves=tuple(
            _drawn(replace(curve, role=curve.role or ROLES[number % len(ROLES)]), topic, scale, told_at)
            for number, curve in enumerate(drawn)
        ),
        columns=tuple(
            Tick(at=scale.x(place), text=name) for place, name in enumerate(topic.places) if place % every == 0
        ),
        rows=tuple(
            Tick(at=scale.y(value), text=tick_text(value, share=topic.share))
            for value in (low + (high - low) * part / 4 for part in range(5))
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    low: float
    high: float
    shares: tuple[float, ...]

    def x(self, place: int) -> float:
        width = WIDTH - _LEFT - _RIGHT
        return round(_LEFT + width * self.shares[place], 1)

    def y(self, value: float) -> float:
        height = HEIGHT - _TOP - _BOTTOM
        return round(_TOP + height * (1 - (value - self.low) / (self.high - self.low)), 1)


def _shares(topic: Topic) -> tuple[float, ...]:
    """Where each place lies along the axis, as a share of its length."""
    count, at = len(topic.places), topic.positions
    if at is None or at[-1] == at[0]:
        return tuple((place + 0.5) / count for place in range(count))
    # The outer places keep clear of the edges, as they do where places are spaced evenly.
    edge = 0.5 / count
    return tuple(edge + (1 - 2 * edge) * (each - at[0]) / (at[-1] - at[0]) for each in at)


def _range(curves: Sequence[Curve]) -> tuple[float, float]:
    """What the values span; from 0 where none is below."""
    ends = [
        end
        for curve in curves
        for value in curve.values
        if value is not None
        for end in (value.value, value.low, value.high)
        if end is not None
    ]
    ends += [value for curve in curves for value in curve.faint if value is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    # Below the least normal number a quarter of it may be 0.
    if high - low < 4 * sys.float_info.min:
        return 0.0, 1.0
    # A quarter of the axis is a round number.
    unit = 10.0 ** math.floor(math.log10((high - low) / 4))
    for factor in (1, 2, 2.5, 5, 10):
        size = factor * unit
        first = math.floor(low / size) * size
        if first + 4 * size >= high:
            return first, first + 4 * size
    return first, first + 8 * size


def _told_places(count: int) -> tuple[int, ...]:
    """All places, or evenly spaced ones of many, the first and the last among them."""
    if count <= _MOST_TOLD:
        return tuple(range(count))
    return tuple(round(part * (count - 1) / (_MOST_TOLD - 1)) for part in range(_MOST_TOLD))


def _drawn(curve: Curve, topic: Topic, scale: _Scale, told_at: Sequence[int]) -> Drawn:
    texts = {place: told(curve.values[place], share=topic.share) for place in told_at}
    at = [None if value is None else (scale.x(place), scale.y(value.value)) for place, value in enumerate(curve.values)]
    behind = [None if value is None else (scale.x(place), scale.y(value)) for place, value in enumerate(curve.faint)]
    ends = [
        None
        if value is None or value.low is None or value.high is None
        else (scale.x(place), scale.y(value.low), scale.y(value.high))
        for place, value in enumerate(curve.values)
    ]
    return Drawn(
        label=curve.label,
        role=curve.role or ROLES[0],
        line=" ".join(map(_path, _runs(at))),
        faint=" ".join(map(_path, _runs(behind))),
        dotted=curve.dotted,
        band=" ".join(
            _path([*((x, high) for x, _, high in run), *((x, low) for x, low, _ in reversed(run))]) + " Z"
            for run in _runs(ends)
            if len(run) > 1
        ),
        points=tuple(
            Point(x=found[0], y=found[1], text=f"{topic.axis} {topic.places[place]}: {texts[place]}")
            for place in told_at
            if (found := at[place]) is not None
        ),
        cells=tuple(texts.values()),
    )


def _runs(items: Sequence[T | None]) -> list[list[T]]:
    """What stands together without a gap."""
    runs: list[list[T]] = [[]]
    for item in items:
        if item is not None:
            runs[-1].append(item)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + " L".join(f"{x},{y}" for x, y in points)
