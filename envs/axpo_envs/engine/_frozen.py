"""Defines `find_mutable`, which says where a value is not the immutable, picklable data that a tool's state must be."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import operator
import pathlib
import pickle
import sys
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import pydantic

from axpo_envs.images import ImageRef

ADVICE: Final = (
    "expected immutable data: None, numbers, text, bytes, ImageRef, and tuples, NamedTuples, frozensets and frozen "
    "dataclasses of them"
)
"""What a state may be, for messages."""

_PartsOf: TypeAlias = Callable[[Any], Iterable[tuple[str, Any]]]
_Place: TypeAlias = "tuple[_Place, str] | None"

_PLAIN: Final = frozenset({type(None), bool, int, float, complex, str, bytes, ImageRef})
_LEAVES: Final = (
    *(bool, int, float, complex, str, bytes, range, enum.Enum, ImageRef),
    *(datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo),
    *(decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePath),
)


def find_mutable(value: Any) -> str:
    """Names the first part that may change, compares by identity or cannot be pickled; empty where there is none.

    Worked value: `("a", [1])` gives `[1] is a list, which is mutable`.
    """
    waiting: list[tuple[_Place, Any]] = [(None, value)]
    while waiting:
        place, part = waiting.pop()
        kind: Any = type(part)
        if kind in _PLAIN:
            continue
        examined = _examine(kind)
        if callable(examined):
            waiting.extend(((place, name), child) for name, child in examined(part))
        elif problem := examined or _problem_of_copy(part):
            return f"{_written(place) or 'it'} is {problem}"
    return ""


@functools.lru_cache(maxsize=1024)
def _examine(kind: type) -> _PartsOf | str:
    """What the values of a type are made of, or what is wrong with the type; empty where nothing is known of it."""
    if issubclass(kind, _LEAVES):
        return _unfindable(kind) or _nothing
    if issubclass(kind, tuple):
        names = getattr(kind, "_fields", None)
        return _unfindable(kind) or (_items if names is None else _attributes(names))
    if issubclass(kind, frozenset):
        return _unfindable(kind) or _members
    if dataclasses.is_dataclass(kind):
        frozen = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # typeshed leaves it out
        return _attributes_of(kind, frozen, [field.name for field in dataclasses.fields(kind)])
    if issubclass(kind, pydantic.BaseModel):
        return _attributes_of(kind, bool(kind.model_config.get("frozen")), list(kind.model_fields))
    return _suspicion(kind)


def _suspicion(kind: Any) -> str:
    if kind.__hash__ is None:
        return f"{_article(kind)}, which is mutable"
    return f"{_article(kind)}, which is compared by identity" if kind.__eq__ is object.__eq__ else ""


def _attributes_of(kind: type, frozen: bool, names: list[str]) -> _PartsOf | str:
    if not frozen:
        return f"{_article(kind)}, which is not frozen"
    return _unfindable(kind) or _attributes(names)


def _unfindable(kind: type) -> str:
    """Pickle writes a class as its name, so that other processes must find it there."""
    try:
        found = operator.attrgetter(kind.__qualname__)(sys.modules[kind.__module__])
    except (AttributeError, KeyError):
        found = None
    if found is kind:
        return ""
    return f"{_article(kind)}, which cannot be pickled: define the class at the top level of its module"


def _problem_of_copy(value: Any) -> str:
    """What goes wrong where a value of an unknown type is hashed and travels to another process."""
    try:
        hash(value)
        copy = pickle.loads(pickle.dumps(value))
    except Exception as error:
        return f"{_article(type(value))}, which cannot be hashed and pickled ({type(error).__name__}: {error})"
    return "" if copy == value else f"{_article(type(value))}, which differs from its pickled copy"


def _nothing(value: Any) -> Iterable[tuple[str, Any]]:
    del value
    return ()


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return ((f"[{number}]", item) for number, item in enumerate(value))


def _members(value: Any) -> Iterable[tuple[str, Any]]:
    return (("{...}", member) for member in value)


def _attributes(names: Iterable[str]) -> _PartsOf:
    kept = tuple(names)
    return lambda value: ((f".{name}", getattr(value, name)) for name in kept)


def _article(kind: type) -> str:
    return f"{'an' if kind.__qualname__[0].lower() in 'aeiou' else 'a'} {kind.__qualname__}"


def _written(place: _Place) -> str:
    names: list[str] = []
    while place is not None:
        place, name = place
        names.append(name)
    return "".join(reversed(names))
