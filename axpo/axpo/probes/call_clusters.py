"""Defines `call_clusters`: which of several calls are the same call, told by tool, arguments and overlap of boxes."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from axpo_envs.types import CallOutcome, CallRecord

Box: TypeAlias = tuple[float, float, float, float]

_UNREADABLE: Final = (CallOutcome.MALFORMED, CallOutcome.UNCLOSED)
_SIDES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What a call asks for."""

    kind: Any
    """All that must be equal, hashable."""
    boxes: tuple[Box, ...] = ()
    """Its boxes, in the order of its arguments' names."""


def call_clusters(
    calls: Sequence[CallRecord | None], *, overlap: float = 0.5, ignored: Collection[str] = ()
) -> tuple[int, ...]:
    """The number of each call's cluster; clusters are numbered in the order in which they appear.

    Two calls are one where tool and arguments are equal: objects whatever their order, numbers by value, texts
    whatever their case and white space. A list of four numbers with x1 < x2 and y1 < y2 is a box: boxes are one where
    their intersection is at least `overlap` of their union. Calls that a chain of such pairs joins are one cluster, so
    that their order does not matter. Calls that cannot be read are one cluster by what is wrong with them; None, no
    call, is another.

    Worked value: [0, 0, 100, 100] and [0, 0, 100, 50] overlap by 0.5 and are one call at the default; [0, 0, 100, 100]
    and [50, 0, 150, 100] by a third, and are two.

    Args:
        calls: the calls, with what became of them.
        overlap: 0 to 1.
        ignored: names of arguments that do not tell calls apart.
    """
    shapes = [_shape(call, frozenset(ignored)) for call in calls]
    cluster = list(range(len(shapes)))
    for place, shape in enumerate(shapes):
        for other in range(place):
            if cluster[other] != cluster[place] and _same(shape, shapes[other], overlap):
                merged, gone = sorted((cluster[other], cluster[place]))
                cluster = [merged if number == gone else number for number in cluster]
    numbers = {first: number for number, first in enumerate(dict.fromkeys(cluster))}
    return tuple(numbers[first] for first in cluster)


def overlap_of(one: Box, other: Box) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (_area(one) + _area(other) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _same(one: _Shape, other: _Shape, overlap: float) -> bool:
    if one.kind != other.kind:
        return False
    return all(overlap_of(*pair) >= overlap for pair in zip(one.boxes, other.boxes, strict=True))


def _shape(record: CallRecord | None, ignored: frozenset[str]) -> _Shape:
    if record is None:
        return _Shape(kind=None)
    if record.outcome in _UNREADABLE:
        return _Shape(kind=record.outcome)
    try:
        arguments = json.loads(record.call.arguments)
    except ValueError:
        arguments = record.call.arguments
    boxes: list[Box] = []
    rest = _normalized(arguments, ignored, boxes)
    return _Shape(kind=(record.call.name, rest), boxes=tuple(boxes))


def _normalized(value: Any, ignored: frozenset[str], boxes: list[Box]) -> Any:
    """The value as something hashable, its boxes put aside."""
    if isinstance(value, dict):
        members = ((name, value[name]) for name in sorted(value) if name not in ignored)
        return ("object", *((name, _normalized(member, ignored, boxes)) for name, member in members))
    if isinstance(value, list):
        if (box := _box(value)) is not None:
            boxes.append(box)
            return ("box",)
        return ("list", *(_normalized(member, ignored, boxes) for member in value))
    if isinstance(value, str):
        return " ".join(value.split()).casefold()
    return ("truth", value) if isinstance(value, bool) or value is None else value


def _box(value: list[Any]) -> Box | None:
    if len(value) != _SIDES or not all(isinstance(side, int | float) and not isinstance(side, bool) for side in value):
        return None
    x1, y1, x2, y2 = map(float, value)
    return (x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None
