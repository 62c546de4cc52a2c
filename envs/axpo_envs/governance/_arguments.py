"""Defines how rules see and change arguments: `seen`, `values_at` and `changed`."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic_core import to_jsonable_python

from axpo_envs.governance.policy import Bounds, Rule

EVERY_PART: Final = "*"


def seen(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Validated arguments as JSON, with the schema's defaults for those that were left out.

    Args:
        arguments: what the tool's validation made of them.
        schema: the JSON schema of the tool's arguments.
    """
    properties = schema.get("properties")
    declared = properties.items() if isinstance(properties, Mapping) else ()
    defaults = {
        name: one["default"]
        for name, one in declared
        if isinstance(one, Mapping) and "default" in one and name not in arguments
    }
    plain: dict[str, Any] = to_jsonable_python({**defaults, **arguments}, fallback=repr)
    return plain


def values_at(arguments: Any, path: str) -> list[Any]:
    """The values that a path leads to, none where it leads nowhere.

    Worked value: in `{"to": [{"name": "a"}, {"name": "b"}]}`, `to.*.name` leads to `["a", "b"]`.
    """
    found = [arguments]
    for step in path.split("."):
        found = [inner for value in found for _, inner in _parts(value, step)]
    return found


def changed(arguments: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
    """A copy of arguments with what a rule clamps and sets."""
    new: dict[str, Any] = copy.deepcopy(dict(arguments))
    for path, bounds in rule.clamp.items():
        _replace(new, path.split("."), functools.partial(clamped, bounds=bounds))
    for path, value in rule.set.items():
        _set(new, path.split("."), value)
    return new


def unbounded(arguments: Mapping[str, Any], rule: Rule) -> str:
    """The first path of what a rule clamps that leads to something else than a number; empty where none does."""
    return next((path for path in rule.clamp if not all(map(is_number, values_at(arguments, path)))), "")


def rewritten(written: Any, before: Any, after: Any) -> Any:
    """What was written, with what a rule changed of it; all else stays as it was written.

    A secret, say, is seen as stars, and a default that was left out is seen as if it had been written.

    Args:
        written: arguments, or a part of them, as JSON.
        before: the same as it was seen.
        after: what the rule made of it.
    """
    if after == before:
        return written
    if isinstance(written, Mapping) and isinstance(before, Mapping) and isinstance(after, Mapping):
        new = dict(written)
        for name, value in after.items():
            if name not in before or before[name] != value:
                new[name] = rewritten(written.get(name), before.get(name), value)
        return new
    lists = all(isinstance(one, list) for one in (written, before, after))
    if lists and len(written) == len(before) == len(after):
        return [rewritten(*parts) for parts in zip(written, before, after, strict=True)]
    return after


def clamped(value: Any, bounds: Bounds) -> Any:
    """A number within bounds, an integer where it was one and there is one; what is no number stays as it is."""
    if not is_number(value):
        return value
    if bounds.max is not None and value > bounds.max:
        return math.floor(bounds.max) if isinstance(value, int) else bounds.max
    if bounds.min is not None and value < bounds.min:
        return math.ceil(bounds.min) if isinstance(value, int) else bounds.min
    return value


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parts(value: Any, step: str) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items() if step == EVERY_PART else ([(step, value[step])] if step in value else [])
    elif isinstance(value, list):
        if step == EVERY_PART:
            yield from enumerate(value)
        elif step.isascii() and step.isdecimal() and len(step) < 10 and int(step) < len(value):
            yield int(step), value[int(step)]


def _replace(value: Any, steps: list[str], change: Callable[[Any], Any]) -> None:
    step, *rest = steps
    for key, inner in list(_parts(value, step)):
        if rest:
            _replace(inner, rest, change)
        else:
            value[key] = change(inner)


def _set(value: Any, steps: list[str], to: Any) -> None:
    step, *rest = steps
    if not rest and isinstance(value, dict) and step != EVERY_PART:
        value[step] = copy.deepcopy(to)
        return
    for key, inner in list(_parts(value, step)):
        if rest:
            _set(inner, rest, to)
        else:
            value[key] = copy.deepcopy(to)
