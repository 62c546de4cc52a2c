"""Defines `ArgumentSchema`, the JSON schema that a server gives a tool: checked once, then held against arguments.

The schema is a stranger's, and the arguments are a policy's. Whatever the two are, checking ends:

- patterns are matched in linear time (see `_patterns`); one that cannot be translated is left to the server, and a
  warning names tool and field. A gym that refused the tool would lose it for the sake of a check that the server makes
  anyway;
- references are never fetched; one that leads nowhere, or in a circle, is left to the server, too;
- the number of checks is bounded, not the time alone: whether arguments are taken does not depend on the machine;
- checking has a stack of its own, in a thread, for the library does not survive the end of Python's.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from fractions import Fraction
from functools import partial
from typing import Any, Final, TypeVar

import jsonschema
from jsonschema import validators
from referencing import Registry
from referencing.exceptions import Unresolvable

from axpo_envs.backends.mcp._patterns import compile_pattern
from axpo_envs.parsing import clip
from axpo_envs.plumbing.surrogates import well_formed
from axpo_envs.tool.protocol import ToolArgumentError, ToolTimeout

MAX_CHECKS: Final = 50_000
"""Keywords that are held against values in one call; ordinary arguments take a few dozen."""

MAX_DEPTH: Final = 80
"""Levels of nesting of a schema."""

MAX_PARTS: Final = 20_000
"""Values that a schema is made of."""

T = TypeVar("T")

_SHOWN_PROBLEMS: Final = 3
# Keywords within keywords. Each takes up to four of the thousand frames that Python allows a thread.
_MAX_NESTED: Final = 200
_CLOCK_EVERY: Final = 256
_OLDER_DIALECTS: Final = (jsonschema.Draft7Validator, jsonschema.Draft4Validator)
_DATA: Final = ("const", "default", "enum", "example", "examples")
_LOGGER: Final = logging.getLogger(__name__)
# A checker of formats would have Python compile the patterns.
_NO_FORMATS: Final = jsonschema.FormatChecker(formats=())
_extend: Final[Any] = validators.extend


class ArgumentSchema:
    """A schema of a tool's arguments.

    Args:
        given: the schema.
        where: whose it is, for messages.

    Raises:
        ValueError: it is no JSON schema of an object, or too large; the message says at which place.
    """

    def __init__(self, given: Mapping[str, Any], *, where: str) -> None:
        _check_size(given)
        self.document: Final = {"type": "object", "properties": {}, **_without_nulls(given)}
        """The schema, as one of an object."""
        schema = _without_dialects(self.document)
        dialect = _dialect_of(schema, self.document.get("$schema"))
        # With an empty registry a reference to elsewhere is never fetched.
        self._validator = _extend(dialect, _bounded(dialect, schema))(schema, registry=Registry())
        for place, pattern in _patterns(schema, ""):
            if compile_pattern(pattern) is None:
                _LOGGER.warning(
                    "%s, %s: the pattern %s is left to the server to check", where, place, clip(repr(pattern), 100)
                )

    def check(self, arguments: Mapping[str, Any], *, limit_s: float = math.inf) -> None:
        """Holds arguments against the schema.

        Raises:
            ToolArgumentError: they do not fit, or take more than `MAX_CHECKS`.
            ToolTimeout: checking took longer than the limit.
        """
        try:
            errors = _in_thread(partial(self._errors, dict(arguments), time.monotonic() + limit_s))
        except _SpentError:
            raise ToolArgumentError(f"they take more than {MAX_CHECKS} checks: use smaller or simpler ones") from None
        except _LateError:
            raise ToolTimeout.after(limit_s) from None
        except (Unresolvable, _CircleError):
            # What the schema leaves open, the server knows.
            return
        if errors:
            problems = (f"{error.json_path.removeprefix('$.')}: {clip(error.message, 160)}" for error in errors)
            raise ToolArgumentError("; ".join(problem.removeprefix("$: ") for problem in problems))

    def _errors(self, arguments: dict[str, Any], deadline: float) -> list[Any]:
        _BUDGET.deadline = deadline
        return list(itertools.islice(self._validator.iter_errors(arguments), _SHOWN_PROBLEMS))


def _dialect_of(schema: Mapping[str, Any], name: Any) -> Any:
    """The dialect that a schema is written in: the one it names or the newest, else an older one that it is right in.

    Raises:
        ValueError: it is right in none.
    """
    named = {"$schema": name} if isinstance(name, str) else {}
    first: Any = validators.validator_for(named, default=jsonschema.Draft202012Validator)
    problems: list[jsonschema.SchemaError] = []
    for dialect in (first, *_OLDER_DIALECTS):
        try:
            _in_thread(partial(dialect.check_schema, schema, format_checker=_NO_FORMATS))
        except jsonschema.SchemaError as error:
            problems.append(error)
        else:
            return dialect
    raise ValueError(f"at {problems[0].json_path}: {clip(problems[0].message, 200)}") from None


def _in_thread(work: Callable[[], T]) -> T:
    """What a function returns or raises on a stack of its own."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=run, name="schema check", daemon=True).start()
    return outcome.result()


class _SpentError(Exception):
    """All checks are used up."""


class _LateError(Exception):
    """The time is used up."""


class _CircleError(Exception):
    """References lead from one to the next, and to no value."""


class _Budget(threading.local):
    """What the check that this thread is making may still take."""

    def __init__(self) -> None:
        self.left = MAX_CHECKS
        self.nested = 0
        self.deadline = math.inf

    def spend(self, checks: int = 1) -> None:
        before, self.left = self.left, self.left - checks
        if self.left < 0:
            raise _SpentError
        if before // _CLOCK_EVERY != self.left // _CLOCK_EVERY and time.monotonic() > self.deadline:
            raise _LateError


_BUDGET: Final = _Budget()


def _bounded(dialect: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a dialect, each counted, those that use Python's patterns or take quadratic time replaced."""
    own = {
        "additionalProperties": _additional_properties,
        "divisibleBy": _multiple_of,
        "multipleOf": _multiple_of,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "uniqueItems": _unique_items,
    }
    if any(True for _ in _patterns(schema, "", "patternProperties")):
        # The library would ask Python's patterns which names were evaluated; the server may.
        own["unevaluatedProperties"] = _nothing
    return {name: _counted(own.get(name, check)) for name, check in dialect.VALIDATORS.items()}


def _counted(check: Any) -> Any:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        _BUDGET.spend()
        if _BUDGET.nested == _MAX_NESTED:
            raise _CircleError
        _BUDGET.nested += 1
        try:
            yield from check(validator, value, instance, schema) or ()
        finally:
            _BUDGET.nested -= 1

    return counted


def _nothing(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    del validator, value, instance, schema
    return iter(())


def _multiple_of(validator: Any, factor: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """In decimals as they are written: 0.3 is a multiple of 0.1, and integers may have any number of digits."""
    del schema
    if validator.is_type(instance, "number") and _exact(instance) % _exact(factor):
        yield jsonschema.ValidationError(f"{clip(repr(instance))} is not a multiple of {factor}")


def _exact(number: int | float) -> Fraction:
    return Fraction(number if isinstance(number, int) else repr(number))


def _pattern(validator: Any, source: str, instance: Any, schema: Any) -> Iterator[Any]:
    del schema
    if not validator.is_type(instance, "string"):
        return
    matcher = compile_pattern(source)
    if matcher is not None and not matcher.search(well_formed(instance)):
        yield jsonschema.ValidationError(f"{clip(repr(instance))} does not match {clip(repr(source))}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    del schema
    if not validator.is_type(instance, "object"):
        return
    for source, part in patterns.items():
        matcher = compile_pattern(source)
        _BUDGET.spend(len(instance))
        for name, value in instance.items():
            if matcher is not None and matcher.search(well_formed(name)):
                yield from validator.descend(value, part, path=name, schema_path=source)


def _additional_properties(validator: Any, part: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    matchers = [compile_pattern(source) for source in schema.get("patternProperties", ())]
    if None in matchers:
        return
    _BUDGET.spend(len(instance) * len(matchers))
    known = schema.get("properties", {})
    names = [name for name in instance if name not in known]
    names = [name for name in names if not any(matcher.search(well_formed(name)) for matcher in matchers)]
    if part is False and names:
        listed = ", ".join(clip(repr(name)) for name in sorted(names))
        yield jsonschema.ValidationError(f"Additional properties are not allowed ({listed} unexpected)")
    elif part is not False:
        for name in names:
            yield from validator.descend(instance[name], part, path=name)


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    del schema
    if wanted and validator.is_type(instance, "array"):
        written = [json.dumps(_comparable(item), sort_keys=True) for item in instance]
        if len(set(written)) < len(written):
            yield jsonschema.ValidationError(f"{clip(repr(instance))} has non-unique elements")


def _comparable(value: Any) -> Any:
    """The value with 1.0 written as 1, for they are equal."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    return {name: _comparable(item) for name, item in value.items()} if isinstance(value, dict) else value


def _patterns(schema: Any, place: str, *keywords: str) -> Iterator[tuple[str, str]]:
    """The patterns of a schema, each with where it stands."""
    wanted = keywords or ("pattern", "patternProperties")
    if isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from _patterns(part, f"{place}/{number}", *keywords)
    if not isinstance(schema, Mapping):
        return
    for name, part in schema.items():
        here = f"{place}/{name}"
        if name == "pattern" and name in wanted and isinstance(part, str):
            yield here, part
        elif name == "patternProperties" and name in wanted and isinstance(part, Mapping):
            yield from ((here, source) for source in part)
        if name not in _DATA:
            yield from _patterns(part, here, *keywords)


def _without_nulls(schema: Any) -> Any:
    """The schema without keywords that are null, which say nothing: some servers write empty lists so."""
    if isinstance(schema, list):
        return [_without_nulls(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        name: part if name in _DATA else _without_nulls(part)
        for name, part in schema.items()
        if name in _DATA or part is not None
    }


def _without_dialects(schema: Any) -> Any:
    """The schema without the names of dialects within it, at which the library would change to another validator."""
    if isinstance(schema, list):
        return [_without_dialects(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    kept = {name: part for name, part in schema.items() if name != "$schema" or isinstance(part, Mapping | bool)}
    return {name: _without_dialects(part) for name, part in kept.items()}


def _check_size(schema: Mapping[str, Any]) -> None:
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
