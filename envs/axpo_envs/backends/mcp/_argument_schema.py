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
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

import jsonschema
from jsonschema import validators
from referencing import Registry
from referencing.exceptions import Unresolvable

from axpo_envs.backends.mcp._keywords import BUDGET, MAX_CHECKS, CircleError, LateError, SpentError, bounded
from axpo_envs.backends.mcp._patterns import compile_pattern
from axpo_envs.backends.mcp._schema_parts import check_size, patterns_of, without_dialects, without_nulls
from axpo_envs.parsing import clip
from axpo_envs.tool.protocol import ToolArgumentError, ToolTimeout

T = TypeVar("T")

_SHOWN_PROBLEMS: Final = 3
_OLDER_DIALECTS: Final = (jsonschema.Draft7Validator, jsonschema.Draft4Validator)
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
        check_size(given)
        self.document: Final = {"type": "object", "properties": {}, **without_nulls(given)}
        """The schema, as one of an object."""
        schema = without_dialects(self.document)
        dialect = _dialect_of(schema, self.document.get("$schema"))
        # With an empty registry a reference to elsewhere is never fetched.
        self._validator = _extend(dialect, bounded(dialect, schema))(schema, registry=Registry())
        for place, pattern in patterns_of(schema, ""):
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
        except SpentError:
            raise ToolArgumentError(f"they take more than {MAX_CHECKS} checks: use smaller or simpler ones") from None
        except LateError:
            raise ToolTimeout.after(limit_s) from None
        except (Unresolvable, CircleError):
            # What the schema leaves open, the server knows.
            return
        if errors:
            problems = (f"{error.json_path.removeprefix('$.')}: {clip(error.message, 160)}" for error in errors)
            raise ToolArgumentError("; ".join(problem.removeprefix("$: ") for problem in problems))

    def _errors(self, arguments: dict[str, Any], deadline: float) -> list[Any]:
        BUDGET.deadline = deadline
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
