"""Defines `read_rows`, which makes objects of the rows that a tool starts with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from axpo_envs.errors import EnvConfigError
from axpo_envs.plumbing.brief import brief

Row = TypeVar("Row")
CLOSED: Final = ConfigDict(extra="forbid")
"""Of data classes that rows are read as: a field that they do not have is an error."""


def read_rows(kind: type[Row], value: Any, where: str) -> tuple[Row, ...]:
    """Objects of a data class from a list of them, or of mappings of their fields.

    Args:
        kind: the data class.
        value: what was given.
        where: where it was given, for messages.

    Raises:
        EnvConfigError: it is anything else; the message names row and field.
    """
    if not isinstance(value, list | tuple):
        raise EnvConfigError(f"{where}: expected a list of mappings; got {brief(value)}")
    try:
        rows: tuple[Row, ...] = _adapter(cast("Any", kind)).validate_python(tuple(map(_plain, value)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        got = "" if first["type"] == "value_error" else f"; got {brief(first['input'])}"
        raise EnvConfigError(f"{where}, row {place}: {first['msg']}{got}") from None
    return rows


@lru_cache(maxsize=32)
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    # It takes ten milliseconds to make one.
    return TypeAdapter(tuple[kind, ...])  # type: ignore[valid-type]


def _plain(value: Any) -> Any:
    """Frozen columns as plain dictionaries, which pydantic reads."""
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
