"""Defines which classes are data classes: those of which a value is its named fields, and nothing changes them."""

from __future__ import annotations

import dataclasses
import functools
import operator
import sys
import types
import typing
from collections.abc import Mapping
from typing import Any


def check_fields(kind: type, values: Mapping[str, Any]) -> None:
    """Holds values to the annotations of a data class's fields.

    Raises:
        TypeError: one is of another type.
    """
    hints = _hints_of(kind)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise TypeError(f"{kind.__qualname__}.{name}: expected {hints[name]}; got {value!r:.100}")


@functools.cache
def _hints_of(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {name: hints[name] for name in field_names(kind)}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that a field is annotated with."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, choice) for choice in arguments)
    if origin is tuple and arguments[-1:] != (...,):
        same = isinstance(value, tuple) and len(value) == len(arguments)
        return same and all(map(_fits, value, arguments))
    if origin in (tuple, frozenset):
        return isinstance(value, origin) and all(_fits(part, arguments[0]) for part in value)
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


@functools.lru_cache(maxsize=1024)
def is_data_class(kind: Any) -> bool:
    """Whether its values are its fields, which its constructor takes by name and nothing changes afterwards."""
    if not isinstance(kind, type) or not name_of(kind):
        return False
    if dataclasses.is_dataclass(kind):
        frozen: bool = kind.__dataclass_params__.frozen  # type: ignore[attr-defined]  # typeshed leaves it out
        return frozen and "__reduce__" not in vars(kind) and all(field.init for field in dataclasses.fields(kind))
    return issubclass(kind, tuple) and kind.__bases__ == (tuple,) and hasattr(kind, "_fields")


@functools.lru_cache(maxsize=1024)
def field_names(kind: Any) -> tuple[str, ...]:
    """The fields of a data class, in order."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return tuple(kind._fields)


@functools.lru_cache(maxsize=1024)
def name_of(kind: type) -> str:
    """`module:name` of a class that is found by it; empty for any other."""
    try:
        found = operator.attrgetter(kind.__qualname__)(sys.modules[kind.__module__])
    except (AttributeError, KeyError):
        return ""
    return f"{kind.__module__}:{kind.__qualname__}" if found is kind else ""
