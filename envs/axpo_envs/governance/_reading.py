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
from axpo_envs.governance._across import ENTRIES, problem_of_changes, problems_across
from axpo_envs.governance.policy import Action, Policy

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
    try:
        path = Path(given).expanduser()
    except RuntimeError as error:
        raise PolicyError(f"policy: {given} cannot be found: {error}") from error
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = tomllib.loads(text)
    except OSError as error:
        raise PolicyError(f"policy: {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{path}: expected a TOML file; {error}") from error
    return _checked(data, str(path), text)


def _checked(data: Mapping[str, Any], source: str, text: str) -> Policy:
    try:
        return _ADAPTER.validate_python(dict(data))
    except ValidationError as error:
        found = error.errors()
    elements = {details["loc"][:-1] for details in found}
    # A list whose elements are wrong is told to be empty, too.
    told = [one for one in found if one["type"] != "too_short" or one["loc"] not in elements]
    problems = [problem for details in told for problem in _problem(details, data, text).split("\n")]
    problems = list(dict.fromkeys([*problems, *_across(data, text)]))
    if len(problems) == 1:
        raise PolicyError(f"{source}: {problems[0]}")
    listed = "".join(f"\n  {problem}" for problem in problems)
    raise PolicyError(f"{source}: {len(problems)} things are wrong{listed}")


def _problem(details: ErrorDetails, data: Mapping[str, Any], text: str) -> str:
    place = [str(part) for part in details["loc"]]
    where = ""
    if len(place) > 1 and place[0] in ENTRIES and place[1].isdecimal():
        where = f"{_entry(place[0], int(place[1]), data, text)}, "
        place = place[2:]
    message = (
        details["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "expected")
        .replace("Unexpected keyword argument", "unknown field")
        .replace("Field required", "missing; expected it to be stated")
        .replace("Missing required argument", "missing; expected it to be stated")
        .replace("String should have at least 1 character", "expected a text that is not empty")
        .replace("Keys should be strings", "expected the names of fields to be texts")
        .replace("a valid ", "a ")
        .replace("a tuple", "a list")
    )
    message = re.sub(r"(Value|Tuple) should have at least 1 item .*", "expected at least one", message)
    message = re.sub(r"a dictionary( or an instance of \w+)?", "a table", message)
    kind = details["type"]
    got = "" if kind in ("value_error", "unexpected_keyword_argument", "missing") else f"; got {details['input']!r:.80}"
    field = ".".join(place)
    if field in ENTRIES and isinstance(details["input"], Mapping):
        got = f"; got one table: write [[{field}]]"
    if not field:
        return f"{where}{message}{got}"
    joint = ", " if kind == "value_error" and re.match(r"[\w., ]+: ", message) else ": "
    return f"{where}{field}{joint}{message}{got}"


def _across(data: Mapping[str, Any], text: str) -> list[str]:
    """What is wrong across fields, some of which may be wrong themselves."""
    rules = data.get("rules")
    found = []
    for number, rule in enumerate(rules if isinstance(rules, list | tuple) else ()):
        if isinstance(rule, Mapping) and rule.get("verdict") in tuple(Action):
            changes = bool(rule.get("clamp") or rule.get("set"))
            if problem := problem_of_changes(rule["verdict"], changes):
                found.append(f"{_entry('rules', number, data, text)}, {problem}")
    return [*found, *problems_across(data)]


def _entry(section: str, number: int, data: Mapping[str, Any], text: str) -> str:
    """What a rule or a budget is called, with the line at which it begins."""
    entries = data[section]
    named = entries[number].get("name") if isinstance(entries[number], Mapping) else None
    label = f"{ENTRIES[section]} {number + 1}" + (f" ({named!r})" if isinstance(named, str) and named else "")
    heads = [
        line
        for line, content in enumerate(text.splitlines(), start=1)
        if re.match(rf"\s*\[\[\s*{section}\s*\]\]", content)
    ]
    return f"line {heads[number]}, {label}" if len(heads) == len(entries) else label
