"""Defines what is looked up in, taken out of and counted in a JSON schema before anything is checked by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

MAX_DEPTH: Final = 80
"""Levels of nesting of a schema."""
MAX_PARTS: Final = 20_000
"""Values that a schema is made of."""
_DATA: Final = ("const", "default", "enum", "example", "examples")


def patterns_of(schema: Any, place: str, *keywords: str) -> Iterator[tuple[str, str]]:
    """The patterns of a schema, each with where it stands."""
    wanted = keywords or ("pattern", "patternProperties")
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from patterns_of(part, f"{place}/{number}", *keywords)
    if not isinstance(schema, Mapping):
        return
    for name, part in schema.items():
        here = f"{place}/{name}"
        if name == "pattern" and name in wanted and isinstance(part, str):
            yield here, part
        elif name == "patternProperties" and name in wanted and isinstance(part, Mapping):
            yield from ((here, source) for source in part)
        if name not in _DATA:
            yield from patterns_of(part, here, *keywords)


def without_nulls(schema: Any) -> Any:
    """The schema without keywords that are null, which say nothing: some servers write empty lists so."""
    if isinstance(schema, list):
        return [without_nulls(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        name: part if name in _DATA else without_nulls(part)
        for name, part in schema.items()
        if name in _DATA or part is not None
    }


def without_dialects(schema: Any) -> Any:
    """The schema without the names of dialects within it, at which the library would change to another validator."""
    if isinstance(schema, list):
        return [without_dialects(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {name: part for name, part in schema.items() if name != "$schema" or isinstance(part, Mapping | bool)}
    return {name: without_dialects(part) for name, part in kept.items()}


def check_size(schema: Mapping[str, Any]) -> None:
    level: list[Any] = [schema]
    parts = 0
    for _ in range(MAX_DEPTH):
        parts += len(level)
        if parts > MAX_PARTS:
            raise ValueError(f"it is made of more than {MAX_PARTS} values")
        level = [
            child
            for part in level
            if isinstance(part, dict | list)
            for child in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
