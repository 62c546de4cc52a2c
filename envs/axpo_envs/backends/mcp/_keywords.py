"""Defines `bounded`, the keywords of a dialect of JSON schema, matched and counted (`BUDGET`) so that checking ends."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

import jsonschema

from axpo_envs.backends.mcp._patterns import compile_pattern
from axpo_envs.backends.mcp._schema_parts import patterns_of
from axpo_envs.parsing import clip
from axpo_envs.plumbing.surrogates import well_formed

MAX_CHECKS: Final = 50_000
"""Keywords that are held against values in one call; ordinary arguments take a few dozen."""
# Keywords within keywords. Each takes up to four of the thousand frames that Python allows a thread.
_MAX_NESTED: Final = 200
_CLOCK_EVERY: Final = 256


class SpentError(Exception):
    """All checks are used up."""


class LateError(Exception):
    """The time is used up."""


class CircleError(Exception):
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
            raise SpentError
        if before // _CLOCK_EVERY != self.left // _CLOCK_EVERY and time.monotonic() > self.deadline:
            raise LateError


BUDGET: Final = _Budget()


def bounded(dialect: Any, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a dialect, each counted, those that use Python's patterns or take quadratic time replaced."""
    own = {
        "additionalProperties": _additional_properties,
        "divisibleBy": _multiple_of,
        "multipleOf": _multiple_of,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "uniqueItems": _unique_items,
    }
    if any(True for _ in patterns_of(schema, "", "patternProperties")):
        # The library would ask Python's patterns which names were evaluated; the server may.
        own["unevaluatedProperties"] = _nothing
    return {name: _counted(own.get(name, check)) for name, check in dialect.VALIDATORS.items()}


def _counted(check: Any) -> Any:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        BUDGET.spend()
        if BUDGET.nested == _MAX_NESTED:
            raise CircleError
        BUDGET.nested += 1
        try:
            yield from check(validator, value, instance, schema) or ()
        finally:
            BUDGET.nested -= 1

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
        BUDGET.spend(len(instance))
        for name, value in instance.items():
            if matcher is not None and matcher.search(well_formed(name)):
                yield from validator.descend(value, part, path=name, schema_path=source)


def _additional_properties(validator: Any, part: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    matchers = [compile_pattern(source) for source in schema.get("patternProperties", ())]
    if None in matchers:
        return
    BUDGET.spend(len(instance) * len(matchers))
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
