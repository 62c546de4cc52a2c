"""Defines how values of known types are written as JSON and read back equal: data classes by field, images by digest.

What is read may be a stranger's: everything is held to the type that stands at its place, and an error names the place.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import math
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, TypeAlias

from axpo_envs.images import ImageRef
from axpo_envs.plumbing.columns import Columns

Json: TypeAlias = Any
Keep: TypeAlias = Callable[[ImageRef], None]
"""Is given every image that is written."""
Find: TypeAlias = Callable[[str, int, int], ImageRef]
"""Finds the image of a digest, a width and a height."""

_ODD: Final[dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]]] = {
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    "timedelta": (
        datetime.timedelta,
        lambda value: str(value // datetime.timedelta(microseconds=1)),
        lambda text: datetime.timedelta(microseconds=int(text)),
    ),
    "decimal": (Decimal, str, Decimal),
    "fraction": (Fraction, str, Fraction),
    "bytes": (
        bytes,
        lambda value: base64.b64encode(value).decode(),
        lambda text: base64.b64decode(text, validate=True),
    ),
    "float": (float, repr, float),
}
"""Values of a row's further columns that JSON does not know, by name: as text."""


class SchemaError(ValueError):
    """A value is not what its place asks for; the message names the place."""


def encode(value: Any, keep: Keep) -> Json:  # noqa: PLR0911  (one for each kind of value)
    """The value as JSON holds it.

    Raises:
        TypeError: it is, or holds, a value of no known type.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, ImageRef):
        keep(value)
        return {"image": value.digest, "width": value.width, "height": value.height}
    if isinstance(value, Columns):
        return {"columns": {name: encode(part, keep) for name, part in value.items()}}
    if isinstance(value, frozenset):
        return {"set": sorted((encode(part, keep) for part in value), key=repr)}
    if isinstance(value, tuple):
        return [encode(part, keep) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name), keep) for field in dataclasses.fields(value)}
    for name, (kind, write, _) in _ODD.items():
        if isinstance(value, kind):
            return {name: write(value)}
    raise TypeError(f"expected a value of a known type; got {type(value).__name__}")


def decode(kind: Any, value: Json, find: Find, where: str = "") -> Any:  # noqa: PLR0911  (as `encode`)
    """The value of a type that JSON holds.

    Args:
        kind: the type that stands there: a data class, a union, a tuple, an enumeration, a plain type.
        value: the JSON.
        find: finds images.
        where: the place, for messages.

    Raises:
        SchemaError: it is no such value.
    """
    # Most values are of these: tokens and their probabilities.
    if kind is int or kind is float or kind is str or kind is bool:
        return _plain(kind, value, where)
    if kind is ImageRef:
        return _image(value, find, where)
    if kind is Columns or kind is Any:
        return _column(value, find, where)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _fields(kind, value, find, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind, value, where)
    origin, arguments = _parts_of(kind)
    if origin in (types.UnionType, typing.Union):
        return _union(arguments, value, find, where)
    if origin is frozenset:
        inner = value.get("set") if isinstance(value, Mapping) else None
        return frozenset(decode(arguments[0], part, find, where) for part in _list(inner, where))
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        hints = typing.get_type_hints(kind)
        parts = _list(value, where, size=len(hints))
        return kind(
            *(
                decode(hint, part, find, f"{where}[{n}]")
                for n, (hint, part) in enumerate(zip(hints.values(), parts, strict=True))
            )
        )
    if origin is tuple:
        return tuple(decode(arguments[0], part, find, f"{where}[{n}]") for n, part in enumerate(_list(value, where)))
    return _plain(kind, value, where)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What a data class is read as: the types of its fields, and which of them must be there."""

    hints: Mapping[str, Any]
    required: frozenset[str]


@lru_cache
def _shape(kind: type) -> _Shape:
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    none = dataclasses.MISSING
    required = (field.name for field in fields if field.default is none and field.default_factory is none)
    return _Shape(hints={field.name: hints[field.name] for field in fields}, required=frozenset(required))


@lru_cache
def _parts_of(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    return typing.get_origin(kind), typing.get_args(kind)


def _fields(kind: type, value: Json, find: Find, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise SchemaError(f"{where or 'the record'}: expected an object; got {type(value).__name__}")
    shape = _shape(kind)
    if missing := sorted(shape.required - value.keys()):
        raise SchemaError(f"{_at(where, missing[0])}: expected a value; got none")
    if unknown := sorted(value.keys() - shape.hints.keys()):
        raise SchemaError(f"{_at(where, unknown[0])}: expected one of the fields {', '.join(sorted(shape.hints))}")
    return kind(**{name: decode(shape.hints[name], part, find, _at(where, name)) for name, part in value.items()})


def _union(kinds: tuple[Any, ...], value: Json, find: Find, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    problems = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return decode(kind, value, find, where)
        except SchemaError as error:
            problems.append(error)
    raise problems[-1]


def _image(value: Json, find: Find, where: str) -> ImageRef:
    if not (isinstance(value, Mapping) and set(value) == {"image", "width", "height"}):
        raise SchemaError(f"{where}: expected an image by digest, width and height; got {str(value)[:80]!r}")
    digest, width, height = (
        _plain(kind, value[name], f"{where}.{name}") for name, kind in (("image", str), ("width", int), ("height", int))
    )
    return find(digest, width, height)


def _column(value: Json, find: Find, where: str) -> Any:
    """A value of a row's further columns: its type is told by how it is written."""
    if isinstance(value, list):
        return tuple(_column(part, find, where) for part in value)
    if not isinstance(value, Mapping):
        return value
    if "image" in value:
        return _image(value, find, where)
    ((name, inner),) = value.items() if len(value) == 1 else (("", None),)
    if name == "columns" and isinstance(inner, Mapping):
        return Columns((key, _column(part, find, f"{where}.{key}")) for key, part in inner.items())
    if name == "set":
        return frozenset(_column(part, find, where) for part in _list(inner, where))
    if name in _ODD and isinstance(inner, str):
        try:
            return _ODD[name][2](inner)
        except (ValueError, ArithmeticError) as error:
            raise SchemaError(f"{where}: expected a {name}; got {inner[:80]!r}") from error
    raise SchemaError(f"{where}: expected a value of a column; got {str(value)[:80]!r}")


def _member(kind: type[Enum], value: Json, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(member.value) for member in kind)
        raise SchemaError(f"{where}: expected one of {known}; got {str(value)[:80]!r}") from None


def _plain(kind: Any, value: Json, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise SchemaError(
            f"{where}: expected a value of type {getattr(kind, '__name__', kind)}; got {str(value)[:80]!r}"
        )
    return value


def _list(value: Json, where: str, *, size: int | None = None) -> list[Json]:
    if not isinstance(value, list) or (size is not None and len(value) != size):
        raise SchemaError(f"{where}: expected a list{'' if size is None else f' of {size}'}; got {str(value)[:80]!r}")
    return value


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
