"""Defines `read_policy`, which reads a policy from TOML or takes one from Python, and tells all that is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from axpo_envs.errors import EnvConfigError
from axpo_envs.governance.policy import Policy

_LISTS: Final = {"rules": "rule", "budgets": "budget"}
_ADAPTER: Final = TypeAdapter(Policy)


class PolicyError(EnvConfigError):
    """A policy is unusable; the message names file, line, rule and field of everything that is wrong with it."""


def read_policy(given: str | Path | Mapping[str, Any] | Policy) -> Policy:
    """The policy of a TOML file, of a mapping with the fields of `Policy`, or one that was made already.

    Raises:
        PolicyError: the file cannot be read, is no TOML, or what it holds is no policy.
    """
    if isinstance(given, Policy):
        return given
    if isinstance(given, Mapping):
        return _checked(given, "policy", "")
    if not isinstance(given, str | Path):
        raise PolicyError(f"policy: expected the path of a TOML file, a mapping or a Policy; got {given!r:.100}")
    path = Path(given).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
        return _checked(tomllib.loads(text), str(path), text)
    except OSError as error:
        raise PolicyError(f"policy: {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PolicyError(f"{path}: expected a TOML file; {error}") from error


def _checked(data: Mapping[str, Any], source: str, text: str) -> Policy:
    try:
        return _ADAPTER.validate_python(dict(data))
    except ValidationError as error:
        problems = [_problem(details, data, text) for details in error.errors()]
    problems = list(dict.fromkeys(problems))
    if len(problems) == 1:
        raise PolicyError(f"{source}: {problems[0]}")
    listed = "".join(f"\n  {problem}" for problem in problems)
    raise PolicyError(f"{source}: {len(problems)} things are wrong{listed}")


def _problem(details: ErrorDetails, data: Mapping[str, Any], text: str) -> str:
    place = [str(part) for part in details["loc"]]
    where = ""
    if len(place) > 1 and place[0] in _LISTS and place[1].isdecimal():
        where = f"{_entry(place[0], int(place[1]), data, text)}, "
        place = place[2:]
    message = (
        details["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "expected")
        .replace("Unexpected keyword argument", "unknown field")
        .replace("Field required", "missing; expected it to be stated")
        .replace("Missing required argument", "missing; expected it to be stated")
        .replace("Value should have at least 1 item after validation, not 0", "expected at least one")
        .replace("a valid ", "a ")
    )
    kind = details["type"]
    got = "" if kind in ("value_error", "unexpected_keyword_argument", "missing") else f"; got {details['input']!r:.80}"
    field = ".".join(place)
    if not field:
        return f"{where}{message}{got}"
    joint = ", " if kind == "value_error" and re.match(r"[\w., ]+: ", message) else ": "
    return f"{where}{field}{joint}{message}{got}"


def _entry(section: str, number: int, data: Mapping[str, Any], text: str) -> str:
    """What a rule or a budget is called, with the line at which it begins."""
    entries = data[section]
    named = entries[number].get("name") if isinstance(entries[number], Mapping) else None
    label = f"{_LISTS[section]} {number + 1}" + (f" ({named!r})" if isinstance(named, str) and named else "")
    heads = [
        line
        for line, content in enumerate(text.splitlines(), start=1)
        if re.match(rf"\s*\[\[\s*{section}\s*\]\]", content)
    ]
    return f"line {heads[number]}, {label}" if len(heads) == len(entries) else label
