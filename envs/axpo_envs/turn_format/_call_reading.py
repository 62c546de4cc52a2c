"""Defines `ParsedCall`, and how one is read out of what stands between the tags of a call."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from axpo_envs.plumbing.strict_json import JsonError, read_json
from axpo_envs.plumbing.surrogates import has_surrogates
from axpo_envs.types import CallOutcome, ToolCall

_FUNCTION: Final = re.compile(r"\s*<function=([^>\s]+)>(.*)</function>\s*", re.DOTALL)
_XML: Final = re.compile(r"\s*<function")
_IN_XML: Final = "<function=NAME><parameter=NAME>value</parameter></function>"
_IN_JSON: Final = '{"name": "...", "arguments": {...}}'
_PARAMETER: Final = re.compile(r"\s*<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>\s*", re.DOTALL)


class TextSpan(NamedTuple):
    """A half-open range of characters of a turn."""

    start: int
    """First character."""
    stop: int
    """One past the last character."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedCall:
    """One attempted call as far as its text alone tells."""

    call: ToolCall
    """Name and arguments as written."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The arguments as read from JSON; empty where the call has a defect."""
    untyped: bool = False
    """The argument values are bare text (`<parameter=P>`), to be read according to the tool's schema."""
    defect: CallOutcome | None = None
    """`MALFORMED` or `UNCLOSED`; None for a well-formed call."""
    problem: str = ""
    """What is wrong and what was expected, for the policy; empty without a defect."""
    span: TextSpan
    """The call in the turn's text, tags included."""


def unclosed_call(body: str, span: TextSpan, in_string: bool) -> ParsedCall:
    """A call whose tag was never closed.

    Args:
        body: what follows the opening tag.
        span: the call in the turn's text.
        in_string: the turn ends within a JSON string of it.
    """
    where = "; the turn ends within a JSON string of it" if in_string else ""
    return ParsedCall(
        call=ToolCall(name="", arguments=body),
        defect=CallOutcome.UNCLOSED,
        problem=f"the opening tool_call tag was never closed{where}; expected a closing tag after the call",
        span=span,
    )


def read_call(body: str, span: TextSpan) -> ParsedCall:
    """Reads a call; what is no call has a defect.

    Args:
        body: what stands between the tags.
        span: the call in the turn's text.
    """
    try:
        if has_surrogates(body):
            raise JsonError("holds half of a surrogate pair")
        if (function := _FUNCTION.fullmatch(body)) is not None:
            name, untyped = function.group(1), True
            arguments: Any = _read_parameters(function.group(2))
        else:
            (name, arguments), untyped = _read_json_call(body), False
    except JsonError as defect:
        form = _IN_XML if _XML.match(body) else _IN_JSON
        return ParsedCall(
            call=ToolCall(name="", arguments=body),
            defect=CallOutcome.MALFORMED,
            problem=f"the call {defect}; expected {form} between the tool_call tags",
            span=span,
        )
    raw = json.dumps(arguments, ensure_ascii=False)
    return ParsedCall(call=ToolCall(name=name, arguments=raw), arguments=arguments, untyped=untyped, span=span)


def _read_parameters(body: str) -> dict[str, str]:
    arguments: dict[str, str] = {}
    position = 0
    while (match := _PARAMETER.match(body, position)) is not None:
        arguments[match.group(1)] = match.group(2)
        position = match.end()
    if body[position:].strip():
        raise JsonError(f"holds {clip(body[position:].strip())!r}, which is no parameter")
    return arguments


def _read_json_call(body: str) -> tuple[str, dict[str, Any]]:
    data = read_json(body)
    if not isinstance(data, dict):
        raise JsonError(f"is a JSON {_kind(data)}, not an object")
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise JsonError("has no name" if name in (None, "") else "has a name that is no string")
    if "arguments" not in data and (others := sorted(set(data) - {"name"})):
        raise JsonError(f"has no arguments, only {clip(', '.join(others))}")
    arguments = data.get("arguments", {})
    if isinstance(arguments, str):
        arguments = read_json(arguments)
    if not isinstance(arguments, dict):
        raise JsonError(f"has arguments that are a JSON {_kind(arguments)}, not an object")
    return name, arguments


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def clip(text: str, limit: int = 80) -> str:
    """Text as an error message quotes it: printable, at most `limit` characters and an ellipsis."""
    shown = text if len(text) <= limit else text[:limit] + "..."
    return shown.encode("utf-8", "backslashreplace").decode()
