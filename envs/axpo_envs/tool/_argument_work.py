"""Defines `check_work`, which refuses arguments that would take exponentially many checks.

A union of models that hold each other has every alternative tried at every level: 2 alternatives and 18 levels take a
validator minutes, in which nothing else of the process goes on. How many checks there would be is counted first, each
pair of a schema and a value once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from axpo_envs.tool._schema_references import resolve
from axpo_envs.tool.protocol import ToolArgumentError

MAX_CHECKS: Final = 20_000
"""Checks that any arguments may take; larger ones may take ten for each of their values."""

_PER_VALUE: Final = 10


def check_work(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Counts the checks that arguments would take.

    Raises:
        ToolArgumentError: they are too many.
    """
    if "$defs" not in schema:
        return
    counter = _Counter(schema)
    most = max(MAX_CHECKS, _PER_VALUE * _size(arguments))
    if counter.checks(dict(arguments), schema) > most:
        raise ToolArgumentError(f"they take more than {most} checks: use smaller or simpler ones")


class _Counter:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}

    def checks(self, value: Any, schema: Any) -> int:
        if not isinstance(schema, Mapping):
            return 1
        key = id(value), id(schema)
        if key not in self._known:
            # A reference that leads back to itself counts once.
            self._known[key] = 1
            self._known[key] = 1 + self._within(value, schema)
        return self._known[key]

    def _within(self, value: Any, schema: Mapping[str, Any]) -> int:
        parts = [part for word in ("anyOf", "oneOf", "allOf") for part in schema.get(word, ())]
        if "discriminator" in schema:
            # One alternative alone is tried.
            return max(self.checks(value, part) for part in parts)
        if "$ref" in schema:
            parts.append(resolve(schema["$ref"], self._root))
        count = sum(self.checks(value, part) for part in parts)
        if isinstance(value, dict):
            known, others = schema.get("properties", {}), schema.get("additionalProperties")
            count += sum(self.checks(item, known.get(name, others)) for name, item in value.items())
        elif isinstance(value, list):
            count += sum(self.checks(item, schema.get("items")) for item in value)
        return count


def _size(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1
