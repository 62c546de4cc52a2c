"""Defines how fields of policies are read whose TOML is shorter than what they mean, and checked beyond their types."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from axpo_envs.plumbing.extras import requiring

_NO_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


def texts_of(given: Any) -> Any:
    """A tuple; a single text stands for one of it, a list for its elements."""
    if isinstance(given, str):
        return (given,)
    if isinstance(given, set | frozenset):
        # In an order that every process has, for the fingerprint.
        return tuple(sorted(given, key=str))
    return tuple(given) if isinstance(given, list | tuple) else given


def path_table(given: Any) -> Any:
    """A table by paths; TOML's nested tables are the user's mistake, which is told where it is made."""
    if isinstance(given, Mapping):
        for path in given:
            if not isinstance(path, str) or not path or "" in path.split("."):
                raise ValueError(f"expected the path of an argument, such as 'card.number'; got {path!r}")
        return dict(given)
    return given


def values_table(given: Any) -> Any:
    """A table of values that JSON has."""
    if not isinstance(given, Mapping):
        return given
    plain = {}
    for path, value in given.items():
        try:
            plain[path] = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            raise ValueError(f"{path}: expected what JSON has; got {value!r:.80}") from None
    return path_table(plain)


def path_or_none(given: Any) -> Any:
    """The path of an argument, or an empty text for none."""
    if isinstance(given, str) and given:
        path_table({given: None})
    return given


def scalars_table(given: Any) -> Any:
    """A table of tuples of texts, numbers and truth values."""
    if not isinstance(given, Mapping):
        return given
    return {path: _scalars(path, values) for path, values in path_table(given).items()}


def _scalars(path: str, given: Any) -> tuple[Any, ...]:
    values = tuple(given) if isinstance(given, list | tuple) else (given,)
    if not values:
        raise ValueError(f"{path}: expected at least one value; got none, which would match nothing")
    for value in values:
        if not isinstance(value, str | bool | int | float) or (isinstance(value, float) and not math.isfinite(value)):
            hint = "; a path is one quoted key, such as 'card.number'" if isinstance(value, Mapping) else ""
            raise ValueError(f"{path}: expected texts, numbers or truth values; got {value!r:.80}{hint}")
    return values


def costs_of(given: Any) -> Any:
    """A table of costs; a number stands for a cost that every call has."""
    if not isinstance(given, Mapping):
        return given
    if "" in given:
        raise ValueError("expected patterns of tools' names; got an empty one, which matches nothing")
    plain = (int, float)
    return {
        name: {"base": cost} if isinstance(cost, plain) and not isinstance(cost, bool) else cost
        for name, cost in given.items()
    }


def check_patterns(given: Any) -> Any:
    """Regular expressions, which must be some."""
    patterns = texts_of(given)
    for pattern in patterns if isinstance(patterns, tuple) else ():
        if not isinstance(pattern, str):
            raise ValueError(f"expected regular expressions; got {pattern!r:.80}")
        try:
            empty = re.compile(pattern).match("") is not None
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"expected regular expressions; {pattern!r:.80} is none ({error})") from None
        if empty:
            raise ValueError(f"expected patterns that find something; {pattern!r:.80} matches nothing at all")
    return patterns


def check_schema(given: Any) -> Any:
    """A JSON schema, which must be one, and refer to nothing."""
    if not isinstance(given, Mapping):
        return given
    with requiring("governance", "a JSON schema in a policy"):
        from jsonschema import Draft202012Validator, SchemaError
    if place := _reference_in(given):
        raise ValueError(f"expected a schema without references; got one at {place}")
    try:
        Draft202012Validator.check_schema(given)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path) or "its top"
        raise ValueError(f"expected a JSON schema; at {where}: {error.message:.200}") from None
    return dict(given)


def _reference_in(schema: Any, place: str = "") -> str:
    if isinstance(schema, Mapping):
        # Of `properties` the names are arguments, not keywords, whose values are schemas all the same.
        parts = [(str(name), part) for name, part in schema.items()]
        for name, part in parts:
            if name in _NO_REFERENCES and isinstance(part, str):
                return f"{place}{name}"
    elif isinstance(schema, list):
        parts = [(str(number), part) for number, part in enumerate(schema)]
    else:
        return ""
    return next((found for name, part in parts if (found := _reference_in(part, f"{place}{name}."))), "")
